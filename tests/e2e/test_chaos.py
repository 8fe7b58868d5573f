"""A zone, a pod and a dependency in trouble, under load, on both meshes (on Linkerd as soak).

Takes about 30 s for each mesh: it starts a shop with its proxies and takes a zone away from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import meshkit as mk
from meshkit.cluster.connect import Cluster, connect
from meshkit.facts import Kind
from meshkit.operations import shop
from meshkit.testing import running_sandbox
from tests.chance import usual

DEPLOYMENT, NODE, POD = Kind("apps/v1", "Deployment"), Kind("v1", "Node"), Kind("v1", "Pod")
LEASE = Kind("coordination.k8s.io/v1", "Lease")
LEASE_OF = {
    "istio": ("istio-gateway-deployment-default", "istio-system"),
    "linkerd": ("linkerd-destination", "linkerd"),
}
RPS = 100
IN_FLIGHT = 15
"""Requests that may be under way at one instant on a slow machine; a third of a second's would be 33."""
INSTANT_S = 3.0
"""After a loss: what fails later was not in flight, but sent to an address that is gone."""


class Meshed:
    """A shop of three web pods, one in each zone; its caller is not in the zone of the leader."""

    def __init__(self, cluster: Cluster, mesh: str) -> None:
        self.cluster, self.api, self.mesh = cluster, cluster.api, mesh
        mk.apply(mk.plan(mk.ControlPlane(), cluster, mesh=mesh), cluster)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        mk.apply(mk.plan(mk.Injection(namespace="shop", restart=False), cluster, mesh=mesh), cluster)
        self.doomed = self.node_of(self.leader())
        elsewhere = next(name for name in self.nodes() if name != self.doomed)
        for obj in shop.shop_objects(rps=RPS, versions={"v1": shop.Behaviour(latency_ms=5)}):
            if obj["kind"] == "Deployment":
                spec = obj["spec"]["template"]["spec"]
                if obj["metadata"]["name"] == "client":
                    spec["nodeSelector"] = {"kubernetes.io/hostname": elsewhere}
                else:
                    obj["spec"]["replicas"] = 3
            cluster.api.apply(obj)
        shop.wait_for_shop(
            cluster, deployments=[("shop", name) for name in ("client", "web-v1", "stock")], timeout_s=120
        )
        self.until("all is answered", lambda: self.failed(time.time() - 1, time.time()) == [])

    def leader(self) -> str:
        name, namespace = LEASE_OF[self.mesh]
        self.until("a replica leads", lambda: bool(self._holder(name, namespace)))
        return self._holder(name, namespace)

    def _holder(self, name: str, namespace: str) -> str:
        lease = self.api.get(LEASE, name, namespace) or {}
        return str(lease.get("spec", {}).get("holderIdentity") or "")

    def node_of(self, control_plane_pod: str) -> str:
        pod = self.api.get(POD, control_plane_pod, LEASE_OF[self.mesh][1])
        assert pod is not None
        return str(pod["spec"]["nodeName"])

    def nodes(self) -> dict[str, str]:
        """Node -> status of its condition Ready."""
        return {
            each["metadata"]["name"]: next(
                c["status"] for c in each["status"]["conditions"] if c["type"] == "Ready"
            )
            for each in self.api.list(NODE)
        }

    def pods(self, app: str) -> list[dict[str, Any]]:
        """Those not on their way out."""
        found = self.api.list(POD, "shop", f"app={app}")
        return [dict(pod) for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, app: str) -> list[str]:
        """The nodes of the ready pods."""
        return [
            pod["spec"]["nodeName"]
            for pod in self.pods(app)
            for each in pod["status"].get("conditions", ())
            if each["type"] == "Ready" and each["status"] == "True"
        ]

    def failed(self, since_s: float, until_s: float) -> list[tuple[float, int]]:
        """The requests that did not go well: due so many seconds after ``since_s``, and the status."""
        ledger = shop.read_ledger(self.cluster, since_s, until_s)
        return [
            (round(due_s - since_s, 2), status)
            for due_s, status in zip(ledger.scheduled_s, ledger.status, strict=True)
            if status != 200
        ]

    def until(self, what: str, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        start = time.monotonic()
        while not holds():
            assert time.monotonic() - start < timeout_s, f"not within {timeout_s} s: {what}"
            time.sleep(0.1)


@pytest.fixture(scope="module", params=["istio", pytest.param("linkerd", marks=pytest.mark.soak)])
def meshed(request: pytest.FixtureRequest) -> Iterator[Meshed]:
    with running_sandbox() as sandbox:
        yield Meshed(connect("meshkit-sandbox", sandbox.kubeconfig), request.param)


def test_a_lost_zone_costs_only_what_was_in_flight(meshed: Meshed) -> None:
    doomed, leader = meshed.doomed, meshed.leader()
    zone = {"sandbox-a": "zone-a", "sandbox-b": "zone-b", "sandbox-c": "zone-c"}[doomed]
    began_s = time.time()
    assert mk.Chaos(meshed.cluster).kill_zone(zone) == [doomed]
    meshed.until("the node is NotReady", lambda: meshed.nodes()[doomed] == "Unknown")
    meshed.until(
        "its pods are made elsewhere",
        lambda: doomed not in meshed.ready("web") and len(meshed.ready("web")) == 3,
    )
    meshed.until("another replica leads", lambda: meshed.leader() != leader)
    time.sleep(1)
    failed = meshed.failed(began_s, time.time() - 0.5)
    assert len(failed) <= IN_FLIGHT, failed
    assert all(after_s < INSTANT_S for after_s, _ in failed), failed
    mk.Chaos(meshed.cluster).restore()
    meshed.until("the node is back", lambda: meshed.nodes()[doomed] == "True")
    meshed.until(
        "what was evicted is gone",
        lambda: len(meshed.api.list(POD, "shop", "app=web")) == len(meshed.pods("web")),
    )
    meshed.api.merge_patch(DEPLOYMENT, "web-v1", "shop", {"spec": {"replicas": 4}})
    meshed.until("it takes pods again", lambda: doomed in meshed.ready("web"))


def test_a_killed_pod_costs_only_what_was_in_flight(meshed: Meshed) -> None:
    pods, began_s = meshed.pods("web"), time.time()
    mk.Chaos(meshed.cluster).kill_pod("shop", pods[0]["metadata"]["name"])
    meshed.until("another is made", lambda: len(meshed.ready("web")) == len(pods))
    failed = meshed.failed(began_s, time.time() - 0.2)
    assert len(failed) <= IN_FLIGHT, failed
    assert all(after_s < INSTANT_S for after_s, _ in failed), failed


def test_a_slow_dependency_slows_the_paths_that_need_it(meshed: Meshed) -> None:
    chaos = mk.Chaos(meshed.cluster)
    assert len(chaos.slow("shop", "stock", latency_ms=400)) == 3
    since_s = time.time()
    time.sleep(5)
    ledger = shop.read_ledger(meshed.cluster, since_s, time.time() - 1)
    slow = sum(ms >= 300 for ms in ledger.latency_ms)
    assert ledger.failed == 0
    assert slow >= usual(0.1, len(ledger)).start, "a tenth of the requests need the dependency"
    assert slow <= 0.5 * len(ledger), "the others are slow only while the machine is busy"
    graph = mk.service_graph(meshed.cluster, window_s=4)
    (edge,) = [e for e in graph.edges if e.destination == "shop/stock"]
    assert (edge.counts.quantile_ms(0.5) or 0) >= 200
    assert len(chaos.restore()) >= 3
