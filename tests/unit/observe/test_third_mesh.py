"""The counters of a mesh that is only a row of the table: versions, links and the service graph."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.meshes import registry
from meshkit.meshes.metrics import Link
from meshkit.observe.callers import count_links
from meshkit.observe.counters import Counters, Target, window
from meshkit.observe.graph import edges_of, read_graph_page
from meshkit.observe.scrape import read_page
from meshkit.observe.unmeshed_workloads import control_plane_of, unmeshed_workloads
from tests.toy_mesh.mesh import TOY
from tests.toy_mesh.metrics import METRICS, SIDECAR

POD: dict[str, Any] = {"metadata": {"name": "client", "namespace": "shop", "uid": "u"}}
TARGET = Target("shop", "web", 8080, ("v1", "v2"))
SENT = 'side="client",service="web",namespace="shop",server="web"'
PAGE = f"""
toy_requests_total{{{SENT},version="v1",code="200"}} 90
toy_requests_total{{{SENT},version="v1",code="503"}} 10
toy_requests_total{{{SENT},version="v2",code="200"}} 7
toy_requests_total{{side="server",client="shop/other"}} 5
toy_requests_total{{side="server",client=""}} 3
"""


@pytest.fixture(autouse=True)
def third_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.MESHES, TOY.name, TOY)


def test_versions_are_told_apart_by_its_own_labels() -> None:
    page = read_page(PAGE, METRICS, TARGET)
    found = window(Counters(0, TARGET.versions, {}), Counters(1, TARGET.versions, {"p": page})).arms
    assert {name: (arm.requests, arm.errors) for name, arm in found.items()} == {
        "v1": (100, 10),
        "v2": (7, 0),
    }


def test_its_links_are_those_that_its_table_reads() -> None:
    assert count_links(PAGE, "toy", POD, "shop") == {
        Link("shop/other", "shop/client", "mutual_tls"): 5,
        Link("unknown", "shop/client", "plain"): 3,
    }


def test_the_service_graph_draws_it() -> None:
    counted = {key: round(value) for key, value in read_graph_page(PAGE, "toy", POD).items()}
    sent, *unmeshed = edges_of(counted)
    assert (sent.source, sent.destination, sent.counts.requests) == ("shop/client", "shop/web", 107)
    assert [(edge.source, edge.destination, edge.counts.requests) for edge in unmeshed] == [
        ("", "shop/client", 3)
    ]


def test_a_pod_with_its_sidecar_is_meshed_and_its_control_plane_is_known() -> None:
    meta = {"name": "web", "namespace": "shop"}
    spec = {"containers": [{"name": "web", "image": "w"}, {"name": SIDECAR, "image": "p"}]}
    running = {"metadata": meta, "spec": spec, "status": {"phase": "Running"}}
    controller = {**running, "metadata": {**meta, "labels": {"app": "toyd"}}, "spec": {"containers": []}}
    assert unmeshed_workloads([running, controller]) == []
    assert unmeshed_workloads([running], "istio") == ["shop/web"]
    assert control_plane_of(controller) == "toy"
