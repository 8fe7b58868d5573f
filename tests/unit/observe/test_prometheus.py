"""Prometheus as the source of counters: resets, targets that are down or new, answers that are none."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, NoData
from meshkit.facts import Samples
from meshkit.meshes.istio import metrics as istio
from meshkit.meshes.linkerd import metrics as linkerd
from meshkit.observe.counters import Target, window
from meshkit.observe.exposition import samples
from meshkit.observe.prometheus import PrometheusObserver
from meshkit.observe.scrape import ScrapeObserver, read_page
from meshkit.observe.source import observer as observer_of

TARGET = Target("shop", "web", 8080, ("v1", "v2"))
CLUSTER = cast(Cluster, None)
METRICS = ("istio_requests_total", "istio_request_duration_milliseconds_bucket", "response_total")


def page(requests: int, *, failed: int = 0, version: str = "v1") -> str:
    series = (
        f'reporter="source",destination_version="{version}",destination_service_name="web",'
        'destination_service_namespace="shop"'
    )
    latency = f"istio_request_duration_milliseconds_bucket{{{series}"
    return (
        f'istio_requests_total{{{series},response_code="200"}} {requests}\n'
        f'istio_requests_total{{{series},response_code="503"}} {failed}\n'
        f'{latency},response_code="200",le="25"}} {requests // 2}\n'
        f'{latency},response_code="200",le="+Inf"}} {requests}\n'
    )


class FakePrometheus(BaseHTTPRequestHandler):
    """Answers the kinds of question from the pages of its targets; it leaves selecting to the real one."""

    pages: dict[str, str]
    down: set[str]
    new: set[str]
    answer: tuple[int, Any] | None
    asked: list[dict[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        query = {name: values[0] for name, values in urllib.parse.parse_qs(body).items()}
        self.asked.append({**query, "authorization": self.headers.get("authorization", "")})
        status, document = self.answer or (200, self._vector(query["query"], float(query["time"])))
        text = document if isinstance(document, str) else json.dumps(document)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(text.encode())

    def _vector(self, query: str, at_s: float) -> dict[str, Any]:
        latest = max(float(each["time"]) for each in self.asked)
        found: list[tuple[dict[str, str], float]] = []
        for name, text in self.pages.items():
            identity = {"job": "sidecars", "instance": name}
            if query == "up":
                if not (at_s < latest and name in self.new):
                    found.append(({"__name__": "up", **identity}, float(name not in self.down)))
            elif name not in self.down:
                read = samples(text, METRICS)
                found += [({"__name__": s.name, **s.labels, **identity}, s.value) for s in read]
        result = [{"metric": labels, "value": [at_s, str(value)]} for labels, value in found]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def prometheus() -> Iterator[type[FakePrometheus]]:
    class Served(FakePrometheus):
        pages, down, new, answer, asked, url = {}, set(), set(), None, [], ""

    server = HTTPServer(("127.0.0.1", 0), Served)
    Served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Served
    server.shutdown()
    thread.join()
    server.server_close()


def observer(prometheus: Any, **options: Any) -> PrometheusObserver:
    return PrometheusObserver(istio.METRICS, prometheus.url, **options)


def look(prometheus: Any, before: dict[str, str], after: dict[str, str]) -> Samples:
    prometheus.pages = before
    first = observer(prometheus).counters(CLUSTER, TARGET)
    prometheus.pages = after
    return window(first, observer(prometheus).counters(CLUSTER, TARGET))


def test_counts_are_those_of_the_same_page_read_directly(prometheus: Any) -> None:
    text = page(90, failed=10) + page(20, version="v2")
    prometheus.pages = {"a": text}
    (asked,) = observer(prometheus).counters(CLUSTER, TARGET).pages.values()
    direct = read_page(text, istio.METRICS, TARGET)
    assert asked is not None
    assert sorted(asked.values()) == sorted(direct.values())


def test_requests_that_reached_no_pod_are_asked_for_and_counted(prometheus: Any) -> None:
    lost = (
        'istio_requests_total{reporter="source",destination_workload="unknown",destination_version="unknown",'
        'destination_service="web.shop.svc.cluster.local",response_code="503",response_flags="UH"} %d\n'
    )
    seen = look(prometheus, {"a": page(10) + lost % 5}, {"a": page(10) + lost % 12})
    assert seen.unreached == {"": 7}
    asked = next(each["query"] for each in prometheus.asked if "response_flags" in each["query"])
    assert 'destination_service=~"web\\\\.shop' in asked
    assert 'destination_workload=~"unknown"' in asked


def test_rises_of_all_targets_add_up(prometheus: Any) -> None:
    seen = look(
        prometheus, {"a": page(100), "b": page(10)}, {"a": page(150, failed=5), "b": page(12, version="v1")}
    )
    assert (seen.arms["v1"].requests, seen.arms["v1"].errors) == (57, 5)
    assert seen.arms["v1"].latency_ms[0] == (25.0, 26)


def test_a_counter_that_fell_counts_from_zero(prometheus: Any) -> None:
    assert look(prometheus, {"a": page(1000)}, {"a": page(30)}).arms["v1"].requests == 30


def test_a_series_that_vanished_says_nothing(prometheus: Any) -> None:
    seen = look(
        prometheus,
        {"a": page(1000) + page(5, version="v2")},
        {"a": page(1010)},
    )
    assert (seen.arms["v1"].requests, seen.arms["v2"].requests) == (10, 0)


def test_a_target_that_was_down_at_one_end_is_left_out(prometheus: Any) -> None:
    prometheus.down = {"b"}
    prometheus.pages = {"a": page(10), "b": page(500)}
    first = observer(prometheus).counters(CLUSTER, TARGET)
    prometheus.down = set()
    prometheus.pages = {"a": page(14), "b": page(600)}
    assert window(first, observer(prometheus).counters(CLUSTER, TARGET)).arms["v1"].requests == 4


def test_what_a_newly_found_target_had_counted_before_enters_no_window(prometheus: Any) -> None:
    prometheus.pages = {"a": page(10)}
    first = observer(prometheus).counters(CLUSTER, TARGET)
    prometheus.pages, prometheus.new = {"a": page(14), "b": page(1_000_000)}, {"b"}
    second = observer(prometheus).counters(CLUSTER, TARGET)
    assert window(first, second).arms["v1"].requests == 4
    prometheus.new = set()
    third = observer(prometheus).counters(CLUSTER, TARGET)
    assert window(second, third).arms["v1"].requests == 0


def test_all_questions_of_a_look_name_its_time(prometheus: Any) -> None:
    prometheus.pages = {"a": page(10)}
    taken_s = observer(prometheus, settled_s=30.0).counters(CLUSTER, TARGET).taken_s
    assert sorted({round(taken_s - float(each["time"])) for each in prometheus.asked}) == [0, 30]


def test_linkerds_series_may_lack_the_namespace(prometheus: Any) -> None:
    prometheus.pages = {
        "a": 'response_total{direction="outbound",dst_service="web-v1",status_code="200"} 7\n'
    }
    found = PrometheusObserver(linkerd.METRICS, prometheus.url).counters(CLUSTER, TARGET)
    assert [sum((each or {}).values()) for each in found.pages.values()] == [7]
    assert any('dst_namespace=~"|shop"' in each["query"] for each in prometheus.asked)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {"status": "success", "data": {"result": []}}), "does not scrape this mesh's sidecars"),
        ((200, {"status": "success", "warnings": ["store down"], "data": {"result": []}}), "partial results"),
        ((400, {"status": "error", "error": "parse error"}), "refused a query: parse error"),
        ((503, "overloaded"), "HTTP 503"),
        ((401, "who are you"), "does not authorize the query"),
        ((302, ""), "HTTP 302"),
        ((200, "<html>"), "does not answer"),
        ((200, {"status": "success", "data": None}), "is no Prometheus"),
    ],
)
def test_what_is_no_answer_is_no_data(prometheus: Any, answer: tuple[int, Any], words: str) -> None:
    prometheus.answer = answer
    with pytest.raises(NoData, match=words):
        observer(prometheus).counters(CLUSTER, TARGET)


def test_nobody_there_is_no_data() -> None:
    with pytest.raises(NoData, match="does not answer"):
        PrometheusObserver(istio.METRICS, "http://127.0.0.1:1").counters(CLUSTER, TARGET)


def test_targets_all_down_are_no_data(prometheus: Any) -> None:
    prometheus.pages, prometheus.new = {"a": page(10)}, {"a"}
    with pytest.raises(NoData, match="scraped none"):
        observer(prometheus).counters(CLUSTER, TARGET)


def test_the_token_is_sent_and_never_told(prometheus: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-word\n")
    prometheus.pages = {"a": page(10)}
    with_token = observer(prometheus, token_file=token)
    with_token.counters(CLUSTER, TARGET)
    assert {each["authorization"] for each in prometheus.asked} == {"Bearer s3cret-word"}
    prometheus.answer = (500, "broken")
    with pytest.raises(NoData) as caught:
        with_token.counters(CLUSTER, TARGET)
    assert "s3cret" not in f"{caught.value!r} {caught.value} {with_token!r}"
    token.unlink()
    with pytest.raises(NoData, match="token for Prometheus cannot be read"):
        with_token.counters(CLUSTER, TARGET)


@pytest.mark.parametrize(
    "url",
    ["prometheus:9090", "ftp://a", "http://user:pass@a:9090", "https://a/?x=1", "http://far.example:9090"],
)
def test_a_url_that_cannot_be_asked_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        PrometheusObserver(istio.METRICS, url, token_file=Path("/nowhere"))
    assert "pass" not in str(caught.value).replace("password", "")


def test_the_settings_choose_where_measurements_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHKIT_PROMETHEUS", raising=False)
    assert isinstance(observer_of("istio"), ScrapeObserver)
    monkeypatch.setenv("MESHKIT_PROMETHEUS_CA_FILE", "/etc/ca.pem")
    monkeypatch.setenv("MESHKIT_PROMETHEUS", "https://prometheus.example")
    chosen = observer_of("linkerd")
    assert isinstance(chosen, PrometheusObserver)
    assert (chosen.url, chosen.ca_file) == ("https://prometheus.example", Path("/etc/ca.pem"))


def test_a_prometheus_that_is_named_comes_before_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHKIT_PROMETHEUS", "https://of.the.settings")
    chosen = observer_of("istio", "https://named.example")
    assert isinstance(chosen, PrometheusObserver)
    assert chosen.url == "https://named.example"
    assert observer_of("istio") != chosen, "for this call only"


def test_a_target_found_while_nothing_could_be_read_counts_from_its_first_sample(prometheus: Any) -> None:
    """Two readings may be minutes apart, so a target that is new to them may have a long history."""
    seen = look(prometheus, {"a": page(10)}, {"a": page(14), "b": page(1_000_000)})
    assert seen.arms["v1"].requests == 4


def test_a_target_found_in_mid_release_counts_from_the_second_reading_on(prometheus: Any) -> None:
    prometheus.pages = {"a": page(10)}
    first = observer(prometheus).counters(CLUSTER, TARGET)
    prometheus.pages = {"a": page(14), "b": page(1_000_000)}
    second = observer(prometheus).counters(CLUSTER, TARGET).following(first)
    prometheus.pages = {"a": page(15), "b": page(1_000_007)}
    third = observer(prometheus).counters(CLUSTER, TARGET).following(second)
    assert window(second, third).arms["v1"].requests == 8
