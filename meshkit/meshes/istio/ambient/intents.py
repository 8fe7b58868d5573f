"""Checks of intents for the ambient mode: what ztunnel cannot do is refused, unless a waypoint does it."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Need, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.injection import Injection
from meshkit.intent.release import Release
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube.kinds import NAMESPACE
from meshkit.kube.metadata import title
from meshkit.kube.selectors import selected_pods
from meshkit.kube.workloads import rolling
from meshkit.meshes.istio.ambient.membership import MODE, enrolled, is_ambient, is_sidecar
from meshkit.meshes.istio.ambient.waypoints import GATEWAY, GATEWAY_CLASS, Served, Waypoints

_ASKED = {
    Access: "access.service",
    Route: "route.service",
    Release: "release.service",
    DestinationPolicy: "destination_policy.host",
}


def needs(intent: Intent) -> Iterator[Need]:
    """The objects that ``check`` reads beside Services and pods, as far as the account may."""
    if isinstance(intent, Access | Route | Release | DestinationPolicy):
        yield Need(GATEWAY, within=(intent.namespace,), optional=True)
        yield from (Need(kind, optional=True) for kind in (NAMESPACE, GATEWAY_CLASS))


def check(intent: Intent, snapshot: Snapshot) -> Iterator[Finding]:
    """Find what an intent asks for that the ambient mode does not do, or does otherwise."""
    match intent:
        case Injection():
            yield from _injection(intent, snapshot)
        case MutualTLS():
            yield from _mutual_tls(intent, snapshot)
        case Access() | Route() | Release() | DestinationPolicy():
            service = intent.service or ""
            pods = ambient_pods(intent.namespace, service, snapshot)
            if pods:
                waypoint = served(intent.namespace, service, snapshot)
                yield from _requests(intent, pods, waypoint, snapshot)


def ambient_pods(namespace: str, service: str, snapshot: Snapshot) -> str:
    """The pods of the ambient mode behind a Service, in words; empty if there are none."""
    found = snapshot.find("Service", service, namespace)
    selector = ((found or {}).get("spec") or {}).get("selector") or {}
    home = snapshot.find("Namespace", namespace) or {}
    pods = selected_pods(selector, namespace, snapshot) if selector else []
    inside = [pod for pod in pods if enrolled(pod, home)]
    if inside:
        return f"{len(inside)} of the {len(pods)} pods of Service {namespace}/{service}"
    if found is not None and not pods and is_ambient(home):
        return f"the pods of Service {namespace}/{service}"
    return ""


def served(namespace: str, service: str, snapshot: Snapshot) -> Served:
    """The waypoint that serves a Service."""
    found: Object = snapshot.find("Service", service, namespace) or {"metadata": {"namespace": namespace}}
    return Waypoints.of(snapshot.objects).of_service(found)


def _injection(intent: Injection, snapshot: Snapshot) -> Iterator[Finding]:
    home = snapshot.find("Namespace", intent.namespace)
    if home is not None and is_ambient(home):
        message = (
            f"namespace {intent.namespace} is of the ambient mode ({MODE}=ambient): its pods are in the "
        )
        message += "mesh without a sidecar, and one would take them out of that mode."
        yield codes.finding(codes.SIDECAR_IN_AMBIENT, "injection.namespace", message)
        return
    for workload in rolling(snapshot, intent.namespace):
        if by := enrolled(workload["spec"].get("template") or {}, {}):
            message = f"its pods ask for the ambient mode ({by}), and new ones get a sidecar in its place."
            where = title(workload)
            yield codes.finding(codes.SIDECAR_IN_AMBIENT, where, message, severity="warning")


def _mutual_tls(intent: MutualTLS, snapshot: Snapshot) -> Iterator[Finding]:
    names = sorted(item["metadata"]["name"] for item in snapshot.of("Namespace") if is_ambient(item))
    chosen = [name for name in names if intent.namespace in (None, name)]
    if not chosen or intent.mode == "permissive":
        return
    effect = (
        "ztunnel refuses plain text there, and refusals are not counted"
        if intent.mode == "strict"
        else "ztunnel keeps mutual TLS between pods of that mode"
    )
    message = f"{', '.join(chosen)} {'is' if len(chosen) == 1 else 'are'} of the ambient mode: {effect}."
    yield codes.finding(codes.MUTUAL_TLS_IN_AMBIENT, "mutual_tls.mode", message)


def _requests(
    intent: Access | Route | Release | DestinationPolicy, pods: str, waypoint: Served, snapshot: Snapshot
) -> Iterator[Finding]:
    where = _ASKED[type(intent)]
    if waypoint.works:
        if not isinstance(intent, DestinationPolicy):
            yield _at_waypoint(intent, where, waypoint.waypoint, snapshot)
        return
    if isinstance(intent, Access):
        asked = [field for field in ("paths", "methods") if getattr(intent, field)]
        if not asked:
            return
        where = f"access.{asked[0]}"
        effect = f"ztunnel reads no {' and no '.join(asked)}, so the policy would refuse every request"
    elif isinstance(intent, DestinationPolicy):
        effect = "ztunnel follows no DestinationRule, so no caller in the mode would follow the policy"
    else:
        effect = "ztunnel reads no HTTP, so no request of a caller in the mode would follow the route"
    lacking = waypoint.problem or "no waypoint serves the Service"
    message = f"{pods} are of the ambient mode and {lacking}: {effect}."
    yield codes.finding(codes.NEEDS_WAYPOINT, where, message)


def _at_waypoint(intent: Access | Route | Release, where: str, waypoint: str, snapshot: Snapshot) -> Finding:
    match intent:
        case Access():
            message = f"waypoint {waypoint} enforces it, by targetRefs in place of a selector."
            return codes.finding(codes.ACCESS_AT_WAYPOINT, where, message)
        case Route():
            message = f"waypoint {waypoint} follows it for callers of the ambient mode."
            return codes.finding(codes.ROUTE_AT_WAYPOINT, where, message)
    if any(map(is_sidecar, snapshot.of("Pod"))):
        message = f"waypoint {waypoint} splits the requests of callers in the ambient mode, which are not "
        message += "measured; the release measures and shifts those of callers with a sidecar."
        return codes.finding(codes.RELEASE_NOT_MEASURED, where, message, severity="warning")
    message = f"waypoint {waypoint} splits the requests, and no caller has a sidecar that counts them."
    return codes.finding(codes.RELEASE_NOT_MEASURED, where, message)
