"""The demo shop's manifests and the arithmetic on its caller's ledger."""

from __future__ import annotations

import itertools
import json

import pytest

from meshkit.operations.shop import BAD, GOOD, VERSIONS, Ledger, shop_objects, shop_route


def test_control_ports_are_left_to_nobody_but_the_api_server() -> None:
    for obj in shop_objects():
        if obj["kind"] == "Deployment":
            annotations = obj["spec"]["template"]["metadata"]["annotations"]
            assert annotations["traffic.sidecar.istio.io/excludeInboundPorts"] == "9000"
            assert annotations["config.linkerd.io/skip-inbound-ports"] == "9000"


def test_each_version_is_a_deployment_of_two_pods() -> None:
    deployments = {
        o["metadata"]["name"]: o["spec"]["replicas"] for o in shop_objects() if o["kind"] == "Deployment"
    }
    assert deployments == {"client": 1, "stock": 2, **{f"web-{version}": 2 for version in VERSIONS}}


def test_the_caller_without_a_sidecar_is_there_on_request_in_a_namespace_of_its_own() -> None:
    namespaces = {o["metadata"]["name"] for o in shop_objects() if o["kind"] == "Namespace"}
    assert namespaces == {"shop"}
    own = [o for o in shop_objects(unmeshed=True) if o["metadata"].get("namespace") == "legacy"]
    assert {o["kind"] for o in own} == {"Deployment", "ServiceAccount"}
    assert not any("inject" in json.dumps(obj) for obj in own), "it opts out of nothing"


def test_the_bad_version_is_what_the_demo_promises() -> None:
    assert BAD.error_percent == 30
    assert BAD.latency_ms == GOOD.latency_ms + 300


def test_the_route_gives_everything_to_the_first_version() -> None:
    assert dict(shop_route("v1", "v2", "v3").split) == {"v1": 100, "v2": 0, "v3": 0}


LEDGER = Ledger(
    scheduled_s=tuple(itertools.islice(itertools.count(), 6)),
    latency_ms=(20.0, 30.0, 40.0, 5.0, 0.0, 300.0),
    status=(200, 200, 200, 500, 0, 200),
    version=("v1", "v1", "v1", "v2", "", "v2"),
)


def test_no_answer_and_server_errors_are_failures() -> None:
    assert (len(LEDGER), LEDGER.failed) == (6, 2)


def test_the_median_is_of_successful_answers_of_one_version() -> None:
    assert LEDGER.median_ms("v1") == 30.0
    assert LEDGER.median_ms("v3") is None


def test_harmed_are_the_failed_and_the_slow_of_one_version() -> None:
    assert LEDGER.harmed("v2", slower_than_ms=230.0) == 3
    assert LEDGER.harmed("v2", slower_than_ms=10.0) == 3, "slow answers of v1 are not v2's"


@pytest.mark.parametrize(
    ("slow", "usual", "expected"),
    [(3, 0, True), (2, 0, False), (3, 15, False), (3, 14, True)],
    ids=["three late", "two late", "as often as twice", "more often"],
)
def test_a_version_has_stalled_if_it_was_late_more_often_than_the_one_beside_it(
    slow: int, usual: int, expected: bool
) -> None:
    latencies = [100.0] * slow + [10.0] * (100 - slow) + [100.0] * usual + [10.0] * (1000 - usual)
    versions = ["v2"] * 100 + ["v1"] * 1000
    ledger = Ledger(tuple(range(1100)), tuple(latencies), (200,) * 1100, tuple(versions))
    assert ledger.stalled("v2", "v1", than_ms=20.0) is expected
