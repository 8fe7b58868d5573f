"""Which proxies a series of readings asks: the callers, in turn some others, never too few for a verdict."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import ClusterError, NoData
from meshkit.meshes.istio import metrics as istio
from meshkit.meshes.linkerd import metrics as linkerd
from meshkit.meshes.metrics import MetricTable
from meshkit.observe import known_callers
from meshkit.observe.counters import Counters, Target, window
from meshkit.observe.scrape import ScrapeObserver

TARGET = Target("shop", "web", 8080, ("v1", "v2"))
CALLS = (
    'istio_requests_total{reporter="source",destination_service_name="web",destination_version="v1",'
    'destination_service_namespace="shop",response_code="200"}'
)
OTHER_CALLS = CALLS.replace('"web"', '"other"')


class Mesh:
    """Pods with sidecars, what they have counted, and which of them were asked."""

    def __init__(self, *, callers: int, others: int, table: MetricTable = istio.METRICS) -> None:
        self.pods: list[dict[str, Any]] = []
        self.counted: dict[str, int] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.listed: list[str | None] = []
        self.paths: set[tuple[int, str]] = set()
        self._table = table
        for number in range(callers):
            self.add(f"caller-{number}", "front", calls=10)
        for number in range(others):
            self.add(f"other-{number}", f"team-{number % 10}")
        self.observer = ScrapeObserver(table)
        self.api = self

    def add(self, name: str, namespace: str, *, calls: int = 0, version: str = "") -> None:
        status = {"name": self._table.sidecar, "restartCount": 0, "state": {"running": {}}}
        labels = {"version": version} if version else {}
        meta = {"name": name, "namespace": namespace, "uid": name, "labels": labels}
        self.pods.append({"metadata": meta, "status": {"containerStatuses": [status]}})
        self.counted[name] = calls

    def list(self, _: Any, namespace: str | None = None) -> list[dict[str, Any]]:
        self.listed.append(namespace)
        return [pod for pod in self.pods if namespace in (None, pod["metadata"]["namespace"])]

    def pod_get(self, _: str, pod: str, port: int, path: str, *, timeout_s: float) -> str:
        assert timeout_s > 0
        self.asked.append(pod)
        self.paths.add((port, path))
        if pod in self.silent:
            raise ClusterError("no answer", remedy="")
        calls = self.counted[pod]
        return f"{CALLS} {calls}\n" if calls else f"{OTHER_CALLS} 7\n"

    def read(self) -> Counters:
        self.asked, self.listed = [], []
        return self.observer.counters(cast(Cluster, self), TARGET)


def test_after_the_first_reading_only_callers_are_asked() -> None:
    mesh = Mesh(callers=14, others=886)
    assert mesh.read().coverage == (900, 900, 900)
    second = mesh.read()
    assert set(mesh.asked) == {f"caller-{n}" for n in range(14)}
    assert set(mesh.listed) == {"front", "shop"}
    assert str(second.coverage) == "14 of 900 proxies asked, 14 answered"


def test_pods_of_the_versions_and_new_pods_beside_the_callers_are_asked_too() -> None:
    mesh = Mesh(callers=1, others=50)
    mesh.add("web-v2-0", "shop", version="v2")
    mesh.read()
    mesh.add("caller-new", "front")
    mesh.read()
    assert set(mesh.asked) == {"caller-0", "web-v2-0", "caller-new"}
    mesh.read()
    assert set(mesh.asked) == {"caller-0", "web-v2-0"}


def test_a_sidecar_that_begins_to_call_is_found_and_counts_from_then() -> None:
    mesh = Mesh(callers=1, others=50)
    before = mesh.read()
    mesh.counted["other-7"] = 1000
    rises = []
    for _ in range(2 * known_callers.SURVEY_EVERY):
        mesh.counted["other-7"] += 5
        after = mesh.read().following(before)
        rises.append(window(before, after).requests)
        before = after
    found = rises.index(5)
    assert found <= known_callers.SURVEY_EVERY
    assert rises == [0] * found + [5] * (len(rises) - found)


def test_others_are_asked_in_turn_and_a_bounded_number_at_once() -> None:
    mesh = Mesh(callers=1, others=200)
    mesh.read()
    seen: set[str] = set()
    for _ in range(4 * known_callers.SURVEY_EVERY):
        mesh.read()
        assert len(mesh.asked) <= 1 + known_callers.OTHERS
        seen.update(mesh.asked)
    assert len(seen) == 201


def test_without_any_caller_every_reading_asks_all() -> None:
    mesh = Mesh(callers=0, others=100)
    for _ in range(3):
        mesh.read()
        assert len(mesh.asked) == 100


def test_a_sidecar_that_was_restarted_is_asked_again_and_one_that_is_gone_is_forgotten() -> None:
    mesh = Mesh(callers=2, others=0)
    mesh.read()
    mesh.pods[0]["status"]["containerStatuses"][0]["restartCount"] = 1
    del mesh.pods[1]
    reading = mesh.read()
    assert set(reading.pages) == {"caller-0/1"}


def test_too_few_answers_of_callers_are_no_measurement() -> None:
    mesh = Mesh(callers=14, others=86)
    mesh.read()
    mesh.silent = {f"caller-{n}" for n in range(7)}
    assert mesh.read().coverage == (100, 14, 7)
    mesh.silent.add("caller-7")
    with pytest.raises(NoData, match="Only 6 of 14 proxies that call the service answered"):
        mesh.read()


def test_too_few_sidecars_that_ever_answered_are_no_measurement() -> None:
    """Who never answered may be a caller of whom nothing is known."""
    mesh = Mesh(callers=4, others=6)
    mesh.silent = {f"other-{n}" for n in range(6)}
    with pytest.raises(NoData, match="Only 4 of 10 sidecars answered"):
        mesh.read()


def test_istios_proxies_are_asked_for_the_counters_that_are_read_only() -> None:
    mesh = Mesh(callers=1, others=0)
    mesh.read()
    names = "istio_request_duration_milliseconds%7Cistio_requests_total"
    assert mesh.paths == {(15090, f"/stats/prometheus?usedonly&filter={names}")}


def test_a_proxy_that_does_not_filter_is_asked_for_its_whole_page() -> None:
    mesh = Mesh(callers=1, others=0)

    def refuse(_: str, pod: str, port: int, path: str, *, timeout_s: float) -> str:
        if port == 15090:
            raise ClusterError("connection refused", remedy="", status=503)
        return f"{CALLS} 3\n"

    mesh.pod_get = refuse  # type: ignore[method-assign]
    assert sum((mesh.read().pages["caller-0/0"] or {}).values()) == 3


def test_linkerds_proxies_have_whole_pages_only() -> None:
    mesh = Mesh(callers=0, others=1, table=linkerd.METRICS)
    mesh.read()
    assert mesh.paths == {(4191, "/metrics")}
