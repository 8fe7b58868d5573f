"""The planner for Linkerd: routes of Gateway API, one Service for each version, and annotations.

Linkerd has no subsets, so each version gets a separate Service behind the one that clients use. The inbound
policy is copied to a pod when it is created, so changing it restarts workloads. What Linkerd does not support
(``limits``) is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshkit.facts import Need, Object, Snapshot
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
from meshkit.kube.manifests import namespace_part
from meshkit.kube.metadata import annotations_of
from meshkit.kube.steps import Step
from meshkit.kube.workloads import pods_of, restarts, rolling, workload_needs
from meshkit.meshes.base import Edge, WeightedRoute, cannot, not_plannable
from meshkit.meshes.gateway_api.release_rules import cohort_rule
from meshkit.meshes.gateway_api.routes import weighted_route
from meshkit.meshes.gateway_api.splits import splits
from meshkit.meshes.linkerd import access as linkerd_access
from meshkit.meshes.linkerd import observability as linkerd_observability
from meshkit.meshes.linkerd.annotations import injected_namespaces, tell
from meshkit.meshes.linkerd.control_plane import control_plane, control_plane_needs
from meshkit.meshes.linkerd.injection import INJECT, INJECTION_RULES
from meshkit.meshes.linkerd.traffic import breakers, egress, routes
from meshkit.meshes.linkerd.traffic.edges import others_edge
from meshkit.meshes.linkerd.traffic.routable import (
    EXPOSURE_LIMITS,
    POLICY_LIMITS,
    cannot_expose,
    refuse_void,
)
from meshkit.meshes.routing.capabilities import Limits

INBOUND_POLICY = "config.linkerd.io/default-inbound-policy"
POLICIES = {"strict": "all-authenticated", "permissive": "all-unauthenticated"}
STRICT_POLICIES = ("all-authenticated", "cluster-authenticated")
"""The values of INBOUND_POLICY that refuse callers without an identity."""


@dataclass(frozen=True)
class LinkerdPlanner:
    """Plans for Linkerd."""

    mesh: str = "linkerd"

    @property
    def limits(self) -> Mapping[str, Limits]:
        """The fields of a Route that ``plan`` refuses."""
        return routes.LIMITS

    @property
    def policy_limits(self) -> Limits:
        """The fields of a DestinationPolicy that ``plan`` refuses."""
        return POLICY_LIMITS

    @property
    def egress_limits(self) -> Limits:
        """The fields of an Egress that ``plan`` refuses."""
        return egress.LIMITS

    @property
    def exposure_limits(self) -> Limits:
        """The fields of an Exposure that ``plan`` refuses: all."""
        return EXPOSURE_LIMITS

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        """The objects that ``plan`` and the checks read for this intent."""
        match intent:
            case ControlPlane():
                return control_plane_needs(intent)
            case Injection() | MutualTLS():
                return workload_needs(intent.namespace)
            case Access():
                return linkerd_access.needs(intent)
            case Observability():
                return linkerd_observability.needs(intent)
            case Route():
                return routes.needs(intent)
            case DestinationPolicy():
                return breakers.needs(intent)
            case Egress():
                return egress.needs(intent)
            case Exposure():
                raise cannot_expose()
        raise not_plannable(intent)

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        """The steps that apply the intent, in order."""
        match intent:
            case ControlPlane():
                return control_plane(intent, snapshot)
            case Injection():
                return tuple(_injection(intent, snapshot))
            case MutualTLS():
                return tuple(_mutual_tls(intent, snapshot))
            case Access():
                return linkerd_access.plan(intent, snapshot)
            case Observability():
                return linkerd_observability.plan(intent, snapshot)
            case Route():
                return routes.plan(intent, snapshot)
            case DestinationPolicy():
                return tuple(breakers.plan(intent, snapshot))
            case Egress():
                return tuple(egress.plan(intent, snapshot))
            case Exposure():
                raise cannot_expose()
        raise not_plannable(intent)

    def weighted_route(self, release: Release) -> WeightedRoute:
        """The HTTPRoute of the release's route: a version is a Service of its own."""
        return weighted_route(release)

    def require_followed(self, release: Release, snapshot: Snapshot) -> None:
        """Raise ``BadInput`` for an opaque port and for a Service with a ServiceProfile."""
        refuse_void(release, snapshot)

    def splits(self, release: Release, obj: Object, snapshot: Snapshot) -> Iterator[WeightedRoute]:
        """The rules of an HTTPRoute or GRPCRoute that split requests between both versions."""
        return splits(release, obj, snapshot)

    def edge(self, release: Release, snapshot: Snapshot) -> Edge:
        """No rules: a gateway beside Linkerd follows those of its own controller."""
        return others_edge(release, snapshot)

    def cohort_rule(self, cohort: Cohort, rule: Object, route: WeightedRoute) -> Object:
        """The rule of an HTTPRoute or GRPCRoute for the requests of a cohort."""
        return cohort_rule(cohort, rule, route)

    def mirror_entry(
        self, mirror: MirrorFirst, rule: Object, route: WeightedRoute, port: int
    ) -> tuple[str, Object]:
        """Linkerd copies no requests, and drops a route that asks for it."""
        instead = (
            "Choose testers, whose requests reach the canary before it gets a share, or begin with a small"
            " step, such as 1."
        )
        raise cannot("Linkerd", Release, "mirror", instead)


PLANNER = LinkerdPlanner()


def _injection(intent: Injection, snapshot: Snapshot) -> list[Step]:
    if intent.revision:
        raise cannot("Linkerd", Injection, "revision", "Leave it out: Linkerd has one control plane.")
    mark = namespace_part(intent.namespace, "injection", annotations={INJECT: "enabled"})
    if not intent.restart:
        return [mark]
    bare = [
        workload
        for workload in rolling(snapshot, intent.namespace)
        if not INJECTION_RULES.opted_out(workload["spec"].get("template") or {})
        and not all(map(INJECTION_RULES.runs_sidecar, pods_of(workload, snapshot)))
    ]
    return [mark, *restarts(bare, intent.at_once)]


def _mutual_tls(intent: MutualTLS, snapshot: Snapshot) -> list[Step]:
    if intent.mode not in POLICIES:
        instead = "Linkerd always offers mutual TLS between its proxies: choose permissive or strict."
        raise cannot("Linkerd", MutualTLS, "mode: disable", instead)
    without = "name the namespace"
    namespaces = (
        [intent.namespace]
        if intent.namespace
        else injected_namespaces(snapshot, "mutual_tls.namespace", without)
    )
    policy, silence = POLICIES[intent.mode], POLICIES["permissive"]
    return [
        step
        for namespace in namespaces
        for step in tell(namespace, "mutual-tls", INBOUND_POLICY, policy, silence, snapshot)
    ]


def mutual_tls(snapshot: Snapshot, namespace: str) -> str:
    """The mutual TLS mode of new pods in a namespace: ``strict`` or ``permissive``."""
    found = snapshot.find("Namespace", namespace) or {}
    return "strict" if annotations_of(found).get(INBOUND_POLICY) in STRICT_POLICIES else "permissive"
