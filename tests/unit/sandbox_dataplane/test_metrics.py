"""The metrics pages, from log lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshkit.meshes.model.pods import Peer
from meshkit.sandbox.control_planes.injector import Injector
from meshkit.sandbox.control_planes.istio.injector import inject
from meshkit.sandbox.control_planes.linkerd.metrics import BUCKETS_MS
from meshkit.sandbox.control_planes.registry import DATA_PLANES
from meshkit.sandbox.dataplane.metrics import PodMetrics

CLIENT = {
    "metadata": {
        "name": "client-6f-x",
        "namespace": "shop",
        "labels": {"app": "client", "pod-template-hash": "6f"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "client-6f"}],
    },
    "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy"}], "serviceAccountName": "client"},
}
WEB = Peer("web-v1-0", "shop", "web", "web-v1", "istio", labels={"app": "web", "version": "v1"})


def line(**fields: Any) -> str:
    base = {"dir": "outbound", "us": 4200, "ms": 4, "code": 200, "flags": "-", "upstream": "127.1.0.5:8080"}
    base |= {
        "cluster": "outbound|8080|v1|web.shop.svc.cluster.local",
        "uptls": "TLSv1.3",
        "authority": "web:8080",
    }
    return json.dumps({**base, "service": "web.shop.svc.cluster.local", **fields})


def metrics(mesh: str = "istio", **annotations: str) -> PodMetrics:
    pod = {**CLIENT, "metadata": {**CLIENT["metadata"], "annotations": annotations}}
    return DATA_PLANES[mesh].metrics(pod, {"127.1.0.5:8080": WEB}.get)


def series(page: str, name: str) -> list[str]:
    return [x for x in page.splitlines() if x.startswith(name + "{")]


def test_istio_source_labels() -> None:
    made = metrics()
    made.observe(line())
    made.observe(line())
    (one,) = series(made.exposition(), "istio_requests_total")
    for label in (
        *('reporter="source"', 'source_workload="client"', 'destination_workload="web-v1"'),
        *('destination_version="v1"', 'destination_canonical_revision="v1"', 'response_code="200"'),
        *('destination_service="web.shop.svc.cluster.local"', 'destination_service_name="web"'),
        *('destination_principal="spiffe://cluster.local/ns/shop/sa/web"', 'response_flags="-"'),
        'connection_security_policy="unknown"',
    ):
        assert label in one
    assert one.endswith(" 2")
    assert len(one.split('="')) - 1 == 25  # all labels of Istio's filter: 25


def test_istio_request_that_reached_no_server() -> None:
    made = metrics()
    made.observe(line(upstream="", cluster="", uptls="", code=503, flags="UH"))
    (one,) = series(made.exposition(), "istio_requests_total")
    assert 'destination_workload="unknown"' in one
    assert 'destination_service="web.shop.svc.cluster.local"' in one
    assert 'response_flags="UH"' in one


def test_istio_names_the_service_that_the_route_chose() -> None:
    made = metrics()
    made.observe(line(cluster="outbound|8080||web-canary.shop.svc.cluster.local"))
    (one,) = series(made.exposition(), "istio_requests_total")
    assert 'destination_service_name="web-canary"' in one


def test_istio_names_hosts_that_are_no_services() -> None:
    made = metrics()
    made.observe(line(service="static.example"))
    made.observe(line(service="PassthroughCluster", authority="127.1.0.5:8080"))
    made.observe(line(service="BlackHoleCluster", authority="gone.example", upstream="", code=502))
    entry, passed, refused = series(made.exposition(), "istio_requests_total")
    assert 'destination_service="static.example",destination_service_name="static.example"' in entry
    assert 'destination_service="127.1.0.5:8080",destination_service_name="PassthroughCluster"' in passed
    assert 'destination_service="gone.example",destination_service_name="BlackHoleCluster"' in refused
    assert 'destination_service_namespace="unknown"' in refused


def test_istio_destination_knows_mutual_tls_from_plaintext() -> None:
    made = metrics()
    made.observe(
        line(dir="inbound", remote="127.1.0.5:8080", uri="spiffe://cluster.local/ns/shop/sa/web", service="")
    )
    made.observe(line(dir="inbound", remote="127.0.0.1:5", service=""))
    secured, plain = series(made.exposition(), "istio_requests_total")
    assert 'connection_security_policy="mutual_tls"' in secured
    assert 'source_workload="web-v1"' in secured
    assert 'connection_security_policy="none"' in plain
    assert 'source_workload="unknown"' in plain


def test_istio_buckets_default_and_from_the_annotation() -> None:
    default = metrics()
    default.observe(line())
    page = default.exposition()
    assert 'le="5"} 1' in page
    assert 'le="1"} 0' in page
    assert len(series(page, "istio_request_duration_milliseconds_bucket")) == 20
    finer = metrics(**{"sidecar.istio.io/statsHistogramBuckets": '{"istiocustom":[4,4.5,6]}'})
    finer.observe(line())
    assert 'le="4.5"} 1' in finer.exposition()
    assert "istio_request_duration_milliseconds_sum" in finer.exposition()


def test_linkerd_counts_the_calls_of_a_grpc_route_by_their_status() -> None:
    made = metrics("linkerd")
    made.observe(line(owner="shop/web-primary", kind="GRPCRoute", grpc=14))
    page = made.exposition()
    assert series(page, "outbound_http_route_backend_requests_total") == []
    (asked,) = series(page, "outbound_grpc_route_backend_requests_total")
    assert 'route_kind="GRPCRoute",route_namespace="shop",route_name="web-primary"' in asked
    (answered,) = series(page, "outbound_grpc_route_backend_response_statuses_total")
    assert 'grpc_status="UNAVAILABLE",error=""' in answered


def test_linkerd_labels_and_classification() -> None:
    made = metrics("linkerd")
    made.observe(line(owner="shop/web-primary", cluster="outbound|8080||web-v1.shop.svc.cluster.local"))
    made.observe(line(code=500))
    page = made.exposition()
    good, bad = series(page, "response_total")
    assert 'classification="success"' in good
    assert 'dst_deployment="web-v1"' in good
    assert 'dst_service="web-v1"' in good
    assert 'status_code="500",classification="failure"' in bad
    (routed, *_) = series(page, "outbound_http_route_backend_requests_total")
    for label in (
        'parent_name="web"',
        'route_name="web-primary"',
        'backend_name="web-v1"',
        'backend_port="8080"',
    ):
        assert label in routed
    assert BUCKETS_MS[:7] == (1, 2, 3, 4, 5, 10, 20)
    assert BUCKETS_MS[-1] == 50000


def test_lines_that_are_no_access_log_are_ignored() -> None:
    made = metrics()
    for text in ("", "starting", "[1, 2]", "{}", '"x"'):
        made.observe(text)
    assert made.exposition() == ""


REFUSED = json.dumps({"dir": "refused", "flags": "NR", "remote": "127.0.0.1:5"})
UNMATCHED = "envoy_listener_no_filter_chain_match"


def injected(mesh_config: str, **annotations: str) -> PodMetrics:
    """The metrics of a pod that the sandbox's injector gave a sidecar."""
    pod = {**CLIENT, "metadata": {**CLIENT["metadata"], "annotations": annotations}}
    injector = Injector("1.31.4", "default", mesh_config=mesh_config)
    sidecar = inject(pod, {"metadata": {"name": "shop"}}, injector)
    assert sidecar is not None
    spec = {"containers": [{"name": "app"}], "initContainers": [sidecar.container]}
    return DATA_PLANES["istio"].metrics({**pod, "spec": {**CLIENT["spec"], **spec}}, {}.get)


SHOWN = "defaultConfig: {proxyStatsMatcher: {inclusionSuffixes: [_15006.no_filter_chain_match]}}"


@pytest.mark.parametrize(
    ("mesh_config", "annotations"),
    [
        (SHOWN, {}),
        ("", {"proxy.istio.io/config": "proxyStatsMatcher: {inclusionPrefixes: [listener.]}"}),
        ("", {"sidecar.istio.io/statsInclusionRegexps": r"listener\..*"}),
    ],
)
def test_istio_refusals_are_counted_by_the_listener(mesh_config: str, annotations: dict[str, str]) -> None:
    made = injected(mesh_config, **annotations)
    assert series(made.exposition(), UNMATCHED) == [f'{UNMATCHED}{{listener_address="0.0.0.0_15006"}} 0']
    made.observe(REFUSED)
    assert series(made.exposition(), UNMATCHED) == [f'{UNMATCHED}{{listener_address="0.0.0.0_15006"}} 1']
    assert not series(made.exposition(), "istio_tcp_connections_closed_total")


@pytest.mark.parametrize(
    ("mesh_config", "annotations"),
    [
        ("", {}),
        ("enableAutoMtls: true", {}),
        (SHOWN, {"sidecar.istio.io/statsInclusionSuffixes": "upstream_rq_total"}),
        (SHOWN, {"proxy.istio.io/config": "proxyStatsMatcher: {inclusionPrefixes: [cluster.]}"}),
        ("", {"proxy.istio.io/config": "proxyStatsMatcher: all"}),
        ("", {"proxy.istio.io/config": "proxyStatsMatcher: {inclusionPrefixes: 15006}"}),
        ("", {"sidecar.istio.io/statsInclusionRegexps": "([a-z._0-9]+)+!"}),
    ],
)
def test_istio_refusals_are_nowhere_without_the_setting(
    mesh_config: str, annotations: dict[str, str]
) -> None:
    made = injected(mesh_config, **annotations)
    made.observe(REFUSED)
    assert made.exposition() == ""
