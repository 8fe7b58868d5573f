"""Plaintext callers are read from the metrics pages of each mesh's sidecars."""

from __future__ import annotations

from typing import Any

from meshkit.meshes.metrics import Link
from meshkit.observe.callers import Reading, between, count_links

POD: dict[str, Any] = {
    "metadata": {
        "name": "web-v1-5d4f-x",
        "namespace": "shop",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-v1-5d4f"}],
    }
}
ISTIO = """
istio_requests_total{reporter="destination",source_workload="client",source_workload_namespace="shop",connection_security_policy="mutual_tls",response_code="200"} 90
istio_requests_total{reporter="destination",source_workload="unknown",source_workload_namespace="unknown",connection_security_policy="none",response_code="200"} 7
istio_requests_total{reporter="source",destination_service_name="web",destination_service_namespace="shop",connection_security_policy="unknown",response_code="200"} 1000
istio_requests_total{reporter="source",destination_service_name="db",destination_service_namespace="shop",connection_security_policy="unknown",response_code="503"} 2
istio_requests_total{reporter="source",destination_service_name="db",destination_service_namespace="other",connection_security_policy="unknown",response_code="503"} 9
istio_tcp_connections_closed_total{reporter="destination",source_workload="unknown",connection_security_policy="none",response_flags="NR"} 3
istio_tcp_connections_closed_total{reporter="destination",source_workload="client",connection_security_policy="mutual_tls",response_flags="-"} 5
"""  # noqa: E501
LINKERD = """
response_total{direction="inbound",tls="true",client_id="client.shop.serviceaccount.identity.linkerd.cluster.local",status_code="200",classification="success"} 90
response_total{direction="inbound",tls="no_identity",no_tls_reason="no_tls_from_remote",status_code="200",classification="success"} 7
response_total{direction="inbound",tls="no_identity",route_name="probe",status_code="200",classification="success"} 55
response_total{direction="outbound",tls="true",dst_deployment="db",dst_namespace="shop",classification="failure"} 2
response_total{direction="outbound",tls="true",dst_deployment="db",dst_namespace="shop",status_code="500",classification="failure"} 9
inbound_http_authz_deny_total{direction="inbound",tls="no_identity",srv_name="all-authenticated"} 3
"""  # noqa: E501
EXPECTED = {
    Link("shop/client", "shop/web-v1", "mutual_tls"): 90,
    Link("unknown", "shop/web-v1", "plain"): 7,
    Link("shop/web-v1", "shop/db", "failed"): 2,
    Link("unknown", "shop/web-v1", "refused"): 3,
}


def test_istio_tells_plain_text_refusals_and_losses() -> None:
    assert count_links(ISTIO, "istio", POD, "shop") == EXPECTED


def test_linkerd_tells_the_same() -> None:
    assert count_links(LINKERD, "linkerd", POD, "shop") == EXPECTED


def test_servers_of_other_namespaces_do_not_count() -> None:
    assert set(count_links(ISTIO, "istio", POD, "elsewhere")) == set()


LINK = Link("unknown", "shop/web", "plain")


def test_a_window_is_what_rose_between_two_readings() -> None:
    before = Reading(100.0, 40.0, {"a": {LINK: 5}, "b": {LINK: 9}})
    after = Reading(110.0, 40.0, {"a": {LINK: 7}, "b": {LINK: 2}, "new": {LINK: 1}})
    calls = between(before, after)
    assert calls.in_window == {LINK: 2 + 2 + 1}
    assert calls.in_all == {LINK: 10}
    assert (calls.window_s, calls.seen_s) == (10.0, 70.0)


def test_a_page_that_was_not_read_says_nothing_and_is_told() -> None:
    before = Reading(100.0, 40.0, {"a": None, "b": {LINK: 1}})
    after = Reading(110.0, 40.0, {"a": {LINK: 700}, "b": None})
    calls = between(before, after)
    assert calls.count("plain") == 0
    assert (calls.asked, calls.answered) == (2, 1)
