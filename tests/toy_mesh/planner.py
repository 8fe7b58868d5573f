"""The toy mesh's planner: routes are objects of a kind of its own, all else ConfigMaps and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.cohort import Cohort
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.observability import Observability
from meshkit.intent.release import MirrorFirst, Release
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube import manifests
from meshkit.kube.kinds import CONFIG_MAP, NAMESPACE, POD, SERVICE
from meshkit.kube.steps import Step
from meshkit.meshes.base import Edge, WeightedRoute, cannot, not_plannable

HOME, VERSION = "toy-system", "1.0"
INJECT = "toy.example.com/inject"
GROUP = "toy.example.com"
ROUTE = Kind(f"{GROUP}/v1", "ToyRoute")
SETTINGS, POLICY = "toy-settings", "toy-mutual-tls"


class ToyPlanner:
    """Plans for the toy mesh."""

    mesh = "toy"

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        match intent:
            case ControlPlane():
                return ()
            case Injection() | MutualTLS():
                return (Need(NAMESPACE),)
            case Route():
                return tuple(Need(kind, intent.namespace) for kind in (SERVICE, POD, ROUTE))
            case Access() | Observability():
                return ()
        raise not_plannable(intent)

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        match intent:
            case ControlPlane():
                return _control_plane(intent)
            case Injection():
                return (manifests.namespace_part(intent.namespace, "injection", labels={INJECT: "enabled"}),)
            case MutualTLS():
                return (_policy(intent.namespace or HOME, intent.mode),)
            case Route():
                return (Step(manifests.obj(ROUTE, intent.service, intent.namespace, spec=_spec(intent))),)
            case Access():
                raise cannot("The toy mesh", Access, "callers", "Take another mesh.")
            case Observability():
                raise cannot("The toy mesh", Observability, "rules", "Take another mesh.")
        raise not_plannable(intent)

    def weighted_route(self, release: Release) -> WeightedRoute:
        return WeightedRoute(
            ROUTE,
            release.service,
            release.namespace,
            rules="rules",
            destinations="backends",
            version_at=("version",),
            stable=release.stable,
            canary=release.canary,
        )

    def require_followed(self, release: Release, snapshot: Snapshot) -> None:
        return None

    def splits(self, release: Release, obj: Object, snapshot: Snapshot) -> Iterator[WeightedRoute]:
        return iter(())

    def edge(self, release: Release, snapshot: Snapshot) -> Edge:
        return Edge()

    def cohort_rule(self, cohort: Cohort, rule: Object, route: WeightedRoute) -> Object:
        raise ValueError("the toy mesh has no rules by header")

    def mirror_entry(
        self, mirror: MirrorFirst, rule: Object, route: WeightedRoute, port: int
    ) -> tuple[str, Object]:
        raise cannot("The toy mesh", Release, "mirror", "Begin with a small step.")


PLANNER = ToyPlanner()


def mutual_tls(snapshot: Snapshot, namespace: str) -> str:
    found = snapshot.find(CONFIG_MAP.kind, POLICY, namespace) or {}
    return str((found.get("data") or {}).get("mode", "permissive"))


def _control_plane(intent: ControlPlane) -> tuple[Step, ...]:
    data = {"version": intent.version or VERSION}
    settings = Step(manifests.obj(CONFIG_MAP, SETTINGS, intent.namespace or HOME, data=data))
    return (*manifests.crd_steps([_definition()]), settings)


def _policy(namespace: str, mode: str) -> Step:
    return Step(manifests.obj(CONFIG_MAP, POLICY, namespace, data={"mode": mode}))


def _spec(route: Route) -> dict[str, Any]:
    shares = [{"version": name, "weight": weight} for name, weight in route.weights().items()]
    return {"service": route.service, "rules": [{"backends": shares}]}


def _definition() -> dict[str, Any]:
    backend = _object({"version": {"type": "string"}, "weight": {"type": "integer"}})
    rule = _object({"backends": {"type": "array", "items": backend}})
    spec = _object({"service": {"type": "string"}, "rules": {"type": "array", "items": rule}}, ["rules"])
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object({"spec": spec})},
    }
    names = {"kind": ROUTE.kind, "plural": "toyroutes", "singular": "toyroute", "listKind": "ToyRouteList"}
    kind = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    body = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    return manifests.obj(kind, f"toyroutes.{GROUP}", spec=body)


def _object(properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": [*required]} if required else {})}
