"""Checks that the cluster meets the requirements of intents, before a plan is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.checks.planned import egress, policies, traffic
from meshkit.facts import Finding, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import ZONE
from meshkit.kube.nodes import has_built_in_images
from meshkit.meshes import registry
from meshkit.meshes.routing import rivals


def check(intents: Sequence[Intent], snapshot: Snapshot, mesh: str) -> tuple[Finding, ...]:
    """All findings about the intents: errors stop a plan, warnings are shown with it."""
    row = registry.mesh(mesh)
    findings: list[Finding] = []
    for intent in intents:
        findings += row.intent_checks.check(intent, snapshot) if row.intent_checks else ()
        match intent:
            case ControlPlane():
                findings += control_plane(intent, snapshot)
            case Injection() | MutualTLS():
                findings += _namespace(intent, snapshot)
            case Route():
                findings += traffic.check(intent, snapshot)
                findings += rivals.check(intent, snapshot, row)
    findings += policies.check(intents, snapshot, row)
    findings += egress.check(intents)
    return (*findings, *traffic.one_route_each([intent for intent in intents if isinstance(intent, Route)]))


def control_plane(intent: ControlPlane, snapshot: Snapshot) -> Iterator[Finding]:
    """Check that the nodes can run the control plane and are in enough zones."""
    nodes = list(snapshot.of("Node"))
    if intent.charts is None and not any(map(has_built_in_images, nodes)):
        message = "without charts its images exist in the sandbox only, and no node here can run them."
        yield codes.finding(codes.BUILT_IN_IMAGES_CANNOT_RUN, "control_plane.charts", message)
        return
    zones = {node["metadata"].get("labels", {}).get(ZONE) for node in nodes} - {None}
    if intent.zones > max(1, len(zones)):
        message = f"the cluster's nodes are in {len(zones)} zones, and {intent.zones} are asked for."
        remedy = f"Ask for zones={max(1, len(zones))}, or add nodes in other zones."
        yield codes.finding(codes.TOO_FEW_ZONES, "control_plane.zones", message, remedy)
    if intent.replicas == 1:
        message = "one replica: while its node is drained or lost, nothing is injected and no route changes."
        yield codes.finding(codes.ONE_REPLICA, "control_plane.replicas", message)
    if intent.replicas < intent.zones:
        message = f"{intent.replicas} replicas cannot be in {intent.zones} zones."
        remedy = f"Ask for replicas={intent.zones} or more."
        yield codes.finding(codes.FEWER_REPLICAS_THAN_ZONES, "control_plane.replicas", message, remedy)


def _namespace(intent: Injection | MutualTLS, snapshot: Snapshot) -> Iterator[Finding]:
    if intent.namespace is None or snapshot.find("Namespace", intent.namespace) is not None:
        return
    field = "injection.namespace" if isinstance(intent, Injection) else "mutual_tls.namespace"
    message = f"the cluster has no namespace {intent.namespace!r}."
    yield codes.finding(codes.NO_SUCH_NAMESPACE, field, message)
