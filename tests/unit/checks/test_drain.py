"""The forecast of a drain."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from meshkit.checks.planned.drain import forecast_drain, nodes_of
from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Snapshot
from meshkit.meshes.view import View

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ISTIOD = {"app": "istiod"}


def obj(api: str, kind: str, name: str, namespace: str | None = None, **body: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, **body.pop("meta", {})}
    return {"apiVersion": api, "kind": kind, "metadata": {**meta, "namespace": namespace}, **body}


def node(name: str, zone: str, *, closed: bool = False) -> dict[str, Any]:
    meta = {"labels": {"topology.kubernetes.io/zone": zone}}
    return obj("v1", "Node", name, meta=meta, spec={"unschedulable": closed})


def pod(name: str, where: str, app: str = "istiod", owner: str = "ReplicaSet") -> dict[str, Any]:
    owners = [{"kind": owner, "name": "x"}] if owner else []
    return obj(
        *("v1", "Pod", name, "istio-system" if app == "istiod" else "shop"),
        meta={"labels": {"app": app}, "ownerReferences": owners},
        spec={"nodeName": where, "containers": []},
        status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    )


def deployment(app: str, replicas: int) -> dict[str, Any]:
    labels = {"app": app}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}},
    }
    namespace = "istio-system" if app == "istiod" else "shop"
    return obj("apps/v1", "Deployment", app, namespace, meta={"labels": labels}, spec=spec)


def budget(**spec: Any) -> dict[str, Any]:
    spec["selector"] = {"matchLabels": ISTIOD}
    return obj("policy/v1", "PodDisruptionBudget", "istiod", "istio-system", spec=spec)


NODES = (node("a1", "a"), node("a2", "a"), node("b1", "b"))


def view(*objects: dict[str, Any]) -> View:
    return View(Snapshot(objects), "istio", NOW)


def test_a_replica_elsewhere_keeps_the_component() -> None:
    seen = view(*NODES, deployment("istiod", 2), pod("i1", "a1"), pod("i2", "b1"), budget(maxUnavailable=1))
    (found,) = forecast_drain(seen, nodes_of(seen, "a", "")).components
    assert (found.ready, found.leaving, found.keeps, found.blocked) == (2, 1, True, False)


@pytest.mark.parametrize(("budgets", "keeps"), [((), False), ((budget(maxUnavailable=1),), True)])
def test_all_in_one_zone_are_kept_by_a_budget_alone(budgets: tuple[dict[str, Any], ...], keeps: bool) -> None:
    seen = view(*NODES, deployment("istiod", 2), pod("i1", "a1"), pod("i2", "a2"), *budgets)
    foresight = forecast_drain(seen, ("a1", "a2"))
    assert foresight.components[0].keeps is keeps
    assert foresight.carries is keeps


def test_a_budget_that_lets_none_go_blocks_the_drain() -> None:
    seen = view(*NODES, deployment("istiod", 1), pod("i1", "a1"), budget(minAvailable=1))
    foresight = forecast_drain(seen, ("a1",))
    assert foresight.components[0].blocked
    assert not foresight.carries


def guard(name: str = "web", **spec: Any) -> dict[str, Any]:
    spec = {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, **spec}
    return obj("policy/v1", "PodDisruptionBudget", name, "shop", spec=spec)


WEB = (*NODES, deployment("istiod", 1), pod("i1", "b1"), pod("w1", "a1", "web"), pod("w2", "b1", "web"))


def test_the_budget_of_a_workload_that_lets_none_go_blocks_the_drain() -> None:
    foresight = forecast_drain(view(*WEB, guard(minAvailable="100%")), ("a1",))
    assert not foresight.carries
    assert (
        "PodDisruptionBudget shop/web holds shop/w1: it lets none of 2 go, so the drain does not end."
        in foresight.sentences()
    )
    assert forecast_drain(view(*WEB, guard(maxUnavailable=1)), ("a1",)).held == ()
    assert forecast_drain(view(*WEB, guard(minAvailable="100%")), ("a2",)).held == ()


def test_a_budget_that_waits_for_a_pod_lets_the_drain_end() -> None:
    starting = pod("w3", "b1", "web") | {"status": {"phase": "Running", "conditions": []}}
    (held,) = (foresight := forecast_drain(view(*WEB, starting, guard(maxUnavailable=1)), ("a1",))).held
    assert str(held).endswith("2 of 3 are ready, so the drain waits for more of them to be ready.")
    assert foresight.carries


def test_a_pod_under_two_budgets_cannot_be_evicted() -> None:
    two = (guard(maxUnavailable=1), guard("all", maxUnavailable=1))
    foresight = forecast_drain(view(*WEB, *two), ("a1",))
    assert [held.budget for held in foresight.held] == [
        "PodDisruptionBudget shop/all and PodDisruptionBudget shop/web"
    ]
    assert not foresight.carries


def test_node_agents_and_bare_pods_stay_and_workloads_that_stand_alone_are_named() -> None:
    seen = view(
        *NODES,
        deployment("web", 1),
        pod("web-1", "a1", "web"),
        pod("agent", "a1", "log", "DaemonSet"),
        pod("bare", "a1", "job", ""),
        pod("elsewhere", "b1", "web2"),
    )
    foresight = forecast_drain(seen, ("a1",))
    assert foresight.pods == (("shop", "web-1"),)
    assert foresight.alone == ("Deployment shop/web",)
    assert foresight.unmoved == ("Pod shop/bare",)


def test_a_place_must_be_known_be_one_and_leave_another() -> None:
    with pytest.raises(UnknownName, match="zone"):
        nodes_of(view(*NODES), "c", "")
    with pytest.raises(BadInput, match="either a zone or a node"):
        nodes_of(view(*NODES), "a", "a1")
    with pytest.raises(BadInput, match="no other node can take the pods"):
        nodes_of(view(*NODES[:2], node("b1", "b", closed=True)), "a", "")
