"""An object that is applied twice, for another that refers to it, keeps what is used in change and undo."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import ManualActionRequired
from meshkit.facts import Kind
from meshkit.kube.steps import Step
from meshkit.operations.change import apply, history
from meshkit.operations.undo import undo
from tests.contract.plans import planned

CONFIG_MAP = Kind("v1", "ConfigMap")
BEFORE = ({"v1": "", "v2": ""}, "v1")
AFTER = ({"v2": "", "v3": ""}, "v3")
Watch = Callable[[object], None]


class Killed(BaseException):
    """The process ends here."""


def step(namespace: str, name: str, data: dict[str, str], settle_s: float = 0.0) -> Step:
    meta = {"name": name, "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    return Step(body, settle_s=settle_s)


def steps(namespace: str) -> list[Step]:
    return [
        step(namespace, "subsets", AFTER[0] | BEFORE[0], settle_s=0.001),
        step(namespace, "rules", {"use": AFTER[1]}, settle_s=0.001),
        step(namespace, "subsets", AFTER[0]),
    ]


def begin(cluster: Cluster, namespace: str) -> None:
    for one in (step(namespace, "subsets", BEFORE[0]), step(namespace, "rules", {"use": BEFORE[1]})):
        cluster.api.apply(one.object, manager="meshkit")


def state(cluster: Cluster, namespace: str) -> tuple[dict[str, str], str]:
    subsets, rules = (cluster.api.get(CONFIG_MAP, name, namespace) for name in ("subsets", "rules"))
    assert subsets
    assert rules
    return subsets["data"], rules["data"]["use"]


def watching(cluster: Cluster, namespace: str, kill_at: int | None = None) -> Watch:
    """Hold at every event that the rules use what is there; end at the event of this number."""
    seen: list[object] = []

    def watch(progress: object) -> None:
        subsets, used = state(cluster, namespace)
        assert used in subsets, progress
        seen.append(progress)
        if len(seen) == kill_at:
            raise Killed

    return watch


def test_a_plan_shows_each_step_of_an_object_against_the_step_before(
    cluster: Cluster, namespace: str
) -> None:
    begin(cluster, namespace)
    plan = planned(cluster, steps(namespace))
    assert [[change.path for change in one.changes] for one in plan.steps] == [
        ["data.v3"],
        ["data.use"],
        ["data.v1"],
    ]


def test_what_is_used_is_there_at_every_step_and_at_every_step_of_the_undo(
    cluster: Cluster, namespace: str
) -> None:
    begin(cluster, namespace)
    watch = watching(cluster, namespace)
    change = apply(planned(cluster, steps(namespace)), cluster, progress=watch)
    assert state(cluster, namespace) == AFTER
    undo(change.id, cluster, progress=watch)
    assert state(cluster, namespace) == BEFORE


def test_a_change_killed_at_any_point_is_undone_in_order(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    for kill_at in range(2, 9):
        with pytest.raises(Killed):
            apply(
                planned(cluster, steps(namespace)),
                cluster,
                progress=watching(cluster, namespace, kill_at),
            )
        undo(history(cluster)[0].id, cluster, progress=watching(cluster, namespace))
        assert state(cluster, namespace) == BEFORE, kill_at


def test_an_undo_killed_at_any_point_is_completed_by_the_next(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    for kill_at in range(1, 9):
        change = apply(planned(cluster, steps(namespace)), cluster)
        with pytest.raises(Killed):
            undo(change.id, cluster, progress=watching(cluster, namespace, kill_at))
        undo(change.id, cluster, progress=watching(cluster, namespace))
        assert state(cluster, namespace) == BEFORE, kill_at


def test_a_state_that_no_step_left_is_a_change_of_others(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    change = apply(planned(cluster, steps(namespace)), cluster)
    cluster.api.merge_patch(CONFIG_MAP, "subsets", namespace, {"data": {"v9": ""}}, manager="argocd")
    with pytest.raises(ManualActionRequired, match=r"others: ConfigMap \S+/subsets \(by argocd\)\. "):
        undo(change.id, cluster)
    assert state(cluster, namespace)[1] == AFTER[1]
