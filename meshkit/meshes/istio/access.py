"""Plan ``Access`` for Istio: one AuthorizationPolicy with action ALLOW.

An ALLOW policy refuses all other requests on *every* port of the selected pods. So each policy also allows
all ports that no Service exposes: access to debug and metrics ports does not change.
"""

from __future__ import annotations

from typing import Any

from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.security import Access
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.meshes import access
from meshkit.meshes.access import Account, Target
from meshkit.meshes.base import cannot
from meshkit.meshes.istio.meaning.hosts import protocol_of, read_as

AUTHORIZATION_POLICY = Kind("security.istio.io/v1", "AuthorizationPolicy")
_MOST_ACCOUNTS = 16  # serviceAccounts.maxItems of the CustomResourceDefinition


def needs(intent: Access) -> tuple[Need, ...]:
    """The objects that ``plan`` reads."""
    return access.needs(intent)


def plan(intent: Access, snapshot: Snapshot) -> tuple[Step, ...]:
    """The AuthorizationPolicy ``<service>-<name>``."""
    target, callers = access.target(intent, snapshot), access.accounts(intent, snapshot)
    _refuse_http_on_tcp(intent, target)
    spec = {
        "selector": {"matchLabels": dict(target.selector)},
        "action": "ALLOW",
        "rules": [
            {"from": _sources(callers), "to": [{"operation": _operation(intent, target)}]},
            {"to": [{"operation": {"notPorts": [str(port) for port in target.offered]}}]},
        ],
    }
    name = f"{intent.service}-{intent.name}"
    return (Step(obj(AUTHORIZATION_POLICY, name, intent.namespace, spec=spec)),)


def _sources(callers: tuple[Account, ...]) -> list[Object]:
    """Sources by ``serviceAccounts``, which, unlike ``principals``, do not depend on the trust domain."""
    named = [f"{caller.namespace}/{caller.name}" for caller in callers if caller.name]
    chunks = [named[start : start + _MOST_ACCOUNTS] for start in range(0, len(named), _MOST_ACCOUNTS)]
    sources: list[Object] = [{"source": {"serviceAccounts": chunk}} for chunk in chunks]
    whole = [caller.namespace for caller in callers if not caller.name]
    return [*sources, {"source": {"namespaces": whole}}] if whole else sources


def _operation(intent: Access, target: Target) -> dict[str, Any]:
    operation: dict[str, Any] = {"ports": [str(port) for port in target.ports]}
    if intent.paths:
        operation["paths"] = [written for path in intent.paths for written in _paths(path)]
    if intent.methods:
        operation["methods"] = list(intent.methods)
    return operation


def _paths(path: str) -> list[str]:
    """The paths in Istio's notation, where ``/api/*`` does not include ``/api``."""
    if not path.endswith("/*") or path == "/*":
        return [path]
    return [path.removesuffix("/*"), path]


def _refuse_http_on_tcp(intent: Access, target: Target) -> None:
    """Reject HTTP rules on a port that Istio treats as plain TCP, where they never match."""
    for port in target.service_ports:
        protocol = protocol_of(port)
        if (intent.paths or intent.methods) and read_as(protocol) == "tcp":
            field = "paths" if intent.paths else "methods"
            instead = f"Port {port['port']} is {protocol}, not HTTP: leave it out, or name the port http."
            raise cannot("Istio", Access, field, instead)
