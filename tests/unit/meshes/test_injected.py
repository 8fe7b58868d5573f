"""Which pods get a sidecar, and the reason that a person reads, from the live webhook configurations."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.injection import Injection
from meshkit.meshes.injection import Injected, injected
from meshkit.meshes.istio import planner as istio
from meshkit.meshes.linkerd import planner as linkerd
from tests.unit.meshes.injected_objects import (
    MARK,
    deployment,
    namespace,
    pod,
    webhook,
)


def one(mesh: str, *objects: dict[str, Any], marked: bool = False) -> Injected:
    (found,) = injected(Snapshot(objects), mesh, "shop", marked=marked)
    return found


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
class TestBothMeshes:
    def test_a_marked_namespace_gets_sidecars(self, mesh: str) -> None:
        assert one(mesh, webhook(mesh), namespace(mesh), deployment()).will

    def test_an_unmarked_one_does_not_until_it_is(self, mesh: str) -> None:
        objects = (webhook(mesh), namespace(mesh, None), deployment())
        assert not one(mesh, *objects).will
        assert MARK[mesh][1] in one(mesh, *objects).why
        assert one(mesh, *objects, marked=True).will

    def test_the_host_network_is_left_alone(self, mesh: str) -> None:
        found = one(mesh, webhook(mesh), namespace(mesh), deployment(hostNetwork=True))
        assert not found.will
        assert found.opted_out
        assert "host's network" in found.why

    def test_without_an_injector_nothing_is_injected(self, mesh: str) -> None:
        found = one(mesh, namespace(mesh), deployment())
        assert not found.will
        assert found.why == "no injector is installed in this cluster"

    def test_an_injector_without_ca_refuses_pods(self, mesh: str) -> None:
        found = one(mesh, webhook(mesh, trusted=False), namespace(mesh), deployment())
        assert not found.will
        assert "no CA" in found.why

    def test_what_runs_is_counted_apart_from_what_would(self, mesh: str) -> None:
        pods = (pod(1), pod(2, f"{mesh}-proxy"))
        found = one(mesh, webhook(mesh), namespace(mesh), deployment(), *pods)
        assert (found.pods, found.meshed, found.settled) == (2, 1, False)

    def test_a_pod_that_nobody_restarts_stands_for_itself(self, mesh: str) -> None:
        assert one(mesh, webhook(mesh), namespace(mesh), pod(1)).workload == "Pod shop/web-1"


def test_istio_opts_out_by_label() -> None:
    refusing = deployment(labels={"sidecar.istio.io/inject": "false"})
    found = one("istio", webhook("istio"), namespace("istio"), refusing)
    assert (found.will, found.opted_out) == (False, True)
    assert found.why == "its pods carry the label sidecar.istio.io/inject=false"


def test_istio_takes_a_single_pod_by_label() -> None:
    asking = deployment(labels={"sidecar.istio.io/inject": "true"})
    assert one("istio", webhook("istio"), namespace("istio", None), asking).will


def test_istio_reads_the_live_selectors_not_a_rule_of_its_own() -> None:
    edited = webhook("istio")
    for hook in edited["webhooks"]:
        hook["objectSelector"] = {"matchLabels": {"team": "payments"}}
    found = one("istio", edited, namespace("istio"), deployment())
    assert not found.will
    assert "no label team (wanted: payments)" in found.why


def test_linkerd_asks_the_pod_before_the_namespace() -> None:
    asking = deployment(metadata={"annotations": {"linkerd.io/inject": "enabled"}})
    refusing = deployment(metadata={"annotations": {"linkerd.io/inject": "disabled"}})
    assert one("linkerd", webhook("linkerd"), namespace("linkerd", None), asking).will
    assert one("linkerd", webhook("linkerd"), namespace("linkerd"), refusing).opted_out


@pytest.mark.parametrize(("mesh", "planner"), [("istio", istio.PLANNER), ("linkerd", linkerd.PLANNER)])
def test_a_workload_that_opted_out_is_not_restarted_again_and_again(mesh: str, planner: Any) -> None:
    refusing = deployment(hostNetwork=True)
    steps = planner.plan(Injection(namespace="shop"), Snapshot((refusing, pod(1))))
    assert [step.title for step in steps] == ["Namespace shop"]


@pytest.mark.parametrize("planner", [istio.PLANNER, linkerd.PLANNER])
def test_restarts_come_in_waves(planner: Any) -> None:
    many = []
    for name in "abc":
        made, its = deployment(), pod(1)
        made["metadata"] = {"name": name, "namespace": "shop"}
        made["spec"]["selector"]["matchLabels"] = its["metadata"]["labels"] = {"app": name}
        its["metadata"]["name"] = name
        many += [made, its]
    steps = planner.plan(Injection(namespace="shop", at_once=2), Snapshot(tuple(many)))
    assert [step.wave for step in steps] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("labels", "wanted", "mark"),
    [
        ({}, None, {"istio-injection": "enabled"}),
        ({}, "prod", {"istio.io/rev": "prod"}),
        ({"istio.io/rev": "1-31-4"}, None, {"istio.io/rev": "1-31-4"}),
        ({"istio-injection": "enabled"}, None, {"istio-injection": "enabled"}),
        ({"istio-injection": "enabled"}, "prod", {"istio.io/rev": "prod"}),
    ],
)
def test_a_namespace_that_an_upgrade_has_moved_is_not_moved_back(
    labels: dict[str, str], wanted: str | None, mark: dict[str, str]
) -> None:
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}
    (step,) = istio.PLANNER.plan(
        Injection(namespace="shop", revision=wanted, restart=False), Snapshot((home,))
    )
    assert step.object["metadata"]["labels"] == mark


def test_whatever_replaces_its_pods_is_restarted() -> None:
    found: list[dict[str, Any]] = []
    for kind, strategy in (
        ("StatefulSet", "RollingUpdate"),
        ("DaemonSet", "RollingUpdate"),
        ("DaemonSet", "OnDelete"),
    ):
        name = f"{kind}-{strategy}".lower()
        owner, its = deployment(), pod(1)
        owner["kind"], owner["metadata"] = kind, {"name": name, "namespace": "shop"}
        owner["spec"] |= {"selector": {"matchLabels": {"app": name}}, "updateStrategy": {"type": strategy}}
        its["metadata"] |= {"name": name, "labels": {"app": name}}
        found += [owner, its]
    _, *restarts = istio.PLANNER.plan(Injection(namespace="shop"), Snapshot(tuple(found)))
    assert [step.title for step in restarts] == [
        "StatefulSet shop/statefulset-rollingupdate",
        "DaemonSet shop/daemonset-rollingupdate",
    ]
