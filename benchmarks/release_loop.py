"""The cost of a long release: bytes to the API server in an hour, and look 10 beside look 2,000.

The release is one long step at scripted traffic, against the sandbox's API server in a process of its own.
A proxy in front of it counts bytes. Requests for metrics pages are not part of this: they write nothing.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.counting_proxy import Traffic, counting_proxy
from benchmarks.figure import Figure
from meshkit.cluster.connect import Cluster, connect
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route, Version
from meshkit.meshes import registry
from meshkit.operations.change import apply, plan
from meshkit.operations.release.plan import plan_release
from meshkit.sandbox.home import SandboxHome
from meshkit.testing import Behaviour, FakeClock, ScriptedObserver
from tests.conformance.definitions import serve

HOUR, LOOKS = 720, 2_000
"""Looks of an hour at the default of one in 5 s, and those that are made here."""
EARLY, LATE = range(10, 60), range(LOOKS - 50, LOOKS)
MEMORY_AT = (10, 1_000, LOOKS)
"""Looks at which memory is read: a runner keeps the last RECENT_LOOKS."""
VERSIONS = ("v1", "v2")


class _Enough(BaseException):
    """Ends the release; nothing after it is written."""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        command = [sys.executable, "-m", "benchmarks.api", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            return _figures(SandboxHome(Path(folder)), int(server.stdout.readline()))
        finally:
            server.kill()
            server.wait()


def _figures(home: SandboxHome, port: int) -> list[Figure]:
    _prepare(connect(kubeconfig=home.kubeconfig))
    with counting_proxy(home, port) as (proxy, traffic):
        home.kubeconfig.write_text(home.kubeconfig.read_text().replace(f":{port}", f":{proxy}"))
        command = [sys.executable, "-m", "benchmarks.release_loop", str(home.kubeconfig)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
            assert runner.stdout is not None
            hour = Traffic()
            cpu_ms: dict[int, float] = {}
            memory_mb: dict[int, float] = {}
            for line in runner.stdout:
                look, cpu, memory = line.split()
                cpu_ms[int(look)], memory_mb[int(look)] = float(cpu), float(memory)
                if int(look) == HOUR:
                    hour = replace(traffic)
        assert runner.returncode == 0
    return [
        Figure("release of an hour: writes to the API server", "MB", (hour.written_bytes / 1e6,), 5.0),
        Figure("release of an hour: objects stored by them", "MB", (hour.stored_bytes / 1e6,), 5.0),
        Figure("release of an hour: reads from the API server", "MB", (hour.read_bytes / 1e6,)),
        Figure("release, processor time of looks 10 to 59", "ms", tuple(cpu_ms[n] for n in EARLY)),
        Figure(
            f"release, processor time of looks {LATE[0]} to {LATE[-1]}", "ms", tuple(cpu_ms[n] for n in LATE)
        ),
        *(Figure(f"release, memory at look {look:,}", "MB", (memory_mb[look],)) for look in MEMORY_AT),
    ]


def _prepare(cluster: Cluster) -> None:
    serve(cluster.api, registry.mesh("istio").crds())
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    meta = {"name": "web", "namespace": "shop"}
    spec: dict[str, Any] = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}]}
    cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    for version in VERSIONS:
        labels = {"app": "web", "version": version}
        pod = {"schedulerName": "none", "containers": [{"name": "web", "image": "example.invalid/web"}]}
        named = {"name": f"web-{version}", "namespace": "shop", "labels": labels}
        cluster.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": pod})
    versions = tuple(Version(name=name) for name in VERSIONS)
    route = Route(namespace="shop", service="web", port=8080, versions=versions, split={"v1": 100, "v2": 0})
    apply(plan(route, cluster, mesh="istio"), cluster)


def _run(kubeconfig: Path) -> None:
    """Run the release, and print a line for each look: its number, its processor time, the memory."""
    cluster, clock = connect(kubeconfig=kubeconfig), FakeClock(time.time())
    common: dict[str, Any] = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
    pace = {"steps": (50, 100), "step_s": 1e6, "deadline_s": 1e7, "baseline_s": 0, "warm_up_s": 0}
    release = Release(**common, stable="v1", canary="v2", **pace)
    behaviours = {version: Behaviour(latency_ms=20) for version in VERSIONS}
    split = {"v1": 50.0, "v2": 50.0}
    observer = ScriptedObserver(clock, behaviours, rps=40, split=lambda: split, seed=7)
    spent_s, looks = time.process_time(), 0

    def seen(_: object) -> None:
        nonlocal spent_s, looks
        looks, now_s = looks + 1, time.process_time()
        sys.stdout.write(f"{looks} {1000 * (now_s - spent_s):.3f} {_memory_mb():.1f}\n")
        sys.stdout.flush()
        spent_s = time.process_time()
        if looks == LOOKS:
            raise _Enough

    planned = plan_release(release, cluster, mesh="istio", observer=observer, clock=clock)
    try:
        apply(planned, cluster, progress=seen)
    except _Enough:
        return
    raise SystemExit(f"the release ended after {looks} looks")


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _run(Path(sys.argv[1]))
        os._exit(0)
    from benchmarks.figure import table

    print(table(measure()))
