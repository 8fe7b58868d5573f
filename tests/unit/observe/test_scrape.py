"""The sidecars' pages: which series belong to a version, what is a failure, and what a scrape does without
answers.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import ClusterError, NoData, Unreachable
from meshkit.meshes.istio import metrics as istio
from meshkit.meshes.linkerd import metrics as linkerd
from meshkit.observe import pages, scrape
from meshkit.observe.counters import CounterKey, Counters, Target, window
from meshkit.observe.exposition import samples
from meshkit.observe.scrape import read_page

TARGET = Target("shop", "web", 8080, ("v1", "v2"))
FILTERED = "/stats/prometheus?usedonly&filter=istio_request_duration_milliseconds%7Cistio_requests_total"


def istio_series(version: str, code: str, reporter: str = "source", service: str = "web") -> str:
    return (
        f'reporter="{reporter}",source_workload="client",destination_version="{version}",'
        f'destination_service_name="{service}",destination_service_namespace="shop",'
        f'response_code="{code}",grpc_response_status="",response_flags="-"'
    )


ISTIO_PAGE = f"""# HELP istio_requests_total requests total
# TYPE istio_requests_total counter
istio_requests_total{{{istio_series("v1", "200")}}} 90
istio_requests_total{{{istio_series("v1", "503")}}} 7
istio_requests_total{{{istio_series("v1", "0")}}} 3
istio_requests_total{{{istio_series("v1", "404")}}} 5
istio_requests_total{{{istio_series("v2", "200")}}} 10
istio_requests_total{{{istio_series("v1", "200", reporter="destination")}}} 1000
istio_requests_total{{{istio_series("v1", "200", service="other")}}} 1000
istio_requests_total{{{istio_series("unknown", "503")}}} 1000
istio_request_duration_milliseconds_bucket{{{istio_series("v1", "200")},le="25"}} 80
istio_request_duration_milliseconds_bucket{{{istio_series("v1", "200")},le="+Inf"}} 90
istio_request_duration_milliseconds_bucket{{{istio_series("v1", "503")},le="25"}} 7
istio_request_duration_milliseconds_bucket{{{istio_series("v1", "503")},le="+Inf"}} 7
istio_request_duration_milliseconds_sum{{{istio_series("v1", "200")}}} 1800
envoy_something_else 1
"""


def linkerd_series(version: str, **labels: str) -> str:
    common = {"direction": "outbound", "dst_service": f"web-{version}", "dst_namespace": "shop"}
    return ",".join(f'{name}="{value}"' for name, value in {**common, **labels}.items())


LINKERD_PAGE = f"""
response_total{{{linkerd_series("v1", status_code="200", classification="success")}}} 95
response_total{{{linkerd_series("v1", classification="failure")}}} 5
response_total{{{linkerd_series("v2", status_code="500", classification="failure")}}} 4
response_total{{{linkerd_series("v1", direction="inbound", classification="success")}}} 1000
response_total{{{linkerd_series("v1", dst_namespace="other", classification="success")}}} 1000
response_latency_ms_bucket{{{linkerd_series("v1", status_code="200")},le="20"}} 60
response_latency_ms_bucket{{{linkerd_series("v1", status_code="200")},le="+Inf"}} 95
response_latency_ms_bucket{{{linkerd_series("v2", status_code="500")},le="+Inf"}} 4
"""


def totals(page: dict[CounterKey, float], version: str) -> tuple[int, int, tuple[tuple[float, int], ...]]:
    arm = window(Counters(0, TARGET.versions, {}), Counters(1, TARGET.versions, {"p": page})).arms[version]
    return arm.requests, arm.errors, arm.latency_ms


def test_istio_page_from_the_callers_side() -> None:
    page = read_page(ISTIO_PAGE, istio.METRICS, TARGET)
    assert totals(page, "v1") == (105, 10, ((25.0, 80), (math.inf, 90)))
    assert totals(page, "v2") == (10, 0, ())


def test_versions_with_services_of_their_own_are_told_by_them() -> None:
    target = replace(TARGET, services={"v1": "web-primary", "v2": "web-canary"})
    lines = (
        f"istio_requests_total{{{istio_series('unknown', '200', service=service)}}} {count}"
        for service, count in (("web-primary", 90), ("web-canary", 10), ("web", 1000))
    )
    page = read_page("\n".join(lines), istio.METRICS, target)
    assert [totals(dict(page), version)[0] for version in ("v1", "v2")] == [90, 10]


def test_versions_with_labels_of_another_name_are_told_by_them() -> None:
    exchanged = replace(TARGET, labels={"v1": "v2", "v2": "v1"})
    page = read_page(ISTIO_PAGE, istio.METRICS, exchanged)
    assert [totals(dict(page), version)[0] for version in ("v1", "v2")] == [10, 105]


def istio_unreached(service: str, flags: str, of: str = "shop", **labels: str) -> str:
    """A series of a request for which no pod was chosen, as the filter of Istio's proxy counts it."""
    common = {
        "reporter": "source",
        "source_workload_namespace": of,
        "destination_workload": "unknown",
        "destination_version": "unknown",
        "destination_service": service,
        "destination_service_name": service.partition(".")[0],
        "destination_service_namespace": "unknown",
        "response_code": "503",
        "response_flags": flags,
    }
    return ",".join(f'{name}="{value}"' for name, value in {**common, **labels}.items())


@pytest.mark.parametrize(
    ("series", "counts"),
    [
        (istio_unreached("web.shop.svc.cluster.local", "UH"), True),
        (istio_unreached("web.shop.svc.cluster.local", "UH,URX", of="other"), True),
        (istio_unreached("web.shop.svc.cluster.local", "UH", response_code="200"), True),
        (istio_unreached("web:8080", "NC", destination_service_name="web:8080"), True),
        (istio_unreached("web.shop:8080", "NC", of="other"), True),
        (istio_unreached("web", "NC", of="other"), False),
        (istio_unreached("web2.shop.svc.cluster.local", "UH"), False),
        (istio_unreached("web.shop2.svc.cluster.local", "UH"), False),
        (istio_unreached("web.shop.svc.cluster.local", "NR", response_code="404"), False),
        (istio_unreached("web.shop.svc.cluster.local", "FI"), False),
        (istio_unreached("web.shop.svc.cluster.local", "UF", destination_workload="web-v1"), False),
        (istio_unreached("web.shop.svc.cluster.local", "UH", reporter="destination"), False),
    ],
)
def test_istio_requests_that_reached_no_pod_carry_no_version(series: str, *, counts: bool) -> None:
    page = read_page(f"istio_requests_total{{{series}}} 9\n", istio.METRICS, TARGET)
    seen = window(Counters(0, TARGET.versions, {}), Counters(1, TARGET.versions, {"p": page}))
    assert seen.unreached == ({"": 9} if counts else {})
    assert seen.requests == 0


def test_istio_requests_to_a_versions_own_service_are_counted_once() -> None:
    target = replace(TARGET, services={"v1": "web", "v2": "web-canary"})
    lines = (
        f"istio_requests_total{{{istio_unreached(host, 'UH', destination_service_namespace='shop')}}} 9\n"
        for host in ("web.shop.svc.cluster.local", "web-canary.shop.svc.cluster.local")
    )
    page = read_page("".join(lines), istio.METRICS, target)
    assert [totals(dict(page), version)[:2] for version in ("v1", "v2")] == [(9, 9), (9, 9)]
    assert not [key for key in page if key.what == "unreached"]


def test_linkerd_requests_that_reached_no_pod_are_those_of_their_backend() -> None:
    """Its counters of responses begin at an endpoint, so they do not have them."""
    series = (
        'outbound_http_route_backend_response_statuses_total{parent_name="web",backend_namespace="shop",'
        'backend_name="web-v2",http_status="%s",error="%s"} %d\n'
    )
    text = LINKERD_PAGE + series % ("", "FAIL_FAST", 30) + series % ("200", "", 50) + series % ("", "IO", 20)
    page = read_page(text, linkerd.METRICS, TARGET)
    seen = window(Counters(0, TARGET.versions, {}), Counters(1, TARGET.versions, {"p": page}))
    assert (seen.arms["v2"].requests, seen.arms["v2"].errors) == (34, 34)
    assert seen.unreached == {"v2": 30}


def test_linkerd_page_from_the_callers_side() -> None:
    page = read_page(LINKERD_PAGE, linkerd.METRICS, TARGET)
    assert totals(page, "v1") == (100, 5, ((20.0, 60), (math.inf, 95)))
    assert totals(page, "v2") == (4, 4, ())


def test_istio_pods_are_told_apart_by_their_own_pages() -> None:
    page = read_page(ISTIO_PAGE, istio.METRICS, TARGET, "web-v1-0")
    seen = window(Counters(0, TARGET.versions, {}), Counters(1, TARGET.versions, {"p": page}))
    assert {pod: arm.requests for pod, arm in seen.pods["v1"].items()} == {"web-v1-0": 1000}
    assert seen.arms["v1"].requests == 105
    assert seen.pods["v2"] == {}


def test_linkerd_pods_are_told_apart_by_their_callers() -> None:
    text = "".join(
        f"response_total{{{linkerd_series('v1', dst_pod=pod, classification=kind)}}} {count}\n"
        for pod, kind, count in (("a", "success", 90), ("a", "failure", 2), ("b", "success", 70))
    )
    page = read_page(text, linkerd.METRICS, TARGET, "client-0")
    seen = window(Counters(0, TARGET.versions, {}), Counters(1, TARGET.versions, {"p": page}))
    assert {pod: (arm.requests, arm.errors) for pod, arm in seen.pods["v1"].items()} == {
        "a": (92, 2),
        "b": (70, 0),
    }
    assert seen.arms["v1"].requests == 162


def test_exposition_reads_labels_escapes_and_passes_over_what_it_cannot_read() -> None:
    text = 'a{x="1",y="q\\"\\\\n,{}"} 2 1700000000\nb 3\na garbage\na{x="2"} NaN\n# a 5\n'
    found = list(samples(text, ("a",)))
    assert found[0] == ("a", {"x": "1", "y": 'q"\\n,{}'}, 2.0)
    assert len(found) == 2


class FakeApi:
    """Pods, and what their metrics pages answer."""

    def __init__(self, pods: list[dict[str, Any]], pages: dict[str, str]) -> None:
        self._pods, self._pages = pods, pages

    def list(self, *_: Any) -> list[dict[str, Any]]:
        return self._pods

    def pod_get(self, namespace: str, pod: str, port: int, path: str, *, timeout_s: float) -> str:
        assert (namespace, port, path) in (("shop", 15090, FILTERED), ("shop", 15020, "/stats/prometheus"))
        if pod not in self._pages:
            raise ClusterError("no answer", remedy="", status=503)
        return self._pages[pod]


def pod(name: str, *, sidecar: bool = True, restarts: int = 0) -> dict[str, Any]:
    found = [{"name": "istio-proxy", "restartCount": restarts, "state": {"running": {}}}] if sidecar else []
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"},
        "status": {"containerStatuses": [{"name": "app", "state": {"running": {}}}, *found]},
    }


def scraped(pods: list[dict[str, Any]], pages: dict[str, str]) -> Counters:
    class FakeCluster:
        api = FakeApi(pods, pages)

    return scrape.ScrapeObserver(istio.METRICS).counters(cast(Cluster, FakeCluster()), TARGET)


def test_every_meshed_pod_is_read_and_named_by_its_start() -> None:
    counters = scraped([pod("a"), pod("b", restarts=2), pod("c", sidecar=False)], {"a": ISTIO_PAGE, "b": ""})
    assert set(counters.pages) == {"uid-a/0", "uid-b/2"}


def test_one_sidecar_that_does_not_answer_is_left_out() -> None:
    assert scraped([pod("a"), pod("b")], {"a": ISTIO_PAGE}).pages["uid-b/0"] is None


def test_pods_that_hang_hold_a_look_up_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "LOOK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(pages, "PAGE_TIMEOUT_S", 0.1)

    class Hanging(FakeApi):
        def pod_get(self, namespace: str, pod: str, port: int, path: str, *, timeout_s: float) -> str:
            time.sleep(timeout_s)
            raise Unreachable("timed out", remedy="")

    class FakeCluster:
        api = Hanging([pod(f"p{n}") for n in range(100)], {})

    started = time.monotonic()
    with pytest.raises(NoData, match="None of 100 sidecars answered"):
        scrape.ScrapeObserver(istio.METRICS).counters(cast(Cluster, FakeCluster()), TARGET)
    assert time.monotonic() - started < 8, "one after the other they take 10 s"


@pytest.mark.parametrize(
    ("pods", "message"),
    [([], "No running pod has the sidecar istio-proxy"), ([pod("a")], "None of 1 sidecars answered")],
)
def test_no_answer_at_all_is_no_data(pods: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(NoData, match=message):
        scraped(pods, {})
