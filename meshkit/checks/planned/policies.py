"""Checks that a planned DestinationPolicy is for a host that is there, and that no other rule decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.facts import Finding, Object, Severity, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import title
from meshkit.meshes.base import Mesh
from meshkit.meshes.routing import destinations
from meshkit.meshes.routing.live import Port
from meshkit.meshes.routing.planned import after, steps_of

_ENTRY = "ServiceEntry"


def check(intents: Sequence[Intent], snapshot: Snapshot, row: Mesh) -> Iterator[Finding]:
    """Find the problems of all DestinationPolicies among the intents of a plan."""
    policies = [intent for intent in intents if isinstance(intent, DestinationPolicy)]
    if not policies:
        return
    yield from _one_each(policies)
    joined = [intent for intent in intents if isinstance(intent, Route | DestinationPolicy | Egress)]
    steps = steps_of(joined, snapshot, row.planner)
    planned, made = after(snapshot, steps), {step.title for step in steps}
    own = [rule for rule in destinations.rules(planned) if title(rule) in made]
    for policy in policies:
        yield from _host(policy, planned)
        fields = [name for name in (*destinations.POLICIES, "tls") if getattr(policy, name) is not None]
        for port in _ports(policy, planned):
            yield from destinations.findings(port, own, {}, fields, planned, row, DestinationPolicy)


def _host(policy: DestinationPolicy, snapshot: Snapshot) -> Iterator[Finding]:
    where = f"{policy.namespace}/{policy.host}"
    if policy.service is None:
        if not _entries(policy, snapshot) and not policy.host.startswith("*"):
            message = f"no ServiceEntry that was read has the host {policy.host}."
            yield _finding("host", message, severity="warning")
        return
    service = snapshot.find("Service", policy.service, policy.namespace)
    if service is None:
        yield _finding("host", f"there is no Service {where}.")
        return
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if policy.port not in (None, *ports):
        remedy = f"Name one of its ports: {', '.join(map(str, ports))}; or leave port out for all of them."
        yield _finding("port", f"Service {where} has no port {policy.port}.", remedy)


def _finding(field: str, message: str, remedy: str = "", severity: Severity = "error") -> Finding:
    where = f"destination_policy.{field}"
    return codes.finding(codes.POLICY_WITHOUT_HOST, where, message, remedy, severity=severity)


def _ports(policy: DestinationPolicy, snapshot: Snapshot) -> Iterator[Port]:
    """The ports of a host that a policy is for."""
    if policy.service is None:
        numbers = [port["number"] for each in _entries(policy, snapshot) for port in each["spec"]["ports"]]
    else:
        service = snapshot.find("Service", policy.service, policy.namespace) or {"spec": {}}
        numbers = [port["port"] for port in service["spec"].get("ports") or ()]
    for number in dict.fromkeys(numbers):
        if policy.port in (None, number):
            yield Port(policy.namespace, policy.host, int(number))


def _entries(policy: DestinationPolicy, snapshot: Snapshot) -> list[Object]:
    return [
        entry
        for entry in snapshot.of(_ENTRY)
        if policy.host in map(str.lower, entry["spec"].get("hosts") or ())
    ]


def _one_each(policies: Sequence[DestinationPolicy]) -> Iterator[Finding]:
    seen = set()
    for policy in policies:
        callers = tuple(sorted((policy.callers or {}).items()))
        key = (policy.namespace, policy.host, policy.port, callers)
        if key in seen:
            port = f"port {policy.port}" if policy.port else "every port"
            message = f"{port} of {policy.namespace}/{policy.host} has two policies in this plan."
            yield codes.finding(codes.TWO_POLICIES_FOR_ONE_PORT, "destination_policy.host", message)
        seen.add(key)
