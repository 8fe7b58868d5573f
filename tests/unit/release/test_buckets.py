"""Closer latency buckets: which edges, which workloads, and what a mesh with fixed buckets says."""

from __future__ import annotations

import json
from typing import Any, ClassVar, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, ClusterError
from meshkit.facts import Snapshot
from meshkit.meshes.istio import metrics as istio
from meshkit.operations.release.buckets import measuring_pods, plan_buckets, steps_for
from meshkit.operations.release.route import route_object
from tests.unit.release.stage import GOOD, Stage

COARSE_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)


def pod(name: str, **labels: str) -> dict[str, Any]:
    """A running pod with a sidecar."""
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": labels},
        "spec": {"containers": [{"name": "istio-proxy"}]},
        "status": {"containerStatuses": [{"name": "istio-proxy", "state": {"running": {}}}]},
    }


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


class FakeApi:
    """Pods of callers and of two versions, and their metrics pages."""

    pages: ClassVar = {"client": counting("web"), "other": counting("stock"), "web-v1": "", "web-v2": ""}
    own: ClassVar = [pod(f"web-{version}", app="web", version=version) for version in ("v1", "v2")]

    def get(self, *_: object) -> dict[str, Any]:
        return {"spec": {"selector": {"app": "web"}}}

    def list(self, *_: Any, labels: str = "") -> list[dict[str, Any]]:
        every = [pod("client"), *self.own, pod("other"), pod("silent")]
        if not labels:
            return every
        return [each for each in self.own if f"version={each['metadata']['labels']['version']}" in labels]

    def pod_get(self, _namespace: str, name: str, *_: object, **__: object) -> str:
        if name not in self.pages:
            raise ClusterError("no answer", remedy="", status=503)
        return str(self.pages[name])


class FakeCluster:
    api = FakeApi()


def test_callers_are_the_pods_that_count_requests_and_the_versions_own_pods_always_matter() -> None:
    release = Stage().release
    found = measuring_pods(
        cast(Cluster, FakeCluster()), istio.METRICS, release, route_object("istio", release)
    )
    assert [each["metadata"]["name"] for each in found] == ["client", "web-v1", "web-v2"]


def test_each_workload_is_annotated_once_and_a_pod_without_one_is_told() -> None:
    pods = [
        pod("c-1", app="client"),
        pod("c-2", app="client"),
        pod("w-1", app="web"),
        pod("b", app="bare"),
    ]
    seen = Snapshot((*pods, deployment("client"), deployment("web"), deployment("unused")))
    steps, findings = steps_for(pods, istio.METRICS.bucket_annotations([5.0, 5.25]), seen)  # type: ignore[misc]
    assert [step.title for step in steps] == ["Deployment shop/client", "Deployment shop/web"]
    for step in steps:
        assert step.partial
        assert step.wait
        assert not step.force
        ((name, value),) = step.object["spec"]["template"]["metadata"]["annotations"].items()
        assert name == "sidecar.istio.io/statsHistogramBuckets"
        assert json.loads(value) == {"istiocustom": [5.0, 5.25]}
    assert [(each.code, each.object) for each in findings] == [("MK1609", "Pod shop/b")]


def test_an_annotation_of_others_is_taken_over_only_where_that_is_asked_for() -> None:
    pods = [pod("c-1", app="client")]
    steps, _ = steps_for(pods, {"a": "b"}, Snapshot((*pods, deployment("client"))), take_fields=True)
    assert [step.force for step in steps] == [True]


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
