"""What a cluster lacks for the ambient mode, and the callers that bypass waypoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.istio.ambient.membership import is_sidecar
from meshkit.meshes.istio.checks.migration.scope import Scope

_NEED_WAYPOINT = (
    codes.MOVE_POLICY,
    codes.MOVE_ROUTE,
    codes.MOVE_TRAFFIC_POLICY,
    codes.MOVE_WASM,
    codes.MOVE_REQUEST_AUTHENTICATION,
)
_GATEWAYS = "gateways.gateway.networking.k8s.io"
_AGENT, _SETTING = "istio-cni-node", "PILOT_ENABLE_AMBIENT"


def check(scope: Scope, found: Sequence[Finding]) -> Iterator[Finding]:
    """Find parts of Istio that are missing, and callers that bypass the waypoints that ``found`` needs."""
    yield from _parts(scope)
    needed = {code.id for code in _NEED_WAYPOINT} & {finding.code for finding in found}
    served = any(scope.waypoints.of_service(service).works for service in scope.services.values())
    if needed and scope.view.of("CustomResourceDefinition"):
        names = {item["metadata"]["name"] for item in scope.view.of("CustomResourceDefinition")}
        if _GATEWAYS not in names:
            where = f"CustomResourceDefinition {_GATEWAYS}"
            yield codes.finding(codes.MOVE_NO_GATEWAY_API, where, "it is not installed.")
    if needed or served:
        yield from _callers(scope)


def _parts(scope: Scope) -> Iterator[Finding]:
    node_proxy = facts_of(scope.view.mesh).node_proxy
    images = [
        str(container.get("image", ""))
        for item in scope.view.of("DaemonSet")
        for container in item["spec"]["template"]["spec"].get("containers") or ()
    ]
    where = f"Namespace {scope.view.home}"
    if not any(node_proxy in image for image in images):
        yield codes.finding(codes.MOVE_NOT_INSTALLED, where, "no DaemonSet runs ztunnel.")
    if not any(item["metadata"]["name"] == _AGENT for item in scope.view.of("DaemonSet")):
        message = f"there is no DaemonSet {_AGENT}, which redirects the connections of pods to ztunnel."
        yield codes.finding(codes.MOVE_NOT_INSTALLED, where, message)
    for component in scope.view.components:
        containers = component["spec"]["template"]["spec"].get("containers") or ()
        values = {v["name"]: v.get("value") for c in containers for v in c.get("env") or ()}
        if str(values.get(_SETTING)).lower() != "true":
            message = f"{_SETTING} is not 'true', so istiod sends ztunnel nothing."
            yield codes.finding(codes.MOVE_NOT_INSTALLED, title(component), message)


def _callers(scope: Scope) -> Iterator[Finding]:
    staying = sorted(
        {
            pod["metadata"]["namespace"]
            for pod in scope.view.meshed
            if is_sidecar(pod) and pod["metadata"]["namespace"] not in scope.namespaces
        }
    )
    if staying:
        shown = ", ".join(staying[:4]) + (f" and {len(staying) - 4} more" if len(staying) > 4 else "")
        message = f"pods of {shown} keep their sidecars, and their requests reach no waypoint."
        for name in sorted(scope.namespaces):
            yield codes.finding(codes.MOVE_CALLERS, f"Namespace {name}", message)
