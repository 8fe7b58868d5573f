"""A shop in a mesh, and what its callers recorded of their requests while something was done to the mesh."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import ClusterError
from meshkit.facts import Kind
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane, Quota
from meshkit.operations import change, shop
from meshkit.testing import running_sandbox

POD = Kind("v1", "Pod")
QUOTA = Quota(cpu="8", memory="16Gi", pods=20)
INSTALLED = {
    "istio": ControlPlane(version="1.30.5", quota=QUOTA),
    "linkerd": ControlPlane(version="edge-26.5.1", quota=QUOTA),
}
"""The control planes that the shops get, of the version before the newest."""


class Requests:
    """What every caller of the shop recorded, read twice a second: callers come and go."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._over = cluster, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.status: dict[tuple[str, float], int] = {}
        self._began_s = 0.0

    def __enter__(self) -> Self:
        self._began_s = time.time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def callers(self) -> set[str]:
        return {caller for caller, _ in self.status}

    @property
    def failed(self) -> int:
        return sum(status == 0 or status >= 500 for status in self.status.values())

    def _run(self) -> None:
        while not self._over.wait(0.5):
            for pod in self._cluster.api.list(POD, "shop", "app=client"):
                name, now_s = pod["metadata"]["name"], time.time()
                path = f"/-/requests?since={self._began_s:.6f}&until={now_s:.6f}"
                with contextlib.suppress(ClusterError):
                    found = json.loads(self._cluster.api.pod_get("shop", name, 9000, path))
                    rows = zip(found["scheduled_s"], found["status"], strict=True)
                    self.status |= {(name, at_s): status for at_s, status in rows}


@contextlib.contextmanager
def shop_in_mesh(mesh: str, control_plane: ControlPlane) -> Iterator[Cluster]:
    """A sandbox with this control plane, and the shop behind its sidecars under 20 requests a second."""
    with running_sandbox() as sandbox:
        cluster = connect(kubeconfig=sandbox.kubeconfig)
        change.apply(change.plan(control_plane, cluster, mesh=mesh), cluster)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        change.apply(change.plan(Injection(namespace="shop"), cluster, mesh=mesh), cluster)
        shop.deploy_shop(cluster, rps=20, versions={"v1": shop.GOOD, "v2": shop.GOOD})
        yield cluster


LATE_MS = 300.0
"""Ten times what a good version of the shop takes, and thirty standard deviations from its median."""


def had_no_cpu(cluster: Cluster, version: str, beside: str, since_s: float) -> bool:
    """Whether a good version answered late, by the caller's ledger, and more often than the one beside it.

    Its pods or their proxies stood still for a moment, as on a busy machine. A release that is rolled back
    then is right: the version was not good.
    """
    return shop.read_ledger(cluster, since_s, time.time()).stalled(version, beside, than_ms=LATE_MS)


def wait_until_served(cluster: Cluster) -> None:
    """Until a whole second went without a failure: the shop has started, and moved, before what is tested."""
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s:
        time.sleep(1.0)
        with contextlib.suppress(ClusterError, IndexError):
            ledger = shop.read_ledger(cluster, time.time() - 1.0, time.time())
            if len(ledger) > 10 and not ledger.failed:
                return
    pytest.fail("the shop does not serve")
