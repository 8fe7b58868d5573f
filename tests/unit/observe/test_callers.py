"""Plaintext callers are read from the metrics pages of each mesh's sidecars."""

from __future__ import annotations

from typing import Any

from meshkit.meshes import registry
from meshkit.meshes.metrics import Link
from meshkit.observe.callers import Reading, between, count_links, hides_refusals, refused_text

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
istio_tcp_connections_closed_total{reporter="destination",source_workload="unknown",connection_security_policy="none",response_flags="NR"} 8
envoy_listener_no_filter_chain_match{listener_address="0.0.0.0_15006"} 3
envoy_listener_no_filter_chain_match{listener_address="0.0.0.0_15001"} 4
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


def hidden(page: str, pod: dict[str, Any] = POD, mesh: str = "istio", namespace: str = "shop") -> bool:
    table = registry.mesh(mesh).metrics
    return hides_refusals(count_links(page, mesh, pod, namespace), table, pod, namespace)


def test_a_sidecar_without_the_count_of_refusals_hides_them() -> None:
    without = "\n".join(each for each in ISTIO.splitlines() if "no_filter_chain" not in each)
    assert hidden(without)
    assert not hidden(ISTIO)
    assert not hidden(f'{without}\nenvoy_listener_no_filter_chain_match{{listener_address="[__]_15006"}} 0')
    assert not hidden(without, namespace="elsewhere")
    assert not hidden(LINKERD.partition("inbound_http_authz")[0], mesh="linkerd")


def test_a_gateway_refuses_nobody_and_hides_nothing() -> None:
    proxy = {"name": "istio-proxy", "args": ["proxy", "router", "--domain", "shop.svc.cluster.local"]}
    assert not hidden("", {**POD, "spec": {"containers": [proxy]}})


def test_refusals_that_nobody_counted_are_never_told_as_zero() -> None:
    before, after = Reading(0.0, 0.0, {}), Reading(9.0, 0.0, {"a": {}}, frozenset({"shop/web"}))
    assert between(before, after).refused_text == "refusals cannot be seen at shop/web"
    assert refused_text(0, ()) == "0 refused"
    many = {f"shop/{name}" for name in "abcde"}
    assert refused_text(2, many) == "2 refused, refusals cannot be seen at shop/a, shop/b, shop/c and 2 more"
