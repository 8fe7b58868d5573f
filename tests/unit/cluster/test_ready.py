"""A workload is available when every replica has the newest template, whichever controller makes the pods."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster.ready import available

REPLICAS = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
NODES = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


def workload(kind: str, observed: int = 4, **status: int) -> dict[str, Any]:
    spec = {} if kind == "DaemonSet" else {"replicas": 2}
    return {
        "kind": kind,
        "metadata": {"generation": 4},
        "spec": spec,
        "status": {"observedGeneration": observed, **status},
    }


@pytest.mark.parametrize(
    ("kind", "status", "lacking"),
    [
        ("Deployment", REPLICAS, "updatedReplicas"),
        ("StatefulSet", REPLICAS, "availableReplicas"),
        ("DaemonSet", NODES, "updatedNumberScheduled"),
        ("DaemonSet", NODES, "numberAvailable"),
    ],
)
def test_a_workload_is_available_once_every_new_pod_is(
    kind: str, status: dict[str, int], lacking: str
) -> None:
    assert available(workload(kind, **status))
    assert not available(workload(kind, **{**status, lacking: 1}))
    assert not available(workload(kind, 3, **status)), "its controller has not seen the newest template"
