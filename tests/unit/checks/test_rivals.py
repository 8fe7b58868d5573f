"""Routes of others that keep requests from a planned Route."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Object, Snapshot
from meshkit.intent.traffic import HeaderMatch, Route, Version
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing import rivals
from tests.unit.meshes.meshed import http_route, service, sidecar, virtual_service

VERSIONS = (Version(name="v1"), Version(name="v2"))
SHOP = (service("web", 8080, 9090), service("web-next", 8080))
TO_WEB = [{"route": [{"destination": {"host": "web.shop.svc.cluster.local"}}]}]
FULL = "web.shop.svc.cluster.local"


def route(**fields: Any) -> Route:
    return Route(namespace="shop", service="web", port=8080, versions=VERSIONS, split={"v1": 100}, **fields)


def found(mesh: str, *objects: Object, callers: tuple[str, ...] = ("shop",), **fields: Any) -> list[str]:
    pods = [sidecar(mesh, namespace) for namespace in callers]
    seen = Snapshot((*SHOP, *pods, *objects))
    findings = list(rivals.check(route(**fields), seen, MESHES[mesh]))
    assert all(finding.remedy for finding in findings)
    return [f"{each.code} {each.severity} {each.message.partition(' already')[0]}" for each in findings]


def test_an_older_virtual_service_of_another_namespace_is_a_rival() -> None:
    rival = virtual_service("web-defaults", FULL, TO_WEB, namespace="defaults")
    assert found("istio", rival) == ["MK0204 error VirtualService defaults/web-defaults"]


@pytest.mark.parametrize(
    "more",
    [
        {"gateways": ["istio-ingress/public"]},
        {"exportTo": ["~"]},
        {"http": [{"match": [{"port": 9090}], **TO_WEB[0]}]},
        {"http": [{"match": [{"gateways": ["istio-ingress/public"]}], **TO_WEB[0]}]},
        {"hosts": ["web.example.com"]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_virtual_service_for_other_requests_is_no_rival(more: dict[str, Any]) -> None:
    rival = virtual_service("web-ingress", FULL, TO_WEB)
    rival["spec"] |= more
    assert found("istio", rival) == []


def test_a_virtual_service_with_some_paths_only_keeps_all_requests() -> None:
    some = [{"match": [{"uri": {"prefix": "/admin"}}], **TO_WEB[0]}]
    assert found("istio", virtual_service("web-admin", FULL, some)) == [
        "MK0204 error VirtualService shop/web-admin"
    ]


def test_a_private_virtual_service_of_some_callers_is_a_warning() -> None:
    private = virtual_service("mine", FULL, TO_WEB, namespace="tests", exportTo=["."])
    assert found("istio", private, callers=("shop", "tests")) == ["MK0204 warning VirtualService tests/mine"]


def test_a_planned_change_of_the_oldest_route_has_no_rival() -> None:
    own = virtual_service("web", "web", TO_WEB)
    assert found("istio", own, virtual_service("other", FULL, TO_WEB, created="2026-02-01")) == []


@pytest.mark.parametrize("mesh", list(MESHES))
def test_an_older_http_route_with_the_same_match_is_a_rival(mesh: str) -> None:
    rival = http_route("a-web-split", [{"backendRefs": [{"name": "web-next", "port": 8080}]}])
    assert found(mesh, rival) == ["MK0204 error HTTPRoute shop/a-web-split"]


def test_an_older_http_route_takes_the_split_and_not_the_header() -> None:
    rival = http_route("a-web-split", [{"backendRefs": [{"name": "web-next", "port": 8080}]}])
    beta = HeaderMatch(header="x-beta", value="yes", version="v2")
    assert found("linkerd", rival, matches=(beta,)) == ["MK0204 error HTTPRoute shop/a-web-split"]


def test_an_http_route_with_a_narrower_match_holds_beside_the_planned_one() -> None:
    path = {"path": {"type": "PathPrefix", "value": "/admin"}}
    rules = [{"matches": [path], "backendRefs": [{"name": "web-next", "port": 8080}]}]
    assert found("linkerd", http_route("admin", rules)) == []


def test_an_http_route_for_another_port_is_no_rival() -> None:
    rules = [{"backendRefs": [{"name": "web-next", "port": 8080}]}]
    assert found("linkerd", http_route("admin", rules, port=9090)) == []


def test_without_a_proxy_a_caller_of_the_namespace_is_assumed() -> None:
    rival = virtual_service("web-defaults", FULL, TO_WEB, namespace="defaults")
    assert found("istio", rival, callers=()) == ["MK0204 error VirtualService defaults/web-defaults"]


def test_what_may_not_be_read_is_told() -> None:
    seen = Snapshot(SHOP, unread=("VirtualService outside shop",))
    (finding,) = rivals.check(route(), seen, MESHES["istio"])
    assert finding.code == "MK0231"
    assert finding.message == "this account may not read VirtualService outside shop."


def test_an_object_of_another_kind_with_the_rivals_name_is_no_rival() -> None:
    rival = virtual_service("defaults", FULL, TO_WEB)
    beside = http_route("defaults", [{"backendRefs": [{"name": "web-next", "port": 8080}]}], port=9090)
    assert found("istio", rival, beside) == ["MK0204 error VirtualService shop/defaults"]


def test_the_mesh_config_is_read_where_the_control_plane_is() -> None:
    plane = {"name": "istiod-1", "namespace": "mesh", "labels": {"app": "istiod"}}
    config = {"name": "istio", "namespace": "mesh"}
    home = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": plane,
            "spec": {"containers": [{"name": "discovery"}]},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": config,
            "data": {"mesh": 'defaultVirtualServiceExportTo: ["."]'},
        },
    ]
    rival = virtual_service("web-defaults", FULL, TO_WEB, namespace="defaults")
    assert found("istio", rival, *home) == []
