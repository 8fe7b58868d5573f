"""Pods are found by their labels without a look at the other pods of their namespace."""

from __future__ import annotations

from typing import Any

from meshkit.facts import Object, Snapshot
from meshkit.kube.selectors import selected_pods, selects


def pod(name: str, namespace: str = "shop", **carried: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": carried}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}}


PODS = [
    pod(f"web-{n}-{version}", app=f"web-{n}", version=version) for n in range(40) for version in ("v1", "v2")
]
OTHERS = [
    pod("web-3-v1", "tests", app="web-3", version="v1"),
    {**pod("web-3", app="web-3"), "kind": "Service"},
]
SEEN = Snapshot([*OTHERS, *PODS, pod("bare")])


def names(pods: list[Object]) -> list[str]:
    return [each["metadata"]["name"] for each in pods]


def test_pods_are_found_by_all_labels_in_their_namespace() -> None:
    assert names(selected_pods({"version": "v1", "app": "web-3"}, "shop", SEEN)) == ["web-3-v1"]
    assert names(selected_pods({"app": "web-3"}, "shop", SEEN)) == ["web-3-v1", "web-3-v2"]
    assert not selected_pods({"app": "web-3", "version": "v3"}, "shop", SEEN)
    assert not selected_pods({"app": "none"}, "shop", SEEN)


def test_no_label_selects_all_pods_of_the_namespace() -> None:
    assert names(selected_pods({}, "shop", SEEN)) == [*names(PODS), "bare"]


def test_pods_that_were_written_over_those_read_are_found() -> None:
    written = SEEN.written([pod("web-3-v1", app="web-4", version="v1"), pod("new", app="web-3")])
    assert names(selected_pods({"app": "web-3"}, "shop", written)) == ["web-3-v2", "new"]
    assert names(selected_pods({"app": "web-4"}, "shop", written)) == ["web-3-v1", "web-4-v1", "web-4-v2"]


def test_only_the_pods_with_the_rarest_label_are_compared(monkeypatch: Any) -> None:
    compared: list[str] = []

    def counting(wanted: Any, labelled: Object) -> bool:
        compared.append(labelled["metadata"]["name"])
        return selects(wanted, labelled)

    monkeypatch.setattr("meshkit.kube.selectors.selects", counting)
    selected_pods({"version": "v1", "app": "web-3"}, "shop", SEEN)
    assert compared == ["web-3-v1", "web-3-v2"]
