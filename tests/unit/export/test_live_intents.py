"""Intents are read back from what plans wrote, and what is not read back is named."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.document import load_intents
from meshkit.intent.injection import Injection
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.kube.helm import merged
from meshkit.kube.metadata import identity
from meshkit.meshes import registry
from meshkit.meshes.definitions import defaulted
from meshkit.operations.export.live_intents import IntentsExport, export_intents
from tests.unit.operations.explained import WORKLOADS, Api, cluster, objects

ROUTE = Route(
    namespace="shop",
    service="web",
    port=8080,
    versions=(Version(name="v1"), Version(name="v2")),
    split={"v1": 90, "v2": 10},
    timeout_s=2.5,
)
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""


def held(mesh: str, *intents: Intent, manager: str = "meshkit") -> list[dict[str, Any]]:
    """The shop after plans of these intents were applied."""
    there = {identity(each): each for each in objects(mesh, NAMESPACE, WORKLOADS)}
    for each in there.values():
        if each["kind"] == "Deployment":
            labels = each["spec"]["template"]["metadata"]["labels"]
            each["spec"] = {**each["spec"], "selector": {"matchLabels": labels}}
    for intent in intents:
        for step in registry.mesh(mesh).planner.plan(intent, Snapshot(tuple(there.values()))):
            if step.kind.kind not in ("Namespace", "Deployment") and step.partial:
                continue
            found = dict(there.get(identity(step.object)) or {})
            entry = {"manager": manager, "fieldsV1": {"f:spec": {"f:http": {}, "f:rules": {}}}}
            meta = {**merged(found.get("metadata", {}), step.object["metadata"]), "managedFields": [entry]}
            there[identity(step.object)] = {**found, **step.object, "metadata": meta}
    return list(there.values())


def export(mesh: str, there: list[dict[str, Any]], **given: Any) -> IntentsExport:
    return export_intents(cluster(Api(there), mesh), **given)


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_what_was_planned_is_read_back(mesh: str) -> None:
    intents = [
        Injection(namespace="shop", restart=False),
        MutualTLS(mode="strict", namespace="shop"),
        ROUTE,
    ]
    found = export(mesh, held(mesh, *intents))
    assert found.intents[:2] == (Injection(namespace="shop"), intents[1])
    (route,) = found.intents[2:]
    assert isinstance(route, Route)
    assert (route.service, route.port, route.split, route.timeout_s) == ("web", 8080, ROUTE.split, 2.5)
    assert load_intents(found.yaml) == list(found.intents)
    assert [text.partition(":")[0] for text in found.not_read_back] == ["ControlPlane"]


def test_mutual_tls_of_the_whole_mesh_is_read_back() -> None:
    found = export("istio", held("istio", MutualTLS(mode="strict")))
    assert found.intents == (MutualTLS(mode="strict"),)
    assert export("istio", held("istio", MutualTLS(mode="strict")), namespaces=["shop"]).intents == ()


def test_a_revision_is_read_back() -> None:
    injection = Injection(namespace="shop", revision="prod", restart=False)
    found = export("istio", held("istio", injection))
    assert found.intents == (Injection(namespace="shop", revision="prod"),)


def test_what_is_not_read_back_is_named() -> None:
    access = Access(namespace="shop", service="web", callers=(Caller(namespace="shop", service_account="a"),))
    found = export("istio", held("istio", access))
    assert found.intents == ()
    told = "\n".join(found.not_read_back)
    assert "AuthorizationPolicy shop/" in told
    assert all(f"# not read back: {text}" in found.yaml for text in found.not_read_back)


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        ("argocd-controller", "VirtualService shop/web: it is managed by argocd-controller, not by meshkit."),
        ("meshkit-release", "VirtualService shop/web: a release shifts its weights now."),
    ],
)
def test_routes_of_others_and_of_a_running_release_stay_objects(manager: str, told: str) -> None:
    found = export("istio", held("istio", ROUTE, manager=manager))
    assert found.intents == ()
    assert told in found.not_read_back


def test_a_route_with_more_than_a_route_writes_stays_an_object() -> None:
    there = held("istio", ROUTE)
    (service,) = [each for each in there if each["kind"] == "VirtualService"]
    service["spec"] = {**service["spec"], "http": [dict(each) for each in service["spec"]["http"]]}
    service["spec"]["http"][0]["headers"] = {"request": {"set": {"x-more": "1"}}}
    found = export("istio", there)
    assert found.intents == ()
    assert any(
        "VirtualService shop/web: it has more than a Route writes" in text for text in found.not_read_back
    )


def test_a_route_is_read_back_as_a_server_stores_it() -> None:
    """With the defaults of HTTPRoutes, and after a release has written weights of another scale."""
    there = held("linkerd", ROUTE)
    (stored,) = [each for each in there if each["kind"] == "HTTPRoute"]
    stored["spec"] = defaulted(stored, definition("HTTPRoute"))["spec"]
    for each in there:
        if each["kind"] == "Service":
            each["spec"] = {**each["spec"], "clusterIP": "10.0.0.1", "type": "ClusterIP"}
    backends = stored["spec"]["rules"][0]["backendRefs"]
    for each, weight in zip(backends, (900, 100), strict=True):
        each["weight"] = weight
    (route,) = export("linkerd", there).intents
    assert isinstance(route, Route)
    assert route.split == ROUTE.split


def definition(kind: str) -> Any:
    crds = registry.mesh("linkerd").crds()
    return next(
        each for each in crds if each["metadata"]["name"] == f"{kind.lower()}s.gateway.networking.k8s.io"
    )
