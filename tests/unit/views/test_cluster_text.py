"""The drawing of a cluster: 80 columns, plain without colour, strangers named as far as anybody can."""

from __future__ import annotations

import re
from typing import Any

from meshkit.facts import ArmCounts
from meshkit.observe.graph import Edge, ServiceGraph
from meshkit.views.cluster_text import cluster_text, graph_text

READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}


def node(name: str, zone: str, *, ready: bool = True) -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": zone}
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}


def pod(namespace: str, name: str, where: str, image: str = "meshkit.dev/sandbox/web:1", **more: Any) -> Any:
    owner = {"kind": "ReplicaSet", "name": f"{name}-abc"}
    containers = [{"name": "main", "image": image}]
    if more.get("sidecar"):
        containers.append({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1"})
    return {
        "metadata": {"namespace": namespace, "name": f"{name}-abc-x", "ownerReferences": [owner]},
        "spec": {"nodeName": where, "containers": containers},
        "status": more.get("status", READY),
    }


NODES = [node("b", "zone-b", ready=False), node("a", "zone-a")]
PODS = [
    pod("shop", "web-v1", "a", sidecar=True),
    pod("shop", "web-v1", "b", sidecar=True, status={"phase": "Running", "conditions": []}),
    pod("legacy", "batch", "a"),
    pod("istio-system", "istiod", "a", "docker.io/istio/pilot:1"),
]
GRAPH = ServiceGraph(
    2.0,
    (
        Edge(
            "shop/client",
            "shop/web-v1",
            "mTLS",
            "http",
            ArmCounts(440, 44, ((10.0, 198), (20.0, 396))),
        ),
        Edge("shop/client", "shop/a-workload-with-quite-a-long-name", "unknown", "grpc", ArmCounts(2)),
        Edge("", "shop/web-v1", "plaintext", "http", ArmCounts(4)),
        Edge("", "shop/web-v2", "plaintext", "http", ArmCounts(), refused=4),
    ),
    unread=1,
)


def test_nodes_control_plane_and_workloads_are_a_line_each() -> None:
    text = cluster_text(NODES, PODS)
    assert re.search(r"zone-a +a +Ready +3 pods\n +zone-b +b +NotReady +1 pods", text)
    assert re.search(r"istio-system/istiod +1/1 +Istio +zone-a", text)
    assert re.search(r"shop/web-v1 +1/2 +sidecar +zone-a zone-b", text)
    assert re.search(r"legacy/batch +1/1 +no sidecar", text)


def test_without_a_mesh_it_says_what_to_do() -> None:
    assert "no mesh is installed. `meshkit setup apply" in cluster_text(NODES, PODS[2:3])


def test_an_edge_tells_rate_success_and_latency() -> None:
    text = graph_text(GRAPH, PODS)
    assert re.search(r"==> shop/web-v1 +mTLS http +220\.0/s +90\.0 % +10 ms +20 ms", text)
    assert "1 sidecars did not answer" in text


def test_callers_without_a_sidecar_appear_as_such() -> None:
    last = graph_text(GRAPH, PODS).partition("callers without a sidecar")[2]
    assert re.search(r"--> shop/web-v1 +plaintext http +2\.0/s +- +- +-", last)
    assert re.search(r"--x shop/web-v2 +refused 2\.0/s: no mesh identity", last)
    assert "They are among: legacy/batch" in last


def test_lines_fit_80_columns_and_colour_changes_no_letter() -> None:
    plain = cluster_text(NODES, PODS) + "\n" + graph_text(GRAPH, PODS)
    colored = cluster_text(NODES, PODS, color=True) + "\n" + graph_text(GRAPH, PODS, color=True)
    assert max(map(len, plain.splitlines())) <= 80
    assert "\033" not in plain
    assert re.sub(r"\033\[\d+m", "", colored) == plain
