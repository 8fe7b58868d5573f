"""Can this cluster take this intent? Asked before anything is shown or changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit.checks import traffic
from meshkit.facts import Finding, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import ZONE

SANDBOX_RUNTIME = "meshkit://"


def check(intents: Sequence[Intent], snapshot: Snapshot) -> tuple[Finding, ...]:
    """What stands against the intents, or should be known: errors stop a plan, warnings are shown with it."""
    findings: list[Finding] = []
    for intent in intents:
        match intent:
            case ControlPlane():
                findings += control_plane(intent, snapshot)
            case Injection() | MutualTLS():
                findings += _namespace(intent, snapshot)
            case Route():
                findings += traffic.check(intent, snapshot)
    return (*findings, *traffic.one_route_each([intent for intent in intents if isinstance(intent, Route)]))


def control_plane(intent: ControlPlane, snapshot: Snapshot) -> Iterator[Finding]:
    """A control plane needs zones to spread over; without charts its manifests run in the sandbox only."""
    nodes = list(snapshot.of("Node"))
    if intent.charts is None and not _is_sandbox(nodes):
        yield Finding(
            "MK0101",
            "error",
            "control_plane.charts",
            "without charts these manifests start the sandbox's control plane, and no node of this cluster is"
            " a sandbox's.",
            "Name the charts: 'published' for the mesh's own, a repository, or a directory.",
        )
        return
    zones = {node["metadata"].get("labels", {}).get(ZONE) for node in nodes} - {None}
    if intent.zones > max(1, len(zones)):
        yield Finding(
            "MK0102",
            "error",
            "control_plane.zones",
            f"the cluster's nodes stand in {len(zones)} zones, {intent.zones} are wanted.",
            f"Ask for zones={max(1, len(zones))}, or add nodes in other zones.",
        )
    if intent.replicas == 1:
        yield Finding(
            "MK0105",
            "warning",
            "control_plane.replicas",
            "one replica: while its node is drained or lost nothing is injected and no route changes.",
            "Ask for two or more.",
        )
    if intent.replicas < intent.zones:
        yield Finding(
            "MK0103",
            "warning",
            "control_plane.replicas",
            f"{intent.replicas} replicas cannot stand in {intent.zones} zones.",
            f"Ask for replicas={intent.zones} or more.",
        )


def _is_sandbox(nodes: Sequence[Object]) -> bool:
    infos = (node.get("status", {}).get("nodeInfo", {}) for node in nodes)
    return any(str(info.get("containerRuntimeVersion")).startswith(SANDBOX_RUNTIME) for info in infos)


def _namespace(intent: Injection | MutualTLS, snapshot: Snapshot) -> Iterator[Finding]:
    if intent.namespace is None or snapshot.find("Namespace", intent.namespace) is not None:
        return
    field = "injection.namespace" if isinstance(intent, Injection) else "mutual_tls.namespace"
    yield Finding(
        "MK0104",
        "error",
        field,
        f"the cluster has no namespace {intent.namespace!r}.",
        "Create it, or correct the name.",
    )
