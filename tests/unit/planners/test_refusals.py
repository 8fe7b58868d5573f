"""What a mesh cannot do is refused with a sentence: never imitated, never dropped in silence."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.intent.release import Release
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import ConnectionLimits, Fault, LoadBalancing, OutlierDetection, Route, Version
from meshkit.planners import istio, linkerd
from meshkit.planners.base import MeshPlanner


def route(**fields: Any) -> Route:
    versions = (Version(name="v1"),)
    given = {"namespace": "shop", "service": "web", "port": 80, "versions": versions, "split": {"v1": 100}}
    return Route(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"fault": Fault(abort_status=500)}, "route.fault"),
        ({"connection_limits": ConnectionLimits(max_connections=1)}, "route.connection_limits"),
        ({"load_balancing": LoadBalancing(algorithm="random")}, "load_balancing.algorithm"),
        ({"load_balancing": LoadBalancing(hash_header="x-user")}, "load_balancing.hash_header"),
        ({"outlier_detection": OutlierDetection(interval_s=1)}, "outlier_detection.interval_s"),
        (
            {"outlier_detection": OutlierDetection(max_ejection_percent=50)},
            "outlier_detection.max_ejection_percent",
        ),
    ],
)
def test_linkerd_refuses_what_it_would_drop(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match="Linkerd cannot do this") as raised:
        linkerd.PLANNER.plan(route(**fields), Snapshot())
    assert raised.value.field == field


def test_linkerd_cannot_switch_mutual_tls_off() -> None:
    with pytest.raises(BadInput, match="choose permissive or strict"):
        linkerd.PLANNER.plan(MutualTLS(mode="disable", namespace="shop"), Snapshot())


def test_linkerd_needs_an_injected_namespace_for_the_whole_mesh() -> None:
    with pytest.raises(BadInput, match="no namespace is injected by Linkerd yet"):
        linkerd.PLANNER.plan(MutualTLS(mode="strict"), Snapshot())


@pytest.mark.parametrize("planner", [istio.PLANNER, linkerd.PLANNER], ids=lambda p: p.mesh)
def test_a_release_is_run_not_planned(planner: MeshPlanner) -> None:
    release = Release(name="r", namespace="shop", service="web", port=80, stable="v1", canary="v2")
    with pytest.raises(BadInput, match="not planned but run"):
        planner.plan(release, Snapshot())
    with pytest.raises(BadInput, match="not planned but run"):
        planner.needs(release)
