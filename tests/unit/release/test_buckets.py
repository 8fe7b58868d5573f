"""Closer latency buckets: which edges, which workloads, and what a mesh with fixed buckets says."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.meshes.istio import metrics as istio
from meshkit.observe.counters import Target
from meshkit.operations.release.buckets import measuring_pods, plan_buckets, steps_for
from tests.unit.observe.test_scrape import FakeApi, pod
from tests.unit.release.stage import GOOD, Stage

COARSE_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
TARGET = Target("shop", "web", 8080, ("v1", "v2"))


def counting(service: str, reporter: str = "source") -> str:
    return (
        f'istio_requests_total{{reporter="{reporter}",destination_version="v1",response_code="200",'
        f'destination_service_name="{service}",destination_service_namespace="shop"}} 9\n'
    )


def deployment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "generation": 3},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {}},
    }


def labelled(name: str, app: str) -> dict[str, Any]:
    made = pod(name)
    made["kind"], made["metadata"]["labels"] = "Pod", {"app": app}
    return made


def test_pods_that_count_requests_to_the_service_are_callers_and_the_versions_own() -> None:
    class FakeCluster:
        api = FakeApi(
            [pod("client"), pod("web"), pod("other"), pod("silent")],
            {"client": counting("web"), "web": counting("web", "destination"), "other": counting("stock")},
        )

    found = measuring_pods(cast(Cluster, FakeCluster()), istio.METRICS, TARGET)
    assert [each["metadata"]["name"] for each in found] == ["client", "web"]


def test_each_workload_is_annotated_once_and_a_pod_without_one_is_told() -> None:
    pods = [
        labelled("c-1", "client"),
        labelled("c-2", "client"),
        labelled("w-1", "web"),
        labelled("b", "bare"),
    ]
    seen = Snapshot((*pods, deployment("client"), deployment("web"), deployment("unused")))
    steps, findings = steps_for(pods, istio.METRICS.bucket_annotations([5.0, 5.25]), seen)  # type: ignore[misc]
    assert [step.title for step in steps] == ["Deployment shop/client", "Deployment shop/web"]
    for step in steps:
        assert step.partial
        assert step.wait
        ((name, value),) = step.object["spec"]["template"]["metadata"]["annotations"].items()
        assert name == "sidecar.istio.io/statsHistogramBuckets"
        assert json.loads(value) == {"istiocustom": [5.0, 5.25]}
    assert [(each.code, each.object) for each in findings] == [("MK1609", "Pod shop/b")]


def test_fixed_buckets_are_refused_with_the_smallest_margins_that_they_carry() -> None:
    stage = Stage("linkerd", margins={"p50_percent": 3, "p90_percent": 3, "p99_percent": 3})
    stage.observer = type(stage.observer)(
        stage.clock, {"v1": GOOD, "v2": GOOD}, rps=300, split=stage.fake.split, edges_ms=COARSE_MS
    )
    with pytest.raises(BadInput, match=r"fixed, and too wide.*margins\.p50_percent to \d+") as refused:
        plan_buckets(stage.release, stage.cluster, mesh="linkerd", observer=stage.observer, clock=stage.clock)
    assert refused.value.exit_code == 2


def test_buckets_that_carry_the_margins_leave_nothing_to_plan() -> None:
    stage = Stage(margins={"p50_percent": 300, "p90_percent": 300, "p99_percent": 300})
    plan = plan_buckets(
        stage.release, stage.cluster, mesh="istio", observer=stage.observer, clock=stage.clock
    )
    assert plan.empty
