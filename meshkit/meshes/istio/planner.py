"""The planner for Istio: PeerAuthentications, namespace labels, and what its other modules plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.cohort import Cohort
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.edges.exposure import Exposure
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.observability import Observability
from meshkit.intent.release import MirrorFirst, Release
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube import kinds as kube_kinds
from meshkit.kube import manifests
from meshkit.kube.kinds import NODE
from meshkit.kube.steps import Step
from meshkit.kube.workloads import pods_of, restarts, rolling, workload_needs
from meshkit.meshes.base import Edge, WeightedRoute, not_plannable
from meshkit.meshes.gateway_api.release_rules import cohort_rule as gateway_cohort_rule
from meshkit.meshes.gateway_api.release_rules import mirror_entry as gateway_mirror
from meshkit.meshes.gateway_api.splits import splits as gateway_splits
from meshkit.meshes.istio import access as istio_access
from meshkit.meshes.istio import observability as istio_observability
from meshkit.meshes.istio.ambient.membership import enrolled
from meshkit.meshes.istio.control_plane import NAMESPACE, VALIDATOR, control_plane
from meshkit.meshes.istio.injection import INJECTION_RULES
from meshkit.meshes.istio.revisions import INJECTION, REVISION, injection_mark
from meshkit.meshes.istio.traffic import apis as istio_routes
from meshkit.meshes.istio.traffic import edges, egress, exposures, policies
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE
from meshkit.meshes.istio.traffic.release_rules import cohort_rule as virtual_service_cohort_rule
from meshkit.meshes.istio.traffic.release_rules import mirror_entry as virtual_service_mirror
from meshkit.meshes.istio.traffic.routes import VIRTUAL_SERVICE, refuse_tcp
from meshkit.meshes.istio.traffic.splits import splits as virtual_service_splits
from meshkit.meshes.routing.capabilities import Limits
from meshkit.meshes.routing.edges import edge

__all__ = [
    "DESTINATION_RULE",
    "PEER_AUTHENTICATION",
    "PLANNER",
    "VIRTUAL_SERVICE",
    "IstioPlanner",
    "mutual_tls",
]
PEER_AUTHENTICATION = Kind("security.istio.io/v1", "PeerAuthentication")


@dataclass(frozen=True)
class IstioPlanner:
    """Plans for Istio."""

    mesh: str = "istio"

    @property
    def limits(self) -> Mapping[str, Limits]:
        """The fields of a Route that ``plan`` refuses."""
        return istio_routes.LIMITS

    @property
    def policy_limits(self) -> Limits:
        """The fields of a DestinationPolicy that ``plan`` refuses."""
        return policies.LIMITS

    @property
    def egress_limits(self) -> Limits:
        """The fields of an Egress that ``plan`` refuses."""
        return egress.LIMITS

    @property
    def exposure_limits(self) -> Limits:
        """The fields of an Exposure that ``plan`` refuses: none."""
        return exposures.LIMITS

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
                return istio_routes.needs(intent)
            case DestinationPolicy():
                return policies.needs(intent)
            case Egress():
                return egress.needs(intent)
            case Exposure():
                return exposures.needs(intent)
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
                return istio_routes.plan(intent, snapshot)
            case DestinationPolicy():
                return policies.plan(intent, snapshot)
            case Egress():
                return egress.plan(intent)
            case Exposure():
                return exposures.plan(intent)
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
            rule=release.route_name,
            port=release.port,
        )

    def require_followed(self, release: Release, snapshot: Snapshot) -> None:
        """Raise ``BadInput`` for a port that Istio treats as plain TCP."""
        refuse_tcp(release, snapshot)

    def splits(self, release: Release, obj: Object, snapshot: Snapshot) -> Iterator[WeightedRoute]:
        """The rules of a VirtualService, HTTPRoute or GRPCRoute that split requests between both versions."""
        of_kind = virtual_service_splits if obj["kind"] == VIRTUAL_SERVICE.kind else gateway_splits
        return of_kind(release, obj, snapshot)

    def edge(self, release: Release, snapshot: Snapshot) -> Edge:
        """The rules of routes that are bound to a gateway."""
        return edge(release, snapshot, edges.READERS)

    def cohort_rule(self, cohort: Cohort, rule: Object, route: WeightedRoute) -> Object:
        """The rule of a VirtualService, HTTPRoute or GRPCRoute for the requests of a cohort."""
        is_own = route.kind.kind == VIRTUAL_SERVICE.kind
        return (virtual_service_cohort_rule if is_own else gateway_cohort_rule)(cohort, rule, route)

    def mirror_entry(
        self, mirror: MirrorFirst, rule: Object, route: WeightedRoute, port: int
    ) -> tuple[str, Object]:
        """The entry of ``mirrors`` of a VirtualService's rule, or of ``filters`` of a Gateway API route's."""
        is_own = route.kind.kind == VIRTUAL_SERVICE.kind
        return (virtual_service_mirror if is_own else gateway_mirror)(mirror, rule, route, port)


PLANNER = IstioPlanner()


def _injection(intent: Injection, snapshot: Snapshot) -> list[Step]:
    label = injection_mark(intent.namespace, _revision(intent, snapshot))
    if not intent.restart:
        return [label]
    bare = [
        workload
        for workload in rolling(snapshot, intent.namespace)
        if not INJECTION_RULES.opted_out(workload["spec"].get("template") or {})
        and not enrolled(workload["spec"].get("template") or {}, {})
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
