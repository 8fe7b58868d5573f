"""``mk.explain`` tells the way of a request, for files and for a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshkit.errors import BadInput, UnknownName
from meshkit.operations.explain import Explanation, explain
from meshkit.operations.health import check
from tests.unit.operations.explained import ISTIO, LINKERD, WORKLOADS, Api, cluster, objects, write

ENVOY_FILTER = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua, namespace: shop}
spec: {configPatches: []}
"""


def istio(folder: Path, request: str, *more: str, caller: str = "shop/client", **options: Any) -> Explanation:
    return explain(request, files=write(folder, WORKLOADS, ISTIO, *more), caller=caller, **options)


def test_a_trace_names_the_rule_the_shares_and_what_the_server_does(tmp_path: Path) -> None:
    found = istio(tmp_path, "web.shop:8080/x")
    (way,) = found.ways
    assert way.callers == ("shop/client",)
    assert (way.place, way.rule) == ("web.shop.svc.cluster.local:8080", "VirtualService shop/web http[1]")
    assert way.actions[0] == "timeout 2.5 s"
    first, second = way.destinations
    assert (first.title, first.endpoints) == ("90 % web.shop.svc.cluster.local:8080 subset v1", 2)
    assert (second.title, first.source) == (
        "10 % web.shop.svc.cluster.local:8080",
        "DestinationRule shop/web",
    )
    (entry,) = first.entries
    assert (entry.pods, entry.tls, entry.mode, entry.answer) == (2, "mutual TLS", "strict", "")
    assert found.failures == ()
    assert "2 pods: mutual TLS; the server takes mutual TLS only; allowed" in str(found)
    assert json.loads(json.dumps(found.as_record()))["ways"][0]["rule"] == way.rule


@pytest.mark.parametrize(
    ("request_", "caller", "failure"),
    [
        ("web:8080/beta", "shop/client", "503: no ready endpoint"),
        ("web:8080/admin/users", "shop/client", "403: refused"),
        ("web.shop:8080/", "legacy/old", "no connection: the server takes mutual TLS only"),
    ],
)
def test_a_request_that_fails_says_where(tmp_path: Path, request_: str, caller: str, failure: str) -> None:
    found = istio(tmp_path, request_, caller=caller)
    assert found.failures == (failure,)
    assert str(found).endswith(f"Failures: {failure}.")


def test_the_policy_that_refuses_is_named(tmp_path: Path) -> None:
    (way,) = istio(tmp_path, "web:8080/admin").ways
    assert way.destinations[0].entries[0].by == "policy shop/no-admin"


def test_without_a_path_there_is_a_row_for_each_rule_and_for_all_callers(tmp_path: Path) -> None:
    found = istio(tmp_path, "web.shop:8080", caller="")
    assert [(way.callers, way.conditions) for way in found.ways] == [
        (("legacy/old",), "every request"),
        (("shop/client", "shop/web"), "path starts with /beta"),
        (("shop/client", "shop/web"), "path starts with /admin"),
        (("shop/client", "shop/web"), "every request"),
    ]


def test_what_the_meaning_does_not_know_is_said(tmp_path: Path) -> None:
    (way,) = istio(tmp_path, "web:8080/", ENVOY_FILTER).ways
    assert way.not_known == ("EnvoyFilter shop/lua: meshkit does not evaluate this kind.",)
    (far,) = istio(tmp_path, "example.com/", ENVOY_FILTER).ways
    assert "not registered" in far.not_known[0]


def test_what_has_no_effect_on_the_host_is_said(tmp_path: Path) -> None:
    rival = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: zz, namespace: shop}
spec: {hosts: [web.shop.svc.cluster.local], http: [{route: [{destination: {host: web}}]}]}
"""
    found = istio(tmp_path, "web:8080/", rival)
    assert "VirtualService shop/zz" in found.ways[0].problems[0]
    assert "problem: VirtualService shop/zz" in str(found)


def test_requests_of_and_to_pods_without_a_sidecar_are_not_judged(tmp_path: Path) -> None:
    ambient = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
"""
    files = write(tmp_path, WORKLOADS, ambient)
    inside = explain("web.shop:8080/", files=files, caller="shop/client")
    assert "in the mesh without a sidecar (istio.io/dataplane-mode=ambient)" in str(inside)
    outside = explain("web.shop:8080/", files=files, caller="legacy/old")
    assert "shop/web is in the mesh without a sidecar" in str(outside)
    assert "no proxy" not in str(inside)


def test_linkerd_is_explained_from_the_same_workloads(tmp_path: Path) -> None:
    found = explain("web:8080/", files=write(tmp_path, WORKLOADS, LINKERD), caller="shop/client")
    assert found.mesh == "linkerd"
    (way,) = found.ways
    assert way.rule == "HTTPRoute shop/web rules[0]"
    assert way.destinations[1].answer == "500: the route's backend is not valid"
    assert way.destinations[0].entries[0].answer == "403: no policy allows it"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ("https://web/x", "proxies see no path"),
        ("web:port/x", "Port could not be cast"),
        (":80/x", "names no host"),
        ("web shop/x", "names no host"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(tmp_path: Path, request_: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as raised:
        istio(tmp_path, request_)
    assert raised.value.field == "request"


def test_an_unknown_caller_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="shop/clint") as raised:
        istio(tmp_path, "web/", caller="shop/clint")
    assert raised.value.known == ("legacy/old", "shop/client", "shop/web")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("a: [", "line 1"),
        ("- 1", "line 1"),
        ("kind: Pod", "apiVersion"),
        ("{apiVersion: v1, kind: Pod}", "metadata.name"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {a: 1}}}", "metadata.labels"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: []}", "spec"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{}]}}", "Service a"),
        (
            "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a}, "
            "spec: {http: [{rout: []}]}}",
            "VirtualService a",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(BadInput) as raised:
        explain("web/", files=write(tmp_path, text), mesh="istio")
    assert field in raised.value.field


def test_the_mesh_must_be_named_where_files_do_not_tell_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="mesh: none is named"):
        explain("web/", files=write(tmp_path, WORKLOADS))
    with pytest.raises(BadInput, match="the files use istio and linkerd"):
        explain("web/", files=write(tmp_path, ISTIO, LINKERD))


def test_a_folder_is_read_and_one_source_is_needed(tmp_path: Path) -> None:
    write(tmp_path, WORKLOADS, ISTIO)
    assert explain("web:8080/", files=[tmp_path], caller="shop/client").ways
    with pytest.raises(BadInput, match="no such file"):
        explain("web/", files=[tmp_path / "none"])
    with pytest.raises(BadInput, match="either a cluster or files"):
        explain("web/")


def test_a_cluster_is_explained_like_its_files(tmp_path: Path) -> None:
    seen = cluster(Api(objects("istio", WORKLOADS, ISTIO)), "istio")
    live = explain("web:8080/x", seen, caller="shop/client")
    assert live.ways == istio(tmp_path, "web:8080/x").ways
    assert live.not_read == ()


def test_who_may_read_one_namespace_gets_what_it_tells() -> None:
    kinds = ("Pod", "Namespace", "VirtualService", "Deployment", "MutatingWebhookConfiguration", "Service")
    api = Api(objects("istio", WORKLOADS, ISTIO), kinds, own="shop")
    found = explain("web.shop:8080/x", cluster(api), caller="shop/client")
    assert found.mesh == "istio"
    assert found.ways[0].rule == "VirtualService shop/web http[1]"
    assert "VirtualService outside shop" in found.not_read
    assert "not read: Pod outside shop" in str(found)


def test_it_is_not_said_that_nobody_calls_where_callers_may_not_be_read() -> None:
    kinds = ("Pod", "Service", "VirtualService")
    api = Api(objects("istio", WORKLOADS, ISTIO), kinds, own="none")
    found = explain("web.shop:8080/x", cluster(api), mesh="istio")
    assert str(found).splitlines()[0] == "web.shop:8080/x: no caller of it was read."
    assert "not read: Pod" in str(found)


def test_check_reads_files_as_if_they_were_applied(tmp_path: Path) -> None:
    found = check(files=write(tmp_path, WORKLOADS, ISTIO))
    assert [(each.code, each.object) for each in found] == [("MK0208", "VirtualService shop/web")]
    linkerd = check(files=write(tmp_path, WORKLOADS, LINKERD))
    assert [(each.code, each.object) for each in linkerd] == [
        ("MK0209", "HTTPRoute shop/web"),
        ("MK0261", "HTTPRoute shop/web"),
        ("MK1903", "Server shop/web"),
    ]
    with pytest.raises(BadInput, match="pre"):
        check(files=write(tmp_path, WORKLOADS, ISTIO), pre=True)


@pytest.mark.parametrize(
    "request_", ["http://[web", "web.shop:0/", "web.shop:70000/", "web.shop:x/", ":8080/"]
)
def test_a_request_without_a_host_or_a_port_that_exists_is_refused(tmp_path: Path, request_: str) -> None:
    with pytest.raises(BadInput, match=r"^request: .* Write it as web\.shop:8080/path"):
        istio(tmp_path, request_)


NAMES = """
apiVersion: v1
kind: Service
metadata: {name: shelf, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: partner, namespace: shop}
spec: {type: ExternalName, externalName: api.partner.example, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: books, namespace: legacy, annotations: {networking.istio.io/exportTo: .}}
spec: {selector: {app: old}, ports: [{name: http, port: 8080}]}
"""


def test_an_external_name_of_a_service_has_the_routes_of_the_service(tmp_path: Path) -> None:
    (way,) = istio(tmp_path, "shelf.shop:8080/beta", NAMES).ways
    assert (way.place, way.rule) == ("web.shop.svc.cluster.local:8080", "VirtualService shop/web http[0]")


@pytest.mark.parametrize("host", ["partner.shop:8080/", "books.legacy:8080/"])
def test_a_service_that_is_no_host_for_the_caller_is_not_registered(tmp_path: Path, host: str) -> None:
    (way,) = istio(tmp_path, host, NAMES).ways
    assert not way.registered
    assert "the host is not registered in the mesh" in way.not_known[0]


def test_callers_on_the_usual_networks_of_a_cluster_are_callers_of_the_cluster() -> None:
    policy = LINKERD.replace("port: 8080}\n", "port: 8080, accessPolicy: cluster-authenticated}\n")
    there = cluster(Api(objects("linkerd", WORKLOADS, policy)), "linkerd")
    found = explain("web.shop:8080/x", there, caller="shop/client")
    (entry,) = found.ways[0].destinations[0].entries
    assert (entry.answer, entry.by) == ("", "policy /default/cluster-authenticated")


@pytest.mark.parametrize(
    ("annotation", "ports"),
    [(', config.linkerd.io/opaque-ports: "8080"', "{port: 8080}"), ("", "{port: 8080, targetPort: 6379}")],
)
def test_services_of_files_get_the_opaque_ports_that_linkerds_injector_gives_them(
    tmp_path: Path, annotation: str, ports: str
) -> None:
    space = LINKERD.replace("linkerd.io/inject: enabled", f"linkerd.io/inject: enabled{annotation}")
    files = write(tmp_path, WORKLOADS.replace("{name: http, port: 8080}", ports), space)
    (way,) = explain("web.shop:8080", files=files, caller="shop/client").ways
    assert way.rule == "no route: Service web.shop.svc.cluster.local"
    assert any("the route has no effect there" in problem for problem in way.problems)


HEADLESS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: kv, namespace: shop}
spec:
  serviceName: kv
  replicas: 2
  template: {metadata: {labels: {app: kv}}, spec: {containers: [{name: app}]}}
---
apiVersion: v1
kind: Service
metadata: {name: kv, namespace: shop}
spec: {clusterIP: None, selector: {app: kv}, ports: [{name: http, port: 80}]}
"""


@pytest.mark.parametrize("host", ["kv-1.kv", "kv-1.kv.shop:80", "kv-1.kv.shop.svc.cluster.local."])
@pytest.mark.parametrize("mesh", [ISTIO, LINKERD])
def test_a_pod_that_a_headless_service_names_is_the_only_destination(
    tmp_path: Path, mesh: str, host: str
) -> None:
    (way,) = explain(f"{host}/x", files=write(tmp_path, WORKLOADS, mesh, HEADLESS), caller="shop/client").ways
    (destination,) = way.destinations
    assert way.registered
    assert destination.place == "kv-1.kv.shop.svc.cluster.local:80"
    assert (destination.endpoints, destination.entries[0].answer) == (1, "")


def test_a_pod_that_a_headless_service_names_is_found_without_a_proxy_too(tmp_path: Path) -> None:
    found = istio(tmp_path, "kv-1.kv.shop", HEADLESS, caller="legacy/old")
    (way,) = found.ways
    (destination,) = way.destinations
    assert (destination.place, destination.endpoints) == ("kv-1.kv.shop.svc.cluster.local:80", 1)
    assert found.failures == ("no connection: the server takes mutual TLS only",)


@pytest.mark.parametrize(
    ("caller", "rule"), [("shop/client", "VirtualService shop/web http[1]"), ("legacy/old", "")]
)
def test_a_host_may_end_with_a_dot(tmp_path: Path, caller: str, rule: str) -> None:
    (way,) = istio(tmp_path, "web.shop.svc.cluster.local.:8080/x", caller=caller).ways
    assert way.registered
    assert way.place == "web.shop.svc.cluster.local:8080"
    assert rule in way.rule
    (short,) = istio(tmp_path, "web.shop.:8080/x", caller=caller).ways
    assert not short.registered


@pytest.mark.parametrize("mesh", [ISTIO, LINKERD])
@pytest.mark.parametrize("caller", ["shop/client", "legacy/old"])
def test_a_port_that_a_service_lacks_is_told_with_those_it_has(
    tmp_path: Path, mesh: str, caller: str
) -> None:
    files = write(tmp_path, WORKLOADS.replace("port: 8080}", "port: 8080}, {name: admin, port: 9090}"), mesh)
    (way,) = explain("web.shop:8081/x", files=files, caller=caller).ways
    assert not way.registered
    assert "web.shop has no port 8081; its ports are 8080, 9090" in way.not_known[0]
