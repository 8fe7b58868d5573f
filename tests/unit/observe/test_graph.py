# ruff: noqa: E501 - lines of a metrics page are as long as they are
"""The service graph: one edge from the counters of two sidecars, and callers without a sidecar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.observe import graph
from meshkit.observe.graph import Edge, edges_of, read_graph_page, service_graph
from meshkit.observe.pages import PageReading

ISTIO_CLIENT = """\
istio_requests_total{reporter="source",destination_workload="web-v1",destination_workload_namespace="shop",request_protocol="http",response_code="200",connection_security_policy="unknown"} 90
istio_requests_total{reporter="source",destination_workload="web-v1",destination_workload_namespace="shop",request_protocol="http",response_code="503",connection_security_policy="unknown"} 10
istio_requests_total{reporter="source",destination_workload="unknown",destination_service="gone.shop.svc.cluster.local",request_protocol="http",response_code="503",connection_security_policy="unknown"} 4
istio_request_duration_milliseconds_bucket{reporter="source",destination_workload="web-v1",destination_workload_namespace="shop",request_protocol="http",response_code="200",le="10"} 45
istio_request_duration_milliseconds_bucket{reporter="source",destination_workload="web-v1",destination_workload_namespace="shop",request_protocol="http",response_code="200",le="20"} 90
istio_request_duration_milliseconds_bucket{reporter="source",destination_workload="web-v1",destination_workload_namespace="shop",request_protocol="http",response_code="503",le="10"} 10
istio_request_duration_milliseconds_bucket{reporter="source",destination_workload="web-v1",destination_workload_namespace="shop",request_protocol="http",response_code="503",le="20"} 10
"""
ISTIO_SERVER = """\
istio_requests_total{reporter="destination",source_workload="client",source_workload_namespace="shop",connection_security_policy="mutual_tls",response_code="200"} 90
istio_requests_total{reporter="destination",source_workload="unknown",connection_security_policy="none",response_code="200"} 7
envoy_listener_no_filter_chain_match{listener_address="0.0.0.0_15006"} 3
"""
LINKERD_CLIENT = """\
response_total{direction="outbound",dst_deployment="web-v1",dst_namespace="shop",tls="true",status_code="200",classification="success"} 90
response_total{direction="outbound",dst_deployment="web-v1",dst_namespace="shop",tls="true",status_code="503",classification="failure"} 10
response_total{direction="outbound",authority="gone.shop:8080",status_code="503",classification="failure"} 4
response_latency_ms_bucket{direction="outbound",dst_deployment="web-v1",dst_namespace="shop",tls="true",status_code="200",le="10"} 45
response_latency_ms_bucket{direction="outbound",dst_deployment="web-v1",dst_namespace="shop",tls="true",status_code="200",le="20"} 90
"""
LINKERD_SERVER = """\
response_total{direction="inbound",tls="true",client_id="client.shop.serviceaccount.identity.linkerd.cluster.local",status_code="200",classification="success"} 90
response_total{direction="inbound",tls="no_identity",status_code="200",classification="success"} 7
response_total{direction="inbound",tls="no_identity",status_code="403",classification="success"} 3
"""
PAGES = {"istio": (ISTIO_CLIENT, ISTIO_SERVER), "linkerd": (LINKERD_CLIENT, LINKERD_SERVER)}


def pod(name: str) -> dict[str, Any]:
    owner = {"kind": "ReplicaSet", "name": f"{name}-5d8f"}
    return {"metadata": {"namespace": "shop", "name": f"{name}-5d8f-x", "ownerReferences": [owner]}}


def counted(mesh: str, *, with_server: bool = True) -> dict[tuple[str, str], Edge]:
    client, server = PAGES[mesh]
    page = read_graph_page(client, mesh, pod("client"))
    if with_server:
        page |= read_graph_page(server, mesh, pod("web-v1"))
    edges = edges_of({key: round(value) for key, value in page.items()})
    return {(edge.source, edge.destination): edge for edge in edges}


@pytest.mark.parametrize("mesh", PAGES)
def test_an_edge_has_the_callers_counts_and_the_servers_word_on_security(mesh: str) -> None:
    edge = counted(mesh)["shop/client", "shop/web-v1"]
    assert (edge.security, edge.protocol) == ("mTLS", "http")
    assert (edge.counts.requests, edge.success_percent) == (100, 90)
    assert edge.counts.quantile_ms(0.5) == 10, "failed requests have no part in the latency"


@pytest.mark.parametrize("mesh", PAGES)
def test_callers_without_a_sidecar_are_one_nameless_caller(mesh: str) -> None:
    edge = counted(mesh)["", "shop/web-v1"]
    assert (edge.security, edge.counts.requests, edge.refused) == ("plaintext", 7, 3)
    assert edge.success_percent is None


@pytest.mark.parametrize("mesh", PAGES)
def test_requests_that_reached_nobody_name_what_was_asked_for(mesh: str) -> None:
    edge = counted(mesh)["shop/client", "shop/gone (no endpoint)"]
    assert (edge.counts.requests, edge.success_percent) == (4, 0)


def test_what_no_server_told_of_is_unknown() -> None:
    assert counted("istio", with_server=False)["shop/client", "shop/web-v1"].security == "unknown"


def test_plain_text_of_a_meshed_caller_is_not_taken_for_a_stranger() -> None:
    plain = 'istio_requests_total{reporter="destination",connection_security_policy="none"} 100\n'
    page = read_graph_page(ISTIO_CLIENT, "istio", pod("client"))
    page |= read_graph_page(plain, "istio", pod("web-v1"))
    edges = edges_of({key: round(value) for key, value in page.items()})
    found = {edge.source: edge.security for edge in edges if edge.destination == "shop/web-v1"}
    assert found == {"shop/client": "plaintext"}


def test_a_sidecar_that_answers_once_of_twice_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls cannot be counted: the graph without them is not the whole."""
    read = [PageReading(0.0, 0.0, {"a": None, "b": {}}), PageReading(2.0, 0.0, {"a": {}, "b": {}, "new": {}})]
    answers: Callable[..., Any] = lambda *_: read.pop(0)  # noqa: E731
    monkeypatch.setattr(graph, "read_pages", answers)
    assert service_graph(cast(Cluster, None), window_s=0).unread == 1
