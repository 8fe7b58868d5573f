"""Steps of several intents in one plan, and objects that fit the definitions they are made for."""

from __future__ import annotations

import pytest

from meshkit.checks.planned.schema import problems
from meshkit.facts import Snapshot
from meshkit.intent.balancing import OutlierDetection
from meshkit.intent.rules import Fault, Retries
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.kube import workloads as kube_workloads
from meshkit.kube.manifests import namespace_part
from meshkit.kube.steps import Step, ordered
from meshkit.meshes.base import MeshPlanner
from meshkit.meshes.definitions import crds
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.linkerd import planner as linkerd

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
LABEL = namespace_part("shop", "injection", labels={"istio-injection": "enabled"})
POLICY = namespace_part("shop", "mutual-tls", annotations={"a": "b"})


def test_restarts_come_last_and_once() -> None:
    restart = kube_workloads.restart(DEPLOYMENT)
    assert ordered([LABEL, restart, POLICY, restart, LABEL]) == (LABEL, POLICY, restart)


def test_parts_of_one_object_have_managers_of_their_own() -> None:
    assert LABEL.manager != POLICY.manager


@pytest.mark.parametrize(("planner", "name"), [(istio.PLANNER, "istio"), (linkerd.PLANNER, "gateway_api")])
def test_planned_objects_fit_the_shipped_definitions(planner: MeshPlanner, name: str) -> None:
    fault = Fault(delay_s=1, abort_status=503) if name == "istio" else None
    route = Route(
        namespace="shop",
        service="web",
        port=80,
        versions=(Version(name="v1"), Version(name="v2")),
        split={"v1": 50, "v2": 50},
        timeout_s=2,
        retries=Retries(attempts=1),
        outlier_detection=OutlierDetection(),
        fault=fault,
    )
    steps: list[Step] = [*planner.plan(route, Snapshot())]
    if name == "istio":
        steps += planner.plan(MutualTLS(mode="strict"), Snapshot())
    definitions = {d["spec"]["names"]["kind"]: d for d in crds(name)}
    custom = [step for step in steps if step.kind.kind in definitions]
    assert len(custom) == (3 if name == "istio" else 1)
    for step in custom:
        assert problems(step.object, definitions[step.kind.kind]) == ()
