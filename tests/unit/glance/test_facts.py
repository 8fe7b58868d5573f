"""What the objects of a cluster and the counters of its sidecars say at a glance, on either mesh."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest

from meshkit.observe.graph import Edge, ServiceGraph
from meshkit.operations.glance.model import NO_SIDECAR, Certificate, Connection, Glance, left
from tests.unit.glance.shops import GRAPH, NOW, call, counts, drawn, finding, glance

MESHES = ("istio", "linkerd")


def to(found: Glance, destination: str, source: str = "shop/client") -> Connection:
    return next(c for c in found.connections if (c.source, c.destination) == (source, destination))


@pytest.mark.parametrize("mesh", MESHES)
def test_a_call_has_its_requests_failures_latency_and_lock(mesh: str) -> None:
    call = to(glance(mesh), "shop/web-v1")
    assert (call.requests_per_s, call.error_percent, call.lock) == (90.0, 5.0, "mutual TLS")
    assert (call.p50_ms, call.p99_ms) == (10.0, pytest.approx(19.8))


@pytest.mark.parametrize("mesh", MESHES)
def test_plain_text_comes_first_and_names_who_it_may_be(mesh: str) -> None:
    found = glance(mesh)
    first = found.connections[0]
    assert (first.source, first.lock, first.refused_per_s) == (NO_SIDECAR, "plain text", 1.0)
    assert first.error_percent is None, "only the caller knows"
    (nameless,) = (each for each in found.workloads if each.name == NO_SIDECAR)
    assert (nameless.place, nameless.candidates) == ("outside", ("legacy/batch",))


@pytest.mark.parametrize("mesh", MESHES)
def test_the_share_that_is_asked_stands_beside_the_measured_one(mesh: str) -> None:
    found = glance(mesh, v1=75, v2=25)
    shares = {
        c.destination: (c.asked_percent, c.measured_percent) for c in found.connections if c.asked_percent
    }
    assert shares == {"shop/web-v1": (75.0, 90.0), "shop/web-v2": (25.0, 10.0)}
    assert to(found, "shop/web-v2").request == "web.shop:8080"


@pytest.mark.parametrize("mesh", MESHES)
def test_a_version_that_gets_nothing_of_its_share_is_shown(mesh: str) -> None:
    graph = replace(GRAPH, edges=GRAPH.edges[:1])
    silent = to(glance(mesh, graph), "shop/web-v2")
    assert (silent.requests_per_s, silent.asked_percent, silent.measured_percent) == (0.0, 10.0, 0.0)
    assert silent.lock == "not known"


def test_calls_by_several_protocols_are_one_connection_with_the_worst_lock() -> None:
    edges = (
        Edge("shop/client", "shop/web-v1", "mTLS", "http", counts(10, ms=20)),
        Edge("shop/client", "shop/web-v1", "plaintext", "grpc", counts(10, ms=50)),
    )
    both = to(glance("istio", ServiceGraph(1.0, edges)), "shop/web-v1")
    assert (both.requests_per_s, both.lock, both.p50_ms) == (20.0, "plain text", 25.0)


@pytest.mark.parametrize(
    "where", ["Deployment shop/web-v2", "Pod shop/web-v2-0", "VirtualService shop/web", "Service shop/web"]
)
def test_a_finding_stands_at_the_workloads_that_it_is_about(where: str) -> None:
    found = glance("istio", findings=(finding(where=where),))
    at = {each.name for each in found.workloads if each.findings}
    assert at == ({"shop/web-v1", "shop/web-v2"} if where.endswith("/web") else {"shop/web-v2"})


@pytest.mark.parametrize("mesh", MESHES)
def test_certificates_and_versions_have_their_horizon(mesh: str) -> None:
    found = glance(mesh)
    assert found.certificates
    assert all(each.ends == NOW + dt.timedelta(days=365) for each in found.certificates)
    assert {each.what for each in found.versions} >= {"control plane", "sidecars"}


def test_a_namespace_keeps_the_other_ends_of_its_calls() -> None:
    everywhere = drawn(
        call("shop/client", "shop/web"),
        call("shop/web", "data/store"),
        call("other/a", "other/b"),
        findings=(finding(where="Deployment other/a"), finding(where="Secret linkerd/issuer")),
    )
    part = everywhere.within("shop")
    assert {each.name for each in part.workloads} == {"shop/client", "shop/web", "data/store"}
    assert len(part.connections) == 2
    assert [each.object for each in part.findings] == []
    assert everywhere.within() is everywhere
    assert {each.name for each in everywhere.around("data/store").workloads} == {"shop/web", "data/store"}


def test_the_text_says_what_was_looked_at_and_what_was_found() -> None:
    text = str(glance("istio", findings=(finding("error"),)))
    assert "Looked at 4 workloads, 3 connections in 2 s" in text
    assert "1 error, 0 warnings." in text
    assert "Plain text: callers without a sidecar → shop/web-v1, 2/s." in text
    assert "shop/client → shop/web-v2: 10 % asked, 10 % measured." in text.replace("\N{NO-BREAK SPACE}", " ")


def test_plain_text_is_never_rounded_away() -> None:
    found = drawn(
        replace(call("a/a", "a/b"), requests_per_s=1e6),
        replace(call(NO_SIDECAR, "a/b", "plain text"), requests_per_s=1),
    )
    assert "Mutual TLS: 99.9" in str(found)


def test_the_record_is_json() -> None:
    record = json.loads(json.dumps(glance("linkerd", findings=(finding(),)).as_record()))
    assert {"workloads", "connections", "findings", "certificates", "versions"} <= set(record)


@pytest.mark.parametrize(
    ("hours", "said"),
    [(-1, "the past"), (5.5, "5 h 30 min"), (77, "3 d 5 h"), (40 * 24, "40 d"), (9 * 8760, "9 y")],
)
def test_the_time_left_is_for_people(hours: float, said: str) -> None:
    assert left(Certificate("", "", NOW + dt.timedelta(hours=hours)), NOW) == said
