"""What the traffic check makes of a service graph, and what it says where it saw nothing."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from meshkit.errors import BadInput
from meshkit.facts import ArmCounts, Snapshot
from meshkit.meshes.view import View
from meshkit.observe.graph import Edge, ServiceGraph
from meshkit.operations.health import check
from meshkit.operations.routes import traffic
from tests.unit.operations.explained import ISTIO, WORKLOADS, Api, cluster, objects


def edge(source: str, requests: int, *latency_ms: tuple[float, int]) -> Edge:
    return Edge(source, "shop/web", "mTLS", "http", ArmCounts(requests, 0, latency_ms))


def test_calls_are_joined_with_their_rates_and_times() -> None:
    graph = ServiceGraph(
        2.0,
        (
            edge("shop/client", 10, (10, 5), (30, 10), (math.inf, 10)),
            edge("shop/client", 10, (10, 0), (30, 0), (math.inf, 10)),
            edge("", 7),
            edge("shop/idle", 0),
        ),
    )
    (call,) = traffic.calls_of(graph)
    assert (call.source, call.destination, call.requests_per_s) == ("shop/client", "shop/web", 10)
    assert call.seconds_each == pytest.approx((5 * 0.005 + 5 * 0.020 + 10 * 0.030) / 20)
    assert traffic.mean_s([ArmCounts(3)]) is None


def test_what_was_not_seen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    there = cluster(Api(objects("istio", WORKLOADS, ISTIO)), "istio")
    view = View(Snapshot(()), "istio", dt.datetime.now(dt.UTC))
    seen = ServiceGraph(10.0, (edge("shop/client", 5),), unread=3)
    monkeypatch.setattr(traffic, "service_graph", lambda *_, **__: seen)
    (one,) = traffic.findings_of_traffic(there, view, 10)
    assert (one.code, one.severity) == ("MK0286", "info")
    assert "3 sidecars did not answer" in one.message
    monkeypatch.setattr(traffic, "service_graph", lambda *_, **__: ServiceGraph(10.0, ()))
    (one,) = traffic.findings_of_traffic(there, view, 10)
    assert "no request between sidecars was seen in 10 s" in one.message


def test_without_traffic_what_depends_on_it_is_told() -> None:
    now = dt.datetime.now(dt.UTC)
    with_timeout = View(Snapshot(tuple(objects("istio", WORKLOADS, ISTIO))), "istio", now)
    (one,) = traffic.not_read(with_timeout)
    assert one.code == "MK0286"
    assert "--traffic" in one.remedy
    assert list(traffic.not_read(View(Snapshot(tuple(objects("istio", WORKLOADS))), "istio", now))) == []


@pytest.mark.parametrize("seconds", [0, 0.5, 601, math.inf, math.nan, -1])
def test_a_window_is_a_time_that_shows_traffic(seconds: float) -> None:
    with pytest.raises(BadInput, match="seconds from 1 to 600") as refused:
        check(cluster(Api([]), "istio"), traffic_s=seconds)
    assert refused.value.field == "traffic_s"


def test_files_have_no_traffic() -> None:
    with pytest.raises(BadInput, match="running mesh") as refused:
        check(files=["x.yaml"], traffic_s=10)
    assert "files" in refused.value.remedy
