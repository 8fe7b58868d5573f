"""Which of Istio's objects concern a caller, without a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.outbound import Cluster, Outbound, Route
from meshkit.meshes.model.registry import Registry
from tests.unit.sandbox_dataplane.istio_objects import destination_rule, to, virtual_service
from tests.unit.sandbox_dataplane.istio_pods import POD
from tests.unit.sandbox_dataplane.mini_mesh import service


def translate(caller: Caller | None = None, **objects: list[dict[str, Any]]) -> Outbound:
    given = {"services": [service()], "pods": [POD], "destinationrules": [destination_rule()], **objects}
    return istio.outbound(Registry(given), caller or Caller("shop"))


def routes(outbound: Outbound, service: str = "web.shop.svc.cluster.local") -> tuple[Route, ...]:
    return next(host.routes for host in outbound.hosts if host.service == service)


def owner(outbound: Outbound) -> str:
    return routes(outbound)[0].owner


def cluster(outbound: Outbound, subset: str = "v1") -> Cluster:
    return next(item for item in outbound.clusters if f"|{subset}|" in item.name)


def vs(name: str, *hosts: str, namespace: str = "shop", second: int = 0, **spec: Any) -> dict[str, Any]:
    item = virtual_service({"route": [to("v1")]})
    stamp = f"2026-01-01T00:00:{second:02d}Z"
    item["metadata"] |= {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": stamp}
    item["spec"] |= {"hosts": list(hosts or ("web.shop.svc.cluster.local",)), **spec}
    return item


def dr(name: str, namespace: str = "shop", connections: int = 1, **spec: Any) -> dict[str, Any]:
    item = destination_rule(connectionPool={"tcp": {"maxConnections": connections}})
    item["metadata"] |= {"name": name, "namespace": namespace, "uid": f"dr-{name}"}
    item["spec"] |= {"host": "web.shop.svc.cluster.local", **spec}
    return item


def test_the_longest_wildcard_wins_and_a_full_name_before_it() -> None:
    wide, narrow = vs("wide", "*.cluster.local"), vs("narrow", "*.shop.svc.cluster.local", second=1)
    exact = vs("exact", second=2)
    assert owner(translate(virtualservices=[wide, narrow, exact])) == "shop/exact"
    assert owner(translate(virtualservices=[wide, narrow])) == "shop/narrow"
    assert owner(translate(virtualservices=[wide])) == "shop/wide"


@pytest.mark.parametrize(
    ("export", "namespace", "seen"),
    [
        (["."], "shop", True),
        (["."], "other", False),
        (["other"], "other", True),
        (["other"], "third", False),
        (["*"], "third", True),
        (["~"], "shop", False),
    ],
)
def test_export_to(export: list[str], namespace: str, seen: bool) -> None:
    item = vs("web", exportTo=export)
    assert (owner(translate(Caller(namespace), virtualservices=[item])) == "shop/web") is seen


def test_what_a_namespace_keeps_to_itself_comes_before_what_is_older_and_public() -> None:
    public, own = vs("public"), vs("own", namespace="client", second=5, exportTo=["."])
    assert owner(translate(Caller("client"), virtualservices=[public, own])) == "client/own"
    assert owner(translate(Caller("shop"), virtualservices=[public, own])) == "shop/public"


def test_the_mesh_says_where_objects_are_seen_that_do_not() -> None:
    settings = {
        "metadata": {"name": "istio", "uid": "c"},
        "data": {"mesh": "defaultVirtualServiceExportTo: ['.']"},
    }
    outbound = translate(Caller("other"), virtualservices=[vs("web")], configmaps=[settings])
    assert owner(outbound) == ""


def test_a_virtual_service_of_gateways_alone_rules_no_sidecar() -> None:
    assert owner(translate(virtualservices=[vs("edge", gateways=["edge"])])) == ""
    assert owner(translate(virtualservices=[vs("both", gateways=["edge", "mesh"])])) == "shop/both"


def test_a_virtual_service_without_a_route_for_the_caller_leaves_it_to_the_next() -> None:
    first = vs("first")
    first["spec"]["http"][0]["match"] = [{"sourceNamespace": "other"}]
    assert owner(translate(virtualservices=[first, vs("second", second=1)])) == "shop/second"
    assert owner(translate(virtualservices=[first])) == ""


def test_nothing_behind_a_route_for_every_request_is_kept() -> None:
    item = virtual_service(
        {
            "match": [{"headers": {"a": {}}}, {"uri": {"prefix": "/"}}, {"uri": {"exact": "/x"}}],
            "route": [to("v1")],
        },
        {"route": [to("v2")]},
    )
    (route,) = routes(translate(virtualservices=[item]))
    assert len(route.matches) == 2


def test_a_delegate_is_narrowed_by_the_route_that_delegates() -> None:
    root = virtual_service(
        {"match": [{"uri": {"prefix": "/a"}}], "delegate": {"name": "inner"}, "timeout": "3s", "name": "r"}
    )
    inner = vs("inner", second=1)
    inner["spec"] = {
        "http": [
            {"match": [{"uri": {"prefix": "/a/b"}}], "route": [to("v1")], "timeout": "1s", "name": "i"},
            {"match": [{"uri": {"prefix": "/elsewhere"}}], "route": [to("v1")]},
            {"route": [to("v2")]},
        ]
    }
    outbound = translate(virtualservices=[root, inner])
    found = [(r.name, r.matches[0].path and r.matches[0].path.value, r.timeout_s) for r in routes(outbound)]
    assert found == [("r-i", "/a/b", 1.0), ("r", "/a", 3.0)]
    assert [problem.reason for problem in outbound.problems] == ["MatchConflict"]


def test_a_delegate_that_is_not_there_is_told() -> None:
    outbound = translate(virtualservices=[virtual_service({"delegate": {"name": "inner"}})])
    assert [problem.reason for problem in outbound.problems] == ["UnknownDelegate"]


@pytest.mark.parametrize(
    ("scopes", "holds"), [(["."], False), (["client"], False), (["shop"], True), (["*"], True), ([], True)]
)
def test_a_delegate_must_be_exported_to_the_namespace_that_delegates(scopes: list[str], holds: bool) -> None:
    root = virtual_service({"delegate": {"name": "inner", "namespace": "team"}}, {"route": [to("v1")]})
    inner = vs("inner", second=1)
    inner["metadata"]["namespace"] = "team"
    inner["spec"] = {"exportTo": scopes, "http": [{"directResponse": {"status": 418}}]}
    outbound = translate(virtualservices=[root, inner])
    assert bool(routes(outbound)[0].direct) is holds
    assert [problem.reason for problem in outbound.problems] == ([] if holds else ["UnknownDelegate"])


@pytest.mark.parametrize(
    ("namespaces", "caller", "limit"),
    [
        (["istio-system", "shop", "client"], "client", 3),
        (["istio-system", "shop"], "client", 2),
        (["istio-system"], "client", 1),
        (["client", "shop"], "shop", 2),
        (["client"], "shop", None),
    ],
)
def test_a_destination_rule_is_looked_for_at_the_caller_the_host_and_the_root(
    namespaces: list[str], caller: str, limit: int | None
) -> None:
    limits = {"istio-system": 1, "shop": 2, "client": 3}
    rules = [dr(name, name, limits[name]) for name in namespaces]
    found = [
        item for item in translate(Caller(caller), destinationrules=rules).clusters if "||web" in item.name
    ]
    assert found[0].limits.max_connections == limit


def test_destination_rules_of_one_host_join_and_the_first_policy_stays() -> None:
    more = dr("more", connections=9, subsets=[{"name": "v3", "labels": {"version": "v1"}}, {"name": "v1"}])
    more["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    outbound = translate(destinationrules=[dr("first"), more])
    assert cluster(outbound, "v3").limits.max_connections == 1
    assert [(p.reason, p.object["metadata"]["name"]) for p in outbound.problems] == [
        ("DuplicateSubset", "more")
    ]


def test_a_rule_of_a_wildcard_host_holds_where_no_other_does() -> None:
    wide = dr("wide", connections=5, host="*.shop.svc.cluster.local")
    assert cluster(translate(destinationrules=[wide])).limits.max_connections == 5
    assert cluster(translate(destinationrules=[wide, dr("own")])).limits.max_connections == 1


def test_a_workload_selector_chooses_callers() -> None:
    chosen = dr("some", connections=7, workloadSelector={"matchLabels": {"app": "client"}})
    rules = [dr("all"), chosen]
    client = Caller("shop", (("app", "client"),))
    assert cluster(translate(client, destinationrules=rules)).limits.max_connections == 7
    assert cluster(translate(destinationrules=rules)).limits.max_connections == 1


@pytest.mark.parametrize(
    ("older", "younger", "caller", "connections"),
    [
        (["*"], ["*"], "shop", 1),
        ([], ["."], "shop", 2),
        (["."], [".", "other"], "shop", 1),
        (["."], ["*"], "shop", 2),
        (["."], ["other"], "shop", 1),
        (["."], ["other"], "other", 2),
        (["other"], ["other", "third"], "other", 1),
        (["other"], ["*"], "other", 2),
    ],
)
def test_rules_are_merged_only_if_they_are_exported_alike_and_else_the_youngest_holds(
    older: list[str], younger: list[str], caller: str, connections: int
) -> None:
    rules = [dr("a", connections=1, exportTo=older), dr("b", connections=2, exportTo=younger)]
    found = cluster(translate(Caller(caller), destinationrules=rules))
    assert found.limits.max_connections == connections


def test_a_rule_that_others_see_keeps_a_wildcard_rule_from_a_caller() -> None:
    wide = dr("wide", connections=5, host="*.shop.svc.cluster.local")
    rules = [wide, dr("own", exportTo=["third"])]
    clusters = translate(Caller("other"), destinationrules=rules).clusters
    assert {each.limits.max_connections for each in clusters if "|web.shop." in each.name} == {None}


def test_a_private_rule_joins_the_one_of_a_workload() -> None:
    chosen = dr("some", connections=7, workloadSelector={"matchLabels": {"app": "client"}})
    rules = [chosen, dr("z", connections=8, exportTo=["."])]
    client = Caller("shop", (("app", "client"),))
    assert cluster(translate(client, destinationrules=rules)).limits.max_connections == 7
    clusters = translate(destinationrules=rules).clusters
    assert not [each for each in clusters if "|v1|" in each.name]


def test_only_private_rules_of_the_root_namespace_go_first_for_its_own_callers() -> None:
    wide = dr("wide", "istio-system", connections=5, host="*.local")
    rules = [wide, dr("own")]
    assert cluster(translate(Caller("istio-system"), destinationrules=rules)).limits.max_connections == 1
    wide["spec"]["exportTo"] = ["."]
    assert cluster(translate(Caller("istio-system"), destinationrules=rules)).limits.max_connections == 5


def test_only_labels_that_somebody_asks_for_tell_callers_apart() -> None:
    item = virtual_service({"match": [{"sourceLabels": {"app": "x"}}], "route": [to("v1")]})
    pod = {**POD, "metadata": {**POD["metadata"], "labels": {"app": "web", "pod-template-hash": "1"}}}
    assert istio.caller_of(Registry({"virtualservices": [item]}), pod) == Caller("shop", (("app", "web"),))
    assert istio.caller_of(Registry({}), pod) == Caller("shop")


_DISTRIBUTE = {"localityLbSetting": {"distribute": [{"from": "eu/*", "to": {"eu/a": 100}}]}}
_BY_NODE = {"localityLbSetting": {"failoverPriority": ["kubernetes.io/hostname"]}}


@pytest.mark.parametrize(
    ("policy", "service_spec", "by_zone", "by_node"),
    [
        ({}, {}, False, False),
        ({"loadBalancer": _BY_NODE}, {}, False, False),
        ({"outlierDetection": {}}, {}, False, False),
        ({"outlierDetection": {"consecutive5xxErrors": 3}}, {}, True, False),
        ({"portLevelSettings": [{"loadBalancer": _DISTRIBUTE}]}, {}, True, False),
        ({}, {"trafficDistribution": "PreferClose"}, True, False),
        ({}, {"trafficDistribution": "PreferSameNode"}, True, True),
        ({"outlierDetection": {"consecutive5xxErrors": 3}, "loadBalancer": _BY_NODE}, {}, True, True),
    ],
)
def test_only_places_that_a_locality_setting_asks_for_tell_callers_apart(
    policy: dict[str, Any], service_spec: dict[str, Any], by_zone: bool, by_node: bool
) -> None:
    places = {"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "a"}
    rule, own = destination_rule(), service()
    rule["spec"]["trafficPolicy"] = policy
    own["spec"] |= service_spec
    node = {"metadata": {"name": "node-1", "labels": places}}
    given = Registry({"services": [own], "destinationrules": [rule], "nodes": [node]})
    caller = istio.caller_of(given, {**POD, "spec": {**POD["spec"], "nodeName": "node-1"}})
    assert (bool(caller.locality.zone), caller.node) == (by_zone, "node-1" if by_node else "")


def test_the_mesh_config_sets_retries_timeouts_and_a_common_policy() -> None:
    text = """
    connectTimeout: 3s
    defaultHttpRetryPolicy: {attempts: 5, retryOn: 5xx}
    defaultTrafficPolicy: {outlierDetection: {consecutive5xxErrors: 4}}
    enableAutoMtls: false
    shinyNewField: true
    """
    settings = {"metadata": {"name": "istio", "uid": "c"}, "data": {"mesh": text}}
    outbound = translate(destinationrules=[], configmaps=[settings])
    found = cluster(outbound, "")
    assert (found.limits.connect_timeout_s, found.tls) == (3.0, "never")
    assert found.outlier
    assert found.outlier.consecutive_5xx == 4
    retry = routes(outbound)[0].retry
    assert retry
    assert (retry.attempts, retry.retry_on) == (5, ("5xx",))
    assert [p.message for p in outbound.problems] == [
        "data.mesh: shinyNewField is not supported by the sandbox."
    ]


def test_kinds_that_are_not_carried_out_are_told() -> None:
    item = {"kind": "Sidecar", "metadata": {"name": "default", "namespace": "shop", "uid": "s"}, "spec": {}}
    assert "Sidecar is not supported" in translate(sidecars=[item]).problems[0].message


def test_a_destination_without_a_port_is_the_services_only_one() -> None:
    other = service("other")
    other["spec"]["ports"] = [{"name": "http", "port": 9000}]
    item = virtual_service({"route": [{"destination": {"host": "other"}}]})
    (route,) = routes(translate(services=[service(), other], virtualservices=[item]))
    assert route.backends[0].cluster == "outbound|9000||other.shop.svc.cluster.local"


def test_a_host_with_a_dot_is_no_short_name() -> None:
    """``web.shop`` is not the Service web in shop: nothing is registered under that name."""
    outbound = translate(
        virtualservices=[vs("web", "web.shop")], destinationrules=[dr("web", host="web.shop")]
    )
    assert owner(outbound) == ""
    assert [problem.reason for problem in outbound.problems] == [
        "UnknownHost",
        "UnknownDestination",
        "UnknownHost",
    ]


@pytest.mark.parametrize(("kind", "where"), [("tcp", "spec.tcp[0]"), ("tls", "spec.tls")])
def test_routes_of_connections_are_told_to_have_no_effect_on_a_port_of_http(kind: str, where: str) -> None:
    item = virtual_service({"route": [to("v1")]})
    item["spec"][kind] = [{"route": [{"destination": {"host": "web"}}]}]
    outbound = translate(virtualservices=[item])
    assert [(found.reason, found.message.split(":")[0]) for found in outbound.problems] == [
        ("NotSupported", where)
    ]


def test_a_rule_with_a_workload_selector_is_for_callers_of_its_own_namespace() -> None:
    chosen = dr("some", connections=7, exportTo=["*"], workloadSelector={"matchLabels": {"app": "client"}})
    foreign = Caller("other", (("app", "client"),))
    found = translate(foreign, destinationrules=[chosen, dr("all")])
    assert cluster(found).limits.max_connections == 1


@pytest.mark.parametrize(
    ("written", "accepted"),
    [
        ("spiffe://corp/ns/shop/sa/default", "spiffe://cluster.local/ns/shop/sa/default"),
        ("spiffe://else/ns/shop/sa/default", "spiffe://else/ns/shop/sa/default"),
    ],
)
def test_the_name_of_a_server_in_the_trust_domain_of_the_mesh_is_accepted(
    written: str, accepted: str
) -> None:
    meta = {"name": "istio", "namespace": "istio-system"}
    config = {"kind": "ConfigMap", "metadata": meta, "data": {"mesh": "trustDomain: corp"}}
    rule = dr("web", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL", "subjectAltNames": [written]}})
    found = translate(configmaps=[config], destinationrules=[rule])
    assert cluster(found, "").identities == (accepted,)
