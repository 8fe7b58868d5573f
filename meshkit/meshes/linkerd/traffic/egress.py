"""Plan the EgressNetwork of a namespace and the HTTPRoutes of the hosts that its programs may call.

Linkerd looks for EgressNetworks in the namespace of the caller and, if it has none, in ``linkerd-egress``. Of
several for the same address the oldest counts, so all Egresses of a namespace share one: the one that is
there, or else one of this module. Its HTTPRoutes name hosts of plain text; what none of them takes follows
the ``trafficPolicy`` of the EgressNetwork.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from meshkit import codes
from meshkit.errors import BadInput
from meshkit.facts import Finding, Kind, Need, Object, Snapshot
from meshkit.intent.base import kind
from meshkit.intent.edges.egress import Egress, EgressPort
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api.routes import HTTP_ROUTE, accepted_step
from meshkit.meshes.linkerd.meaning.egress import EVERYWHERE, KINDS
from meshkit.meshes.model.registry import age_of
from meshkit.meshes.ownership import is_ours
from meshkit.meshes.routing.capabilities import Limits, refuse

EGRESS_NETWORK: Kind = KINDS["egressnetworks.policy"]
NAME = "egress"
"""The name of the EgressNetwork that meshkit makes in a namespace."""
_ALLOW = "Allow"
_POLICIES = {"allow": _ALLOW, "refuse": "Deny"}
_SETTLE_S = 1.0
"""How long proxies may take to learn of the routes before other hosts are refused."""
_ENCRYPTED = (
    "Leave the port out, and others at allow: Linkerd knows hosts by the requests in plain text that name"
    " them, and lets everything else pass as others says."
)
LIMITS: Limits = {
    "addresses": "Leave it out: Linkerd sends a request to the address that its caller has looked up.",
    "callers: mesh": f"Set namespace to {EVERYWHERE}, whose Egresses hold for all namespaces that have none.",
    "ports[].protocol: tls": _ENCRYPTED,
    "ports[].protocol: tcp": _ENCRYPTED,
    "ports[].target_port": "Leave it out: Linkerd keeps the port, and begins no TLS to hosts outside.",
}
"""The fields of an Egress that Linkerd cannot carry out, each with what it can do instead."""


def needs(egress: Egress) -> tuple[Need, ...]:
    """The objects that ``plan`` and the checks read."""
    return (Need(EGRESS_NETWORK, egress.namespace), Need(HTTP_ROUTE, egress.namespace))


def plan(egress: Egress, snapshot: Snapshot) -> Iterator[Step]:
    """The steps that let the hosts through, and then refuse others, so that no request is lost in between.

    Raises ``BadInput`` for what Linkerd does not have, and for a network of others that says otherwise.
    """
    refuse(egress, "Linkerd", LIMITS)
    present = _present(egress, snapshot)
    name, policy = _network(egress, present), _policy(egress, present)
    stands = "" if present is None else str(present["spec"]["trafficPolicy"])
    is_foreign = present is not None and "managedFields" in present["metadata"] and not is_ours(present)
    if is_foreign and stands != policy:
        raise _set_by_others(present or {})
    if not stands or (stands != policy and policy == _ALLOW):
        yield _network_step(egress, name, _ALLOW)
    for index, port in enumerate(egress.ports, 1):
        step = accepted_step(_route(egress, port, name), unanswered=True)
        is_last = index == len(egress.ports) and policy != _ALLOW
        yield replace(step, settle_s=_SETTLE_S) if is_last else step
    if policy != _ALLOW and not is_foreign:
        yield _network_step(egress, name, policy)


def _network_step(egress: Egress, name: str, policy: str) -> Step:
    return Step(obj(EGRESS_NETWORK, name, egress.namespace, spec={"trafficPolicy": policy}))


def findings(egress: Egress, snapshot: Snapshot) -> Iterator[Finding]:
    """Tell what happens to requests to hosts outside that no route takes."""
    present = _present(egress, snapshot)
    allowed = _policy(egress, present) == _ALLOW
    what = "leave the mesh as they are" if allowed else "are answered with 403, and other connections closed"
    where = f"{egress.namespace}/{_network(egress, present)}"
    callers = "namespaces without an EgressNetwork" if egress.namespace == EVERYWHERE else egress.namespace
    message = f"requests from {callers} to other hosts outside {what} (EgressNetwork {where})."
    remedy = f"To change it, set others to {'refuse' if allowed else 'allow'}."
    yield codes.finding(codes.OTHER_HOSTS, "egress.others", message, remedy)


def _present(egress: Egress, snapshot: Snapshot) -> Object | None:
    """The EgressNetwork of the namespace for every address outside, the oldest one."""
    found = snapshot.of(EGRESS_NETWORK.kind, egress.namespace)
    return min((each for each in found if not each["spec"].get("networks")), key=age_of, default=None)


def _network(egress: Egress, present: Object | None) -> str:
    return str(present["metadata"]["name"]) if present is not None else NAME


def _policy(egress: Egress, present: Object | None) -> str:
    if egress.others is not None:
        return _POLICIES[egress.others]
    return str(present["spec"]["trafficPolicy"]) if present is not None else _ALLOW


def _route(egress: Egress, port: EgressPort, network: str) -> dict[str, Any]:
    parent = {
        "group": EGRESS_NETWORK.group,
        "kind": EGRESS_NETWORK.kind,
        "name": network,
        "port": port.number,
    }
    spec = {
        "parentRefs": [parent],
        "hostnames": list(egress.hosts),
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}],
    }
    return obj(HTTP_ROUTE, f"{egress.name}-{port.number}", egress.namespace, spec=spec)


def _set_by_others(present: Object) -> BadInput:
    policy = present["spec"]["trafficPolicy"]
    problem = f"{title(present)}, which meshkit did not make, has trafficPolicy {policy}."
    remedy = "Leave others out to keep it, or let its owner change it."
    return BadInput(f"{kind(Egress)}.others", problem, remedy=remedy)
