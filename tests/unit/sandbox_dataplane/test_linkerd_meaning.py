"""What Linkerd makes of Services and routes, by its meaning alone: no Envoy runs."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.meshes.linkerd.meaning import reliability
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.outbound import Outbound, Route
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.requests import Request, holds
from tests.unit.sandbox_dataplane.linkerd_objects import to

Made = dict[str, Any]
POLICY = "policy.linkerd.io"


def service(name: str = "web", port: Made | None = None, **notes: str) -> Made:
    """A Service of one port, and its annotations."""
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"svc-{name}", "annotations": notes},
        "spec": {"ports": [{"name": "p", "port": 8080, **(port or {})}], "clusterIP": "10.96.0.1"},
    }


def route(
    *rules: Made, name: str = "r", namespace: str = "shop", created: str = "2026-01-01", **parent: Any
) -> Made:
    meta = {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": created}
    on = {"group": "", "kind": "Service", "name": "web", "namespace": "shop", **parent}
    return {"metadata": meta, "spec": {"parentRefs": [on], "rules": list(rules)}}


def profile(namespace: str = "shop", **spec: Any) -> Made:
    meta = {"name": "web.shop.svc.cluster.local", "namespace": namespace, "uid": f"sp-{namespace}"}
    return {"metadata": meta, "spec": spec}


def meaning(caller: str = "shop", **objects: list[Made]) -> Outbound:
    held = {"services": [service(), service("web-v1"), service("web-v2")], **objects}
    held = {key.replace("__", "."): items for key, items in held.items()}
    return linkerd.outbound(Registry(held, "linkerd"), caller)


def routes(found: Outbound, name: str = "web.shop", port: int = 8080) -> tuple[Route, ...]:
    host = f"{name}.svc.cluster.local"
    return next(each.routes for each in found.hosts if (each.service, each.port) == (host, port))


def told(found: Outbound) -> list[tuple[str, str]]:
    return [(problem.object["metadata"]["name"], problem.reason) for problem in found.problems]


def goes_to(found: Outbound, name: str = "web.shop") -> list[list[tuple[str, int]]]:
    """The Services and weights behind each route."""
    return [
        [(str(each.cluster).rpartition("|")[2].partition(".")[0], each.weight) for each in one.backends]
        for one in routes(found, name)
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2.0), ("2500ms", 2.5), ("1m", 60.0), ("1h", 3600.0), ("1d", 86400.0), ("0", 0.0)],
)
def test_a_duration_is_one_number_and_one_unit(text: str, seconds: float) -> None:
    assert reliability.one_unit_s(text) == seconds


@pytest.mark.parametrize("text", ["2s500ms", "1m30s", "1.5s", "5", "-1s", "1us", "", "s"])
def test_no_other_duration_is_read(text: str) -> None:
    with pytest.raises(ValueError, match="one whole number and one unit"):
        reliability.one_unit_s(text)


@pytest.mark.parametrize("text", ["2s500ms", "1m30s"])
def test_a_timeout_of_two_units_is_none_on_gateway_apis_routes(text: str) -> None:
    found = meaning(httproutes=[route({"timeouts": {"request": text}, "backendRefs": [to("web-v1")]})])
    assert [each.timeout_s for each in routes(found)] == [None]
    ((name, reason),) = told(found)
    assert (name, reason) == ("r", "TimeoutVoid")
    assert text in found.problems[0].message


def test_linkerds_own_routes_take_timeouts_of_two_units() -> None:
    own = route({"timeouts": {"request": "2s500ms"}, "backendRefs": [to("web-v1")]})
    found = meaning(httproutes__policy=[own])
    assert [each.timeout_s for each in routes(found)] == [2.5]
    assert not found.problems


def test_a_routes_timeout_is_before_that_of_its_service() -> None:
    web = service(**{"timeout.linkerd.io/request": "4s"})
    rules = [{"timeouts": {"request": "7s"}, "backendRefs": [to("web-v1")]}, {"backendRefs": [to("web-v2")]}]
    rules[1]["matches"] = [{"path": {"value": "/x"}}]
    services = [web, service("web-v1"), service("web-v2")]
    found = meaning(services=services, httproutes=[route(*rules)])
    assert [each.timeout_s for each in routes(found)] == [4.0, 7.0]
    noted = route(*rules)
    noted["metadata"]["annotations"] = {"timeout.linkerd.io/request": "9s"}
    assert [each.timeout_s for each in routes(meaning(services=services, httproutes=[noted]))] == [9.0, 9.0]


def test_a_rule_without_backends_goes_to_the_parent() -> None:
    found = meaning(
        httproutes=[route({"matches": [{"path": {"value": "/a"}}]}, {"backendRefs": [to("web-v2")]})]
    )
    assert goes_to(found) == [[("web", 1)], [("web-v2", 1)]]
    assert not found.problems


@pytest.mark.parametrize(
    ("notes", "kind"),
    [
        ({"retry.linkerd.io/limit": "many"}, "httproutes"),
        ({"retry.linkerd.io/http": "5xx,teapot"}, "httproutes"),
        ({"retry.linkerd.io/http": "504-500"}, "httproutes"),
        ({"retry.linkerd.io/timeout": "1.5s"}, "httproutes"),
        ({"timeout.linkerd.io/request": "1m30s"}, "httproutes"),
        ({"timeout.linkerd.io/idle": "soon"}, "httproutes"),
        ({"retry.linkerd.io/grpc": "ok"}, "grpcroutes"),
        ({"balancer.linkerd.io/failure-accrual": "sometimes"}, "httproutes"),
    ],
)
def test_a_route_with_an_annotation_that_cannot_be_read_is_dropped(notes: dict[str, str], kind: str) -> None:
    item = route({"backendRefs": [to("web-v1")]})
    item["metadata"]["annotations"] = notes
    found = meaning(**{kind: [item]})
    assert goes_to(found) == [[("web", 1)]]
    assert told(found) == [("r", "RouteDropped")]
    (key,) = notes
    assert key in found.problems[0].message


def test_a_service_goes_on_without_what_cannot_be_read() -> None:
    web = service()
    web["metadata"]["annotations"] = {
        "timeout.linkerd.io/request": "1m30s",
        "retry.linkerd.io/http": "5xx",
        "balancer.linkerd.io/failure-accrual": "consecutive",
        "balancer.linkerd.io/failure-accrual-consecutive-min-penalty": "2m",
    }
    found = meaning(services=[web])
    (only,) = routes(found)
    assert only.timeout_s is None
    assert only.retry is not None
    assert (only.retry.attempts, only.retry.retry_on[0]) == (1, "5xx")
    assert found.clusters[0].outlier is None
    assert told(found) == [("web", "AnnotationUnreadable")] * 2


def test_a_limit_of_no_retries_asks_for_one() -> None:
    found = reliability.retry({"retry.linkerd.io/http": "5xx", "retry.linkerd.io/limit": "0"})
    assert found is not None
    assert found.attempts == 1


@pytest.mark.parametrize(
    "port", [{}, {"appProtocol": "linkerd.io/opaque"}, {"appProtocol": "linkerd.io/tcp"}]
)
def test_routes_on_an_opaque_port_are_void(port: Made) -> None:
    web = service("web", port)
    if not port:
        web["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": "9000-9999,8080"}
    web["metadata"]["annotations"]["timeout.linkerd.io/request"] = "1s"
    found = meaning(services=[web, service("web-v1")], httproutes=[route({"backendRefs": [to("web-v1")]})])
    assert goes_to(found) == [[("web", 1)]]
    assert (routes(found)[0].timeout_s, routes(found)[0].retry) == (None, None)
    assert found.hosts[0].protocol == "tcp"
    assert told(found) == [("r", "OpaquePort")]


@pytest.mark.parametrize("protocol", ["http", "kubernetes.io/h2c", "HTTP"])
def test_an_app_protocol_of_http_does_not_make_an_opaque_port_http(protocol: str) -> None:
    """The policy controller then serves the route, and proxies follow the profile, which says opaque."""
    items = [route({"backendRefs": [to("web-v1")]})]
    for opaque_ports, there, problems in (
        ("8080", "web", [("r", "OpaquePort")]),
        ("9090", "web-v1", []),
    ):
        web = service("web", {"appProtocol": protocol})
        web["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": opaque_ports}
        found = meaning(services=[web, service("web-v1")], httproutes=items)
        assert goes_to(found) == [[(there, 1)]]
        assert told(found) == problems


def test_some_ports_are_opaque_by_default() -> None:
    items = [route({"backendRefs": [to("web-v1")]})]
    web = service("web", {"port": 3306})
    assert told(meaning(services=[web, service("web-v1")], httproutes=items)) == [("r", "OpaquePort")]
    web["metadata"]["annotations"] = {"config.linkerd.io/opaque-ports": ""}
    assert not told(meaning(services=[web, service("web-v1")], httproutes=items))


@pytest.mark.parametrize("spec", [{"routes": [{"condition": {}}]}, {"dstOverrides": []}, {}])
def test_a_service_profile_with_routes_voids_all_routes(spec: Made) -> None:
    web = service()
    web["metadata"]["annotations"] = {
        "timeout.linkerd.io/request": "1s",
        "balancer.linkerd.io/failure-accrual": "consecutive",
    }
    objects = {"services": [web, service("web-v1")], "httproutes": [route({"backendRefs": [to("web-v1")]})]}
    found = meaning(**objects, serviceprofiles__linkerd=[profile(**spec)])
    if spec.get("routes"):
        assert goes_to(found) == [[("web", 1)]]
        assert (routes(found)[0].timeout_s, found.clusters[0].outlier) == (None, None)
        assert told(found) == [("r", "ServiceProfileRules")]
    else:
        assert goes_to(found) == [[("web-v1", 1)]]
        assert not found.problems


def test_the_overrides_of_a_service_profile_split_requests() -> None:
    overrides = [
        {"authority": "web-v1.shop.svc.cluster.local:8080", "weight": "900m"},
        {"authority": "web-v2.shop.svc.cluster.local:8080", "weight": "100m"},
    ]
    found = meaning(serviceprofiles__linkerd=[profile(dstOverrides=overrides)])
    assert goes_to(found) == [[("web-v1", 900), ("web-v2", 100)]]


def test_a_profile_of_the_callers_namespace_concerns_its_callers_only() -> None:
    objects: dict[str, list[Made]] = {
        "httproutes": [route({"backendRefs": [to("web-v1")]})],
        "serviceprofiles__linkerd": [profile("edge", routes=[{"condition": {}}])],
    }
    assert goes_to(meaning("edge", **objects)) == [[("web", 1)]]
    assert goes_to(meaning("shop", **objects)) == [[("web-v1", 1)]]
    assert not meaning("edge", **objects).problems


def test_callers_of_other_namespaces_share_hosts_and_have_no_short_names() -> None:
    consumer = route({"backendRefs": [to("web-v2")]}, name="c", namespace="edge")
    consumer["spec"]["rules"][0]["backendRefs"][0]["namespace"] = "shop"
    objects = {"httproutes": [consumer]}
    assert goes_to(meaning("edge", **objects)) == [[("web-v2", 1)]]
    assert goes_to(meaning("other", **objects)) == [[("web", 1)]]
    (web,) = [each for each in meaning("other", **objects).hosts if each.service.startswith("web.")]
    assert "web:8080" not in web.domains
    assert "web.shop:8080" in web.domains


def matching(*paths: str, kind: str = "PathPrefix", **more: Any) -> Made:
    return {"matches": [{"path": {"type": kind, "value": path}, **more} for path in paths or ("/",)]}


def test_an_older_route_with_the_same_match_takes_every_request() -> None:
    older = route({"backendRefs": [to("web-v2")]}, name="older")
    newer = route({"backendRefs": [to("web-v1")]}, name="newer", created="2026-02-02")
    found = meaning(httproutes=[newer, older])
    assert told(found) == [("newer", "RouteShadowed")]
    assert "HTTPRoute shop/older" in found.problems[0].message


def test_a_newer_consumer_route_is_shadowed_by_the_producers() -> None:
    older = route({"backendRefs": [to("web-v2")]}, name="producer")
    consumer = route(
        {"backendRefs": [to("web", namespace="shop")]}, name="c", namespace="edge", created="2027"
    )
    assert told(meaning("edge", httproutes=[older, consumer])) == [("c", "RouteShadowed")]
    assert not told(meaning("shop", httproutes=[older, consumer]))


def test_an_older_consumer_route_hides_the_producers_from_its_namespace_only() -> None:
    newer = route({"backendRefs": [to("web-v2")]}, name="producer", created="2027")
    consumer = route({"backendRefs": [to("web", namespace="shop")]}, name="c", namespace="edge")
    assert not told(meaning("edge", httproutes=[newer, consumer]))


@pytest.mark.parametrize(
    ("first", "second", "dead"),
    [
        (matching("/"), matching("/a"), False),
        (matching("/"), matching("/a.*", kind="RegularExpression"), False),  # it matches more of the path
        (matching("/a", method="GET"), matching("/a", queryParams=[{"name": "x", "value": "1"}]), False),
        (matching("/a"), matching("/a"), True),
        (matching("/a"), matching("/a", "/b"), False),
        (matching("/a", "/b"), matching("/b"), True),
        (matching("/a"), matching("/a", method="GET"), False),
        (matching("/a", method="GET"), matching("/a", method="GET"), True),
        (matching("/a", method="GET"), matching("/a", method="POST"), False),
        (matching("/a", headers=[{"name": "X", "value": "1"}]), matching("/a"), False),
        (
            matching("/a", headers=[{"name": "X", "value": "1"}]),
            matching("/a", headers=[{"name": "x", "value": "1"}]),
            True,
        ),
        ({}, {}, True),
    ],
)
def test_a_rule_that_an_earlier_rule_of_its_route_takes_whole(first: Made, second: Made, dead: bool) -> None:
    backends = {"backendRefs": [to("web-v1")]}
    found = meaning(httproutes=[route({**first, **backends}, {**second, **backends})])
    assert told(found) == ([("r", "RuleShadowed")] if dead else [])
    assert all(problem.message.startswith("spec.rules[1]") for problem in found.problems)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (route({"backendRefs": [{"name": "web-v1", "port": 80}]}), "BackendPortNotFound"),
        (route({"backendRefs": [{"name": "nobody", "port": 80}]}), "BackendNotFound"),
        (route({"backendRefs": [{"name": "nobody", "port": 80, "weight": 0}, to("web-v1")]}), None),
        (route({"backendRefs": [to("web-v1", namespace="edge")]}), "BackendNotFound"),
        (route({"backendRefs": [to("web-v1", kind="Deployment", group="apps")]}), "BackendKindUnknown"),
        (route({"backendRefs": [to("web-v1", kind="Servcie")]}), "BackendKindUnknown"),
        (route({"backendRefs": [to("web-v1")]}, port=9999), "ParentPortNotFound"),
        (route({"backendRefs": [to("web-v1")]}, name="n", port=8080), None),
        (route({"backendRefs": [to("web-v1")]}, group="gateway.networking.k8s.io"), "ParentKindUnknown"),
        (route({"backendRefs": [to("web-v1")]}, kind="Deployment", group="apps"), "ParentKindUnknown"),
        (route({"backendRefs": [to("web-v1")]}, kind="Gateway", group="gateway.networking.k8s.io"), None),
        (route({"backendRefs": [to("web-v1", namespace="shop")]}, namespace="edge"), None),
    ],
)
def test_what_a_route_names_and_is_not_there(item: Made, reason: str | None) -> None:
    found = meaning(httproutes=[item])
    assert [problem.reason for problem in found.problems] == ([reason] if reason else [])


def test_a_route_holds_for_its_hostnames_and_the_more_specific_host_comes_first() -> None:
    def asked(found: Outbound, host: str) -> str | None:
        request = Request(host=host)
        takes = (one.name for one in routes(found) if any(holds(match, request) for match in one.matches))
        return next(takes, None)

    anywhere = route(matching("/a"), name="anywhere", created="2025-01-01")
    some = route({"backendRefs": [to("web-v1")]}, name="some")
    some["spec"]["hostnames"] = ["*.example"]
    one = route({"backendRefs": [to("web-v2")]}, name="one", created="2026-02-02")
    one["spec"]["hostnames"] = ["www.example", "WEB.example"]
    found = meaning(httproutes=[anywhere, some, one])
    assert asked(found, "www.example:8080") == "one-0"
    assert asked(found, "web.example") == "one-0"
    assert asked(found, "a.b.example.") == "some-0"
    assert asked(found, "example") is None
    assert not found.problems


def test_a_backend_port_that_the_service_does_not_have_is_a_port_of_its_pods() -> None:
    """Linkerd asks whether the Service exists, and its endpoints are then the pods' own port."""
    pod = {"metadata": {"name": "p", "namespace": "shop", "uid": "p"}, "spec": {"containers": []}}
    piece = {
        "metadata": {
            "name": "e",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web-v1"},
        },
        "ports": [{"name": "p", "port": 80}],
        "endpoints": [{"addresses": ["127.1.0.1"], "targetRef": {"name": "p"}}],
    }
    item = route({"backendRefs": [{"name": "web-v1", "port": 9999}]})
    found = meaning(httproutes=[item], pods=[pod], endpointslices=[piece])
    ((backend,),) = (one.backends for one in routes(found))
    (cluster,) = (each for each in found.clusters if each.name == backend.cluster)
    assert [(each.address, each.port) for each in cluster.endpoints] == [("127.1.0.1", 9999)]
    assert [problem.message for problem in found.problems] == [
        "spec.rules[0].backendRefs[0]: Service shop/web-v1 has no port 9999;"
        " requests to it go to the port of that number of its pods."
    ]


def test_a_route_without_a_parent_or_whose_parent_is_not_there() -> None:
    lost = route({"backendRefs": [to("web-v1")]}, name="lost")
    lost["spec"]["parentRefs"][0]["name"] = "gone"
    none = route({"backendRefs": [to("web-v1")]}, name="none")
    none["spec"]["parentRefs"] = []
    assert told(meaning(httproutes=[lost, none])) == [("lost", "ParentNotFound"), ("none", "NoParent")]


def test_problems_of_routes_are_told_whoever_calls() -> None:
    older = route({"backendRefs": [to("web-v2")]}, name="producer")
    consumer = route(
        {"backendRefs": [to("web", namespace="shop")]}, name="c", namespace="edge", created="2027"
    )
    lost = route({"backendRefs": [to("gone")]}, name="lost", namespace="other")
    held = {"services": [service(), service("web-v2")], "httproutes": [older, consumer, lost]}
    found = linkerd.route_problems(Registry(held, "linkerd"))
    assert sorted((problem.object["metadata"]["name"], problem.reason) for problem in found) == [
        ("c", "RouteShadowed"),
        ("lost", "BackendNotFound"),
    ]


@pytest.mark.parametrize(
    ("spec", "takes"), [({}, True), ({"clusterIP": "None"}, False), ({"type": "ExternalName"}, False)]
)
def test_a_service_without_a_cluster_address_takes_no_routes(spec: Made, takes: bool) -> None:
    web = service()
    del web["spec"]["clusterIP"]
    web["spec"].update(spec)
    found = meaning(services=[web, service("web-v1")], httproutes=[route({"backendRefs": [to("web-v1")]})])
    assert goes_to(found) == [[("web-v1" if takes else "web", 1)]]
    assert told(found) == ([] if takes else [("r", "ParentWithoutAddress")])
