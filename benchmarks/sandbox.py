"""The sandbox: start time, writes a second, and the delay from a written weight to the routed requests."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import meshkit as mk
from benchmarks.figure import Figure
from meshkit.cluster.connect import Cluster
from meshkit.facts import Kind
from meshkit.operations import shop
from meshkit.sandbox import lifecycle
from meshkit.sandbox.home import SandboxHome

STARTS, WRITES, WEIGHT_CHANGES = 5, 300, 100
RPS = 200.0
VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")


def measure() -> list[Figure]:
    starts = [_start_s() for _ in range(STARTS)]
    with _sandbox() as cluster:
        writes = _writes_per_s(cluster)
        install_s, mesh_s = _install_s(cluster)
        effects = _weight_effects_ms(cluster)
    return [
        Figure("sandbox up, until it answers", "s", tuple(starts), 3.0),
        Figure("server-side applies over HTTPS, one client", "a second", (writes,)),
        Figure("control plane installed, three replicas ready", "s", (install_s,)),
        Figure("shop deployed, injected, STRICT", "s", (mesh_s,)),
        Figure("weight written -> first request that obeys", "ms", tuple(effects), 100.0),
    ]


@contextmanager
def _sandbox() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="meshkit-"))
    home = SandboxHome(folder / "sandbox")
    try:
        lifecycle.up(home)
        yield mk.connect("meshkit-sandbox", home.kubeconfig)
    finally:
        lifecycle.down(home)
        shutil.rmtree(folder, ignore_errors=True)


def _start_s() -> float:
    began_s = time.perf_counter()
    with _sandbox():
        return time.perf_counter() - began_s


def _writes_per_s(cluster: Cluster) -> float:
    began_s = time.perf_counter()
    for i in range(WRITES):
        cluster.api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"bench-{i}", "namespace": "default"},
                "data": {"text": "x" * 1000},
            }
        )
    return WRITES / (time.perf_counter() - began_s)


def _install_s(cluster: Cluster) -> tuple[float, float]:
    began_s = time.perf_counter()
    mk.apply(mk.plan([mk.ControlPlane()], cluster, mesh="istio"), cluster)
    installed_s = time.perf_counter()
    shop.deploy_shop(cluster, rps=RPS)
    mk.apply(mk.plan([mk.Injection(namespace=shop.NAMESPACE)], cluster, mesh="istio"), cluster)
    mk.apply(mk.plan([mk.MutualTLS(mode="strict", namespace=shop.NAMESPACE)], cluster, mesh="istio"), cluster)
    shop.route_shop(cluster, "v1", "v2", mesh="istio")
    return installed_s - began_s, time.perf_counter() - installed_s


def _weight_effects_ms(cluster: Cluster) -> list[float]:
    """From just before the write to the sending of the first request that went to the new version.

    At 200 requests a second the grid of this measurement is 5 ms.
    """
    changes = [_flip(cluster, "v2" if i % 2 == 0 else "v1") for i in range(WEIGHT_CHANGES)]
    time.sleep(1.0)
    ledger = shop.read_ledger(cluster, changes[0][0], time.time())
    effects = []
    for written_s, version in changes:
        obeyed = (
            at
            for at, v in zip(ledger.scheduled_s, ledger.version, strict=True)
            if at >= written_s and v == version
        )
        effects.append(1000 * (next(obeyed) - written_s))
    return effects


def _flip(cluster: Cluster, version: str) -> tuple[float, str]:
    route = cluster.api.get(VIRTUAL_SERVICE, shop.SERVICE, shop.NAMESPACE)
    assert route is not None
    destinations = route["spec"]["http"][-1]["route"]
    operations = [
        {
            "op": "add",
            "path": f"/spec/http/{len(route['spec']['http']) - 1}/route/{i}/weight",
            "value": 100 if d["destination"]["subset"] == version else 0,
        }
        for i, d in enumerate(destinations)
    ]
    written_s = time.time()
    cluster.api.json_patch(VIRTUAL_SERVICE, shop.SERVICE, shop.NAMESPACE, operations)
    time.sleep(0.25)
    return written_s, version
