"""A shop without a cluster, and the ways of requests there after a Route was planned for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from meshkit.checks.planned import schema
from meshkit.facts import Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import annotations_of, identity
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.definitions import crds
from meshkit.meshes.explain.ways import Way
from meshkit.meshes.routing.planned import after
from meshkit.operations.explain import explain

MESHES = ("istio", "linkerd")
CARRIERS = (*MESHES, "istio gateway")
"""A mesh, with the API that the Route asks for."""
DEFINITIONS = {
    (each["spec"]["group"], each["spec"]["names"]["kind"]): each
    for each in (*crds("istio"), *crds("gateway_api"))
}
MARKS = {
    "istio": {"labels": {"istio-injection": "enabled"}},
    "linkerd": {"annotations": {"linkerd.io/inject": "enabled"}},
}


def deployment(name: str, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}}


def service(name: str, port: int = 8080, **of_port: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": port, **of_port}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


WORKLOADS = (
    deployment("client", app="client", team="edge"),
    deployment("batch", app="batch"),
    deployment("web-v1", app="web", version="v1"),
    deployment("web-v2", app="web", version="v2"),
    deployment("other", app="other"),
    service("web"),
    service("other", 9090),
)


def route(rules: list[dict[str, Any]], **more: Any) -> Route:
    given = {"namespace": "shop", "service": "web", "port": 8080, "split": {"v1": 100}}
    return Route(**{**given, "versions": [{"name": "v1"}, {"name": "v2"}], "rules": rules, **more})


def planned(carrier: str, route: Route) -> tuple[Step, ...]:
    """The steps of a Route, whose objects are as their definitions ask for."""
    mesh, _, api = carrier.partition(" ")
    asked = route.model_copy(update={"api": api}) if api else route
    steps = registry.mesh(mesh).planner.plan(asked, Snapshot(WORKLOADS))
    for step in steps:
        definition = DEFINITIONS.get((step.kind.group, step.kind.kind))
        assert definition is None or not schema.problems(step.object, definition)
    return steps


def stored(snapshot: Snapshot, steps: tuple[Step, ...]) -> Snapshot:
    """The objects after the steps, with the annotations that steps add to objects of others."""
    held = {identity(obj): dict(obj) for obj in after(snapshot, steps).objects}
    for step in steps:
        if step.partial:
            obj = held[identity(step.object)]
            notes = {**annotations_of(obj), **annotations_of(step.object)}
            held[identity(step.object)] = {**obj, "metadata": {**obj["metadata"], "annotations": notes}}
    return Snapshot(tuple(held.values()))


def way(carrier: str, folder: Path, route: Route, path: str, caller: str = "client", **request: Any) -> Way:
    """The way of a request to ``web`` after the Route was applied."""
    mesh = carrier.partition(" ")[0]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **MARKS[mesh]}}
    steps = planned(carrier, route)
    file = folder / "all.yaml"
    file.write_text(yaml.safe_dump_all([namespace, *WORKLOADS, *(step.object for step in steps)]))
    asked = f"web.shop:8080{path}"
    (found,) = explain(asked, files=[file], caller=f"shop/{caller}", mesh=mesh, **request).ways
    return found


def target(found: Way) -> str:
    """``v2``, ``other:9090`` or the answer of the proxy."""
    if found.answer:
        return found.answer
    (one,) = found.destinations
    host = one.host.split(".")[0]
    return one.subset or host.removeprefix("web-") if host.startswith("web") else f"{host}:{one.port}"


V2 = {"split": {"v2": 100}}
MATCH = {"matches": [{"path": {"prefix": "/a"}}]}
