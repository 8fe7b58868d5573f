"""Plan ``Access`` for Istio: one AuthorizationPolicy with action ALLOW.

An ALLOW policy refuses all other requests on *every* port of the selected pods. So each policy also allows
all ports that no Service exposes: access to debug and metrics ports does not change. Where a waypoint takes
the requests to the Service, pods see the waypoint in place of the callers, so the policy is for the waypoint:
it names the Service as its target, and the Service's ports.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.base import is_name
from meshkit.intent.security import Access, Caller
from meshkit.kube.manifests import obj
from meshkit.kube.steps import Step
from meshkit.meshes import access
from meshkit.meshes.access import Account, Shadow, Target
from meshkit.meshes.base import cannot
from meshkit.meshes.istio.ambient.intents import ambient_pods, served
from meshkit.meshes.istio.meaning.authorization import DRY_RUN, is_dry
from meshkit.meshes.istio.meaning.hosts import protocol_of, read_as

AUTHORIZATION_POLICY = Kind("security.istio.io/v1", "AuthorizationPolicy")
_MOST_ACCOUNTS = 16  # serviceAccounts.maxItems of the CustomResourceDefinition


def _enforced(policy: Object) -> Object:
    meta = policy["metadata"]
    kept = {name: value for name, value in meta["annotations"].items() if name != DRY_RUN}
    return {**policy, "metadata": {**meta, "annotations": kept}}


def _callers(policy: Object) -> tuple[Caller, ...]:
    first: Object = next(iter(policy["spec"].get("rules") or ()), {})
    sources = [entry.get("source") or {} for entry in first.get("from") or ()]
    pairs = [str(each).partition("/") for one in sources for each in one.get("serviceAccounts") or ()]
    named = [Caller(namespace=space, service_account=name) for space, _, name in pairs if name]
    spaces = [str(each) for one in sources for each in one.get("namespaces") or ()]
    return (*named, *(Caller(namespace=space) for space in spaces if is_name(space)))


SHADOW = Shadow(AUTHORIZATION_POLICY, is_dry, _enforced, AUTHORIZATION_POLICY, _callers)


def needs(intent: Access) -> tuple[Need, ...]:
    """The objects that ``plan`` reads."""
    return access.needs(intent)


def plan(intent: Access, snapshot: Snapshot) -> tuple[Step, ...]:
    """The AuthorizationPolicy ``<service>-<name>``."""
    target, callers = access.target(intent, snapshot), access.accounts(intent, snapshot)
    _refuse_http_on_tcp(intent, target)
    name = f"{intent.service}-{intent.name}"
    in_ambient = ambient_pods(intent.namespace, intent.service, snapshot)
    marks = {**access.marks(intent), **({DRY_RUN: "true"} if intent.mode == "shadow" else {})}
    if in_ambient and served(intent.namespace, intent.service, snapshot).works:
        spec = _at_waypoint(intent, target, callers)
        return (Step(obj(AUTHORIZATION_POLICY, name, intent.namespace, annotations=marks, spec=spec)),)
    spec = {
        "selector": {"matchLabels": dict(target.selector)},
        "action": "ALLOW",
        "rules": [
            {"from": _sources(callers), "to": [{"operation": _operation(intent, target.ports)}]},
            {"to": [{"operation": {"notPorts": [str(port) for port in target.offered]}}]},
        ],
    }
    return (Step(obj(AUTHORIZATION_POLICY, name, intent.namespace, annotations=marks, spec=spec)),)


def _at_waypoint(intent: Access, target: Target, callers: tuple[Account, ...]) -> dict[str, Any]:
    ports = sorted(int(port["port"]) for port in target.service_ports)
    rule = {"from": _sources(callers), "to": [{"operation": _operation(intent, ports)}]}
    refs = [{"kind": "Service", "group": "", "name": intent.service}]
    return {"targetRefs": refs, "action": "ALLOW", "rules": [rule]}


def _sources(callers: tuple[Account, ...]) -> list[Object]:
    """Sources by ``serviceAccounts``, which, unlike ``principals``, do not depend on the trust domain."""
    named = [f"{caller.namespace}/{caller.name}" for caller in callers if caller.name]
    chunks = [named[start : start + _MOST_ACCOUNTS] for start in range(0, len(named), _MOST_ACCOUNTS)]
    sources: list[Object] = [{"source": {"serviceAccounts": chunk}} for chunk in chunks]
    whole = [caller.namespace for caller in callers if not caller.name]
    return [*sources, {"source": {"namespaces": whole}}] if whole else sources


def _operation(intent: Access, ports: Iterable[int]) -> dict[str, Any]:
    operation: dict[str, Any] = {"ports": [str(port) for port in ports]}
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
