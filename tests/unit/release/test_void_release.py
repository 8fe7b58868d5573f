"""A release is refused before its start on a port where the mesh follows no route."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route, Version
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing import rivals
from meshkit.meshes.routing.releases import live_route, unmoved
from tests.unit.meshes.meshed import http_route, service, sidecar, virtual_service

RELEASE = Release(name="web-v2", namespace="shop", service="web", port=8080, stable="v1", canary="v2")
VERSIONS = (Version(name="v1"), Version(name="v2"))
ROUTE = Route(namespace="shop", service="web", port=8080, versions=VERSIONS, split={"v1": 100})
SPLIT = http_route("web-primary", [{"backendRefs": [{"name": "web-v1"}, {"name": "web-v2", "weight": 0}]}])
OPAQUE = {"config.linkerd.io/opaque-ports": "8000-8100"}
OVERRIDES = {"dstOverrides": [{"authority": "web-v1.shop.svc.cluster.local:8080", "weight": 1}]}


def port(**fields: Any) -> dict[str, Any]:
    """The Service web with one port of these fields."""
    made = service("web", 8080)
    made["spec"]["ports"] = [{"port": 8080, **fields}]
    return made


def opaque(web: dict[str, Any]) -> dict[str, Any]:
    web["metadata"]["annotations"] = OPAQUE
    return web


def profile(namespace: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": "web.shop.svc.cluster.local", "namespace": namespace}
    return {"apiVersion": "linkerd.io/v1alpha2", "kind": "ServiceProfile", "metadata": meta, "spec": spec}


def found(mesh: str, *objects: Object, callers: tuple[str, ...] = ("shop",)) -> WeightedRoute:
    return live_route(RELEASE, seen(mesh, *objects, callers=callers), MESHES[mesh])


def seen(mesh: str, *objects: Object, callers: tuple[str, ...] = ("shop",)) -> Snapshot:
    versions = (service("web-v1", 8080), service("web-v2", 8080))
    return Snapshot((*versions, *(sidecar(mesh, where) for where in callers), *objects))


@pytest.mark.parametrize(
    ("web", "why"),
    [
        (opaque(port(name="http")), "because of the annotation config.linkerd.io/opaque-ports"),
        (port(name="http", appProtocol="linkerd.io/opaque"), "because of appProtocol 'linkerd.io/opaque'"),
    ],
    ids=["annotation", "appProtocol"],
)
def test_linkerd_opaque_port(web: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=f"plain TCP {why}: the release would have no effect") as error:
        found("linkerd", web, SPLIT)
    assert error.value.field == "release.port"
    assert "config.linkerd.io/opaque-ports" in error.value.remedy


def test_linkerd_app_protocol_does_not_end_an_opaque_port() -> None:
    with pytest.raises(BadInput, match=r"because of the annotation config\.linkerd\.io/opaque-ports"):
        found("linkerd", opaque(port(appProtocol="http")), SPLIT)


def test_linkerd_annotation_with_other_ports_says_nothing() -> None:
    web = port(name="http")
    web["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": "9000"}
    assert found("linkerd", web, SPLIT).name == "web-primary"


def test_linkerd_service_profile() -> None:
    with pytest.raises(BadInput, match=r"ServiceProfile shop/web\.shop\.svc\.cluster\.local rules") as error:
        found("linkerd", service("web", 8080), SPLIT, profile("shop", **OVERRIDES))
    assert error.value.field == "release.service"
    assert "the release would have no effect" in error.value.problem


@pytest.mark.parametrize("spec", [{}, {"routes": []}])
def test_linkerd_service_profile_without_routes_says_nothing(spec: dict[str, Any]) -> None:
    assert found("linkerd", service("web", 8080), SPLIT, profile("shop", **spec)).name == "web-primary"


def test_linkerd_service_profile_of_some_callers_is_told() -> None:
    objects = (service("web", 8080), SPLIT, profile("tests", **OVERRIDES))
    snapshot = seen("linkerd", *objects, callers=("shop", "tests"))
    row = MESHES["linkerd"]
    (told,) = unmoved(RELEASE, live_route(RELEASE, snapshot, row), snapshot, row)
    assert told.startswith(
        "ServiceProfile tests/web.shop.svc.cluster.local rules the requests of callers in tests; "
    )
    (finding,) = rivals.check(ROUTE, snapshot, row)
    assert finding.severity == "warning"
    assert "callers in tests" in finding.message
    assert "Move its retries and timeouts into the Route" in finding.remedy


@pytest.mark.parametrize("fields", [{"name": "tcp-web"}, {"name": "http", "appProtocol": "tcp"}])
def test_istio_tcp_port(fields: dict[str, str]) -> None:
    split = virtual_service("web", "web", [{"route": [{"destination": {"host": "web-v1"}}]}])
    with pytest.raises(BadInput, match="Istio takes port 8080 of Service shop/web for plain TCP") as error:
        found("istio", port(**fields), split)
    assert error.value.field == "release.port"


@pytest.mark.parametrize("fields", [{"name": "tcp-web"}, {"name": "http", "appProtocol": "tcp"}])
def test_istio_route_on_a_tcp_port(fields: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=r"route\.port: Istio takes port 8080"):
        MESHES["istio"].planner.plan(ROUTE, seen("istio", port(**fields)))


@pytest.mark.parametrize(
    "fields", [{"name": "web"}, {"name": "tcp", "appProtocol": "http"}, {"name": "grpc"}]
)
def test_istio_port_that_may_speak_http(fields: dict[str, str]) -> None:
    to = [{"destination": {"host": f"web-{each}"}} for each in ("v1", "v2")]
    split = virtual_service("a-split", "web", [{"route": to}])
    assert found("istio", port(**fields), split).name == "a-split"
