"""Where a part of the cluster may not be read, only what the rest proves is found."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from meshkit.checks.partial import findings_of_some
from meshkit.facts import Snapshot
from meshkit.meshes.view import View
from tests.unit.meshes.meshed import service, sidecar, virtual_service

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ELSEWHERE = {"host": "ledger.billing.svc.cluster.local"}


def found(*unread: str, objects: tuple[Any, ...] = ()) -> set[str]:
    route = virtual_service("web", "web", [{"route": [{"destination": ELSEWHERE}]}])
    listed = (service("web", 8080), sidecar("istio"), route, *objects)
    seen = View(Snapshot(listed, unread), "istio", NOW)
    return {each.code for each in findings_of_some(seen, ("shop",))}


def test_a_host_of_a_namespace_that_was_not_read_may_exist() -> None:
    assert found("Service outside shop", "Pod outside shop") == {"MK1409"}


def test_a_host_that_no_service_of_the_cluster_has_does_not_exist() -> None:
    assert found("Pod outside shop", "Node") == {"MK1409", "MK0220"}


def nowhere() -> dict[str, Any]:
    made = service("metrics", 9100)
    made["spec"] = {
        "selector": {"app": "client"},
        "ports": [{"name": "http", "port": 9100, "targetPort": "m"}],
    }
    return made


@pytest.mark.parametrize(("pods", "codes"), [("Pod outside shop", {"MK0904"}), ("Pod", set())])
def test_a_missing_port_is_proven_by_the_pods_of_the_namespace(pods: str, codes: set[str]) -> None:
    client = sidecar("istio")
    client["metadata"]["labels"] = {"app": "client"}
    assert found("Service outside shop", pods, objects=(nowhere(), client)) == {"MK1409", *codes}
