"""The drain of a rehearsal: which pods are gone, which evictions are retried, and the time limit."""

from __future__ import annotations

import datetime as dt
from typing import Any

from meshkit.checks.planned.drain import DrainForecast
from meshkit.facts import Snapshot
from meshkit.meshes.view import View
from meshkit.operations.rehearsal.measurement import Watcher
from meshkit.operations.rehearsal.rehearse import drained
from meshkit.testing import FakeClock


class Asked:
    """Records where a pod is created as a dry run; it gets a sidecar."""

    def __init__(self) -> None:
        self.api = self
        self.namespaces: list[str] = []

    def list(self, kind: object, namespace: str | None = None) -> list[Any]:
        del kind, namespace
        return []

    def apply(self, pod: Any, *, dry_run: bool, manager: str) -> Any:
        del dry_run, manager
        self.namespaces.append(pod["metadata"]["namespace"])
        return {**pod, "spec": {"containers": [{"name": "istio-proxy"}]}}


def test_no_sidecar_is_asked_for_where_new_pods_are_of_the_ambient_mode() -> None:
    """A namespace in the middle of a move still has pods with sidecars."""

    def meshed(namespace: str) -> dict[str, Any]:
        spec = {"containers": [{"name": "istio-proxy", "image": "proxyv2:1.31.4"}]}
        return {"kind": "Pod", "metadata": {"name": "web-1", "namespace": namespace}, "spec": spec}

    ambient = {"labels": {"istio.io/dataplane-mode": "ambient"}}
    home = {"kind": "Namespace", "metadata": {"name": "library", **ambient}}
    seen = Snapshot((home, meshed("library"), meshed("shop")))
    cluster = Asked()
    view = View(seen, "istio", dt.datetime(2026, 6, 1, tzinfo=dt.UTC))
    watcher = Watcher(cluster, view, 60.0)  # type: ignore[arg-type]
    watcher.start()
    watcher.stop()
    assert cluster.namespaces == ["shop"]


class Cluster:
    """Two pods on node a: one moves under its name, one is held back by its budget."""

    def __init__(self) -> None:
        self.api = self
        self.node_of = {"db-0": "a", "web-1": "a"}
        self.asked: list[str] = []

    def get(self, kind: object, name: str, namespace: str) -> dict[str, Any]:
        del kind, namespace
        return {"metadata": {"name": name}, "spec": {"nodeName": self.node_of[name]}}

    def evict(self, name: str, namespace: str) -> bool:
        del namespace
        self.asked.append(name)
        if name == "db-0":
            self.node_of[name] = "b"
        return name == "db-0"


def test_a_pod_that_is_made_again_elsewhere_has_left_and_one_that_is_held_is_asked_until_the_end() -> None:
    cluster = Cluster()
    forecast = DrainForecast(("a",), (("shop", "db-0"), ("shop", "web-1")), (), (), ())
    told: list[str] = []
    left = drained(
        cluster,  # type: ignore[arg-type]
        forecast,
        20,
        FakeClock(),
        lambda event: told.append(str(event)),
        budgets={("shop", "web-1"): "PodDisruptionBudget shop/web"},
    )
    assert left == ("shop/web-1",)
    assert cluster.asked.count("db-0") == 1
    assert cluster.asked.count("web-1") > 3
    assert [line for line in told if "waits" in line] == [
        "Pod shop/web-1 waits: PodDisruptionBudget shop/web lets none of its pods go."
    ]
