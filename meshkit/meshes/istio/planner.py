"""The planner for Istio: VirtualServices, DestinationRules, PeerAuthentications and namespace labels.

The DestinationRule is applied first, because requests to a subset fail with status 503 until its
DestinationRule defines it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.facts import Kind, Need, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.observability import Observability
from meshkit.intent.release import Release
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Fault, LoadBalancing, Retries, Route
from meshkit.kube import kinds as kube_kinds
from meshkit.kube import manifests
from meshkit.kube.kinds import NODE, POD, SERVICE
from meshkit.kube.steps import Step
from meshkit.kube.workloads import pods_of, restarts, rolling, workload_needs
from meshkit.meshes.base import WeightedRoute, not_plannable
from meshkit.meshes.gateway_api.routes import duration
from meshkit.meshes.istio import access as istio_access
from meshkit.meshes.istio import observability as istio_observability
from meshkit.meshes.istio.control_plane import NAMESPACE, VALIDATOR, control_plane
from meshkit.meshes.istio.injection import INJECTION_RULES
from meshkit.meshes.istio.revisions import INJECTION, REVISION, injection_mark

VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")
DESTINATION_RULE = Kind("networking.istio.io/v1", "DestinationRule")
PEER_AUTHENTICATION = Kind("security.istio.io/v1", "PeerAuthentication")

_RETRY_ON = {
    "gateway-error": "gateway-error,connect-failure,refused-stream",
    "5xx": "5xx,connect-failure,refused-stream",
}


@dataclass(frozen=True)
class IstioPlanner:
    """Plans for Istio."""

    mesh: str = "istio"

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        """The objects that ``plan`` and the checks read for this intent."""
        match intent:
            case ControlPlane():
                return (Need(NODE), Need(VALIDATOR))
            case Injection():
                return workload_needs(intent.namespace)
            case MutualTLS():
                return (Need(kube_kinds.NAMESPACE),)
            case Access():
                return istio_access.needs(intent)
            case Observability():
                return istio_observability.needs(intent)
            case Route():
                kinds = (SERVICE, POD, VIRTUAL_SERVICE, DESTINATION_RULE)
                return tuple(Need(kind, intent.namespace) for kind in kinds)
        raise not_plannable(intent)

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        """The steps that apply the intent, in order."""
        match intent:
            case ControlPlane():
                return control_plane(intent, snapshot)
            case Injection():
                return tuple(_injection(intent, snapshot))
            case MutualTLS():
                return (Step(_peer_authentication(intent)),)
            case Access():
                return istio_access.plan(intent, snapshot)
            case Observability():
                return istio_observability.plan(intent, snapshot)
            case Route():
                return (Step(_destination_rule(intent)), Step(_virtual_service(intent)))
        raise not_plannable(intent)

    def weighted_route(self, release: Release) -> WeightedRoute:
        """The VirtualService of the Service's name: a version is a subset in the route of that name."""
        return WeightedRoute(
            VIRTUAL_SERVICE,
            release.service,
            release.namespace,
            rules="http",
            destinations="route",
            version_at=("destination", "subset"),
            stable=release.stable,
            canary=release.canary,
            rule=release.route,
        )


PLANNER = IstioPlanner()


def _injection(intent: Injection, snapshot: Snapshot) -> list[Step]:
    label = injection_mark(intent.namespace, _revision(intent, snapshot))
    if not intent.restart:
        return [label]
    bare = [
        workload
        for workload in rolling(snapshot, intent.namespace)
        if not INJECTION_RULES.opted_out(workload["spec"].get("template") or {})
        and not all(map(INJECTION_RULES.runs_sidecar, pods_of(workload, snapshot)))
    ]
    return [label, *restarts(bare, intent.at_once)]


def _revision(intent: Injection, snapshot: Snapshot) -> str | None:
    """The revision to set.

    Without one in the intent the namespace keeps its own, which an upgrade may set.
    """
    found = snapshot.find("Namespace", intent.namespace) or {"metadata": {}}
    labels = found["metadata"].get("labels") or {}
    return intent.revision or (None if INJECTION in labels else labels.get(REVISION))


def _peer_authentication(intent: MutualTLS) -> dict[str, Any]:
    mtls = {"mode": intent.mode.upper()}
    return manifests.obj(PEER_AUTHENTICATION, "default", intent.namespace or NAMESPACE, spec={"mtls": mtls})


def mutual_tls(snapshot: Snapshot, namespace: str) -> str:
    """The mutual TLS mode of a namespace, by its own policy, else by that of the mesh."""
    for home in (namespace, NAMESPACE):
        for policy in snapshot.of(PEER_AUTHENTICATION.kind, home):
            spec = policy.get("spec") or {}
            mode = (spec.get("mtls") or {}).get("mode", "UNSET")
            if not spec.get("selector") and mode != "UNSET":
                return str(mode).lower()
    return "permissive"


def _destination_rule(route: Route) -> dict[str, Any]:
    subsets = [{"name": version.name, "labels": version.pod_labels()} for version in route.versions]
    spec: dict[str, Any] = {"host": route.service, "subsets": subsets}
    policy = _traffic_policy(route)
    if policy:
        spec["trafficPolicy"] = policy
    return manifests.obj(DESTINATION_RULE, route.service, route.namespace, spec=spec)


def _traffic_policy(route: Route) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    if route.load_balancing:
        policy["loadBalancer"] = _load_balancer(route.load_balancing)
    if route.connection_limits:
        limits = route.connection_limits
        http = {
            "http1MaxPendingRequests": limits.max_pending_requests,
            "http2MaxRequests": limits.max_requests,
            "maxRequestsPerConnection": limits.max_requests_per_connection,
        }
        pool = {"tcp": _given({"maxConnections": limits.max_connections}), "http": _given(http)}
        policy["connectionPool"] = {key: value for key, value in pool.items() if value}
    if route.outlier_detection:
        outlier = route.outlier_detection
        policy["outlierDetection"] = {
            "consecutive5xxErrors": outlier.consecutive_5xx,
            "interval": duration(outlier.interval_s),
            "baseEjectionTime": duration(outlier.base_ejection_s),
            "maxEjectionPercent": int(outlier.max_ejection_percent),
        }
        # Otherwise outlier detection would also enable locality failover, which the intent does not ask for.
        policy.setdefault("loadBalancer", {})["localityLbSetting"] = {"enabled": False}
    return policy


def _load_balancer(wanted: LoadBalancing) -> dict[str, Any]:
    if wanted.hash_header:
        return {"consistentHash": {"httpHeaderName": wanted.hash_header}}
    return {"simple": str(wanted.algorithm).upper()}


def _virtual_service(route: Route) -> dict[str, Any]:
    http = [
        _http_route(
            route,
            f"{route.name}-match-{number}",
            {match.version: None},
            match=[{"headers": {match.header.lower(): {"exact": match.value}}}],
        )
        for number, match in enumerate(route.matches, start=1)
    ]
    http.append(_http_route(route, route.name, route.weights()))
    return manifests.obj(
        VIRTUAL_SERVICE, route.service, route.namespace, spec={"hosts": [route.service], "http": http}
    )


def _http_route(route: Route, name: str, weights: Mapping[str, int | None], **first: Any) -> dict[str, Any]:
    destinations = [
        _given(
            {
                "destination": {
                    "host": route.service,
                    "subset": version,
                    "port": {"number": route.port},
                },
                "weight": weight,
            }
        )
        for version, weight in weights.items()
    ]
    return _given(
        {
            "name": name,
            **first,
            "route": destinations,
            "timeout": None if route.timeout_s is None else duration(route.timeout_s),
            "retries": _retries(route.retries),
            "fault": _fault(route.fault),
        }
    )


def _retries(retries: Retries | None) -> dict[str, Any] | None:
    if retries is None:
        return None
    per_try = None if retries.per_try_timeout_s is None else duration(retries.per_try_timeout_s)
    if not retries.attempts:
        return {"attempts": 0}
    return _given({"attempts": retries.attempts, "perTryTimeout": per_try, "retryOn": _RETRY_ON[retries.on]})


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    parts: dict[str, Any] = {}
    if fault.delay_s is not None:
        percentage = {"value": fault.delay_percent}
        parts["delay"] = {"fixedDelay": duration(fault.delay_s), "percentage": percentage}
    if fault.abort_status is not None:
        parts["abort"] = {"httpStatus": fault.abort_status, "percentage": {"value": fault.abort_percent}}
    return parts


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
