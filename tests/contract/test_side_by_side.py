"""Steps of a wave go side by side: prior states are stored before; a kill at any point loses none of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.cluster import executor
from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Journal
from meshkit.errors import ChangeFailed, Conflict, Forbidden, ManualActionRequired
from meshkit.facts import Kind
from meshkit.kube.steps import Step
from meshkit.operations.change import apply, history
from meshkit.operations.undo import undo
from tests.contract.plans import planned

CONFIG_MAP = Kind("v1", "ConfigMap")
OLD, NEW = range(8), range(8, 14)
"""The numbers of the objects that are there before, and of those that the change creates."""
Values = dict[str, str]


class Killed(BaseException):
    """The process ends here."""


def step(namespace: str, number: int, value: str = "new", **more: Any) -> Step:
    meta = {"name": f"one-{number}", "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}
    return Step(body, **{"wave": 1, **more})


def begin(cluster: Cluster, namespace: str) -> None:
    for number in OLD:
        cluster.api.apply(step(namespace, number, "old").object, manager="meshkit")


def steps(namespace: str) -> list[Step]:
    return [step(namespace, number) for number in (*OLD, *NEW)]


def values(cluster: Cluster, namespace: str) -> Values:
    found = cluster.api.list(CONFIG_MAP, namespace)
    return {
        obj["metadata"]["name"]: obj["data"]["value"] for obj in found if "value" in (obj.get("data") or {})
    }


BEFORE = {f"one-{number}": "old" for number in OLD}
AFTER = {f"one-{number}": "new" for number in (*OLD, *NEW)}


@pytest.fixture
def after_writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception | None], None]:
    """Let every write of a change fail after so many, or before so many: as the network or a kill does."""
    lock, count = threading.Lock(), [0]
    limit: list[tuple[int, Exception]] = []
    apply_object = Api.apply

    def limited(api: Api, obj: Any, *, dry_run: bool = False, **named: Any) -> Any:
        if obj["kind"] == "ConfigMap" and not dry_run and limit:
            with lock:
                count[0] += 1
                if count[0] > limit[0][0]:
                    raise limit[0][1]
        return apply_object(api, obj, dry_run=dry_run, **named)

    def begin_at(number: int, error: Exception | None) -> None:
        count[0] = 0
        limit[:] = [(number, error)] if error else []

    monkeypatch.setattr(Api, "apply", limited)
    return begin_at


def test_a_wave_is_applied_and_undone_whole(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    change = apply(planned(cluster, steps(namespace)), cluster)
    assert values(cluster, namespace) == AFTER
    undo(change.id, cluster)
    assert values(cluster, namespace) == BEFORE
    assert planned(cluster, [step(namespace, number, "old") for number in OLD]).empty


def test_every_prior_state_is_stored_before_the_first_write(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(cluster, namespace)
    plan = planned(cluster, steps(namespace))
    stored: list[int] = []
    apply_object = Api.apply

    def look(api: Api, obj: Any, *, dry_run: bool = False, **named: Any) -> Any:
        if obj["kind"] == "ConfigMap" and not dry_run:
            records = Journal(cluster).records(history(cluster)[0].id)
            stored.append(sum(record["event"] == "step" for record in records))
        return apply_object(api, obj, dry_run=dry_run, **named)

    monkeypatch.setattr(Api, "apply", look)
    apply(plan, cluster)
    assert set(stored) == {len(AFTER)}


def test_a_wave_that_is_killed_at_any_point_is_undone(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    total = len(AFTER)
    for kill_at in (1, 2, 5, total, total + 1, 2 * total):
        seen: list[object] = []

        def killing(progress: object, seen: list[object] = seen, kill_at: int = kill_at) -> None:
            seen.append(progress)
            if len(seen) == kill_at:
                raise Killed

        with pytest.raises(Killed):
            apply(planned(cluster, steps(namespace)), cluster, progress=killing)
        left = history(cluster)[0]
        assert left.state == "open"
        if any(record["event"] == "step" for record in Journal(cluster).records(left.id)):
            undo(left.id, cluster)
        assert values(cluster, namespace) == BEFORE, kill_at


def test_an_undo_of_a_wave_that_is_killed_is_completed_by_the_next(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    for kill_at in (1, 4, len(AFTER), len(AFTER) + 2):
        change = apply(planned(cluster, steps(namespace)), cluster)
        seen: list[object] = []

        def killing(progress: object, seen: list[object] = seen, kill_at: int = kill_at) -> None:
            seen.append(progress)
            if len(seen) == kill_at:
                raise Killed

        with pytest.raises(Killed):
            undo(change.id, cluster, progress=killing)
        undo(change.id, cluster)
        assert values(cluster, namespace) == BEFORE, kill_at


def test_a_refusal_in_a_wave_undoes_what_was_written(
    cluster: Cluster, namespace: str, after_writes: Callable[[int, Exception | None], None]
) -> None:
    begin(cluster, namespace)
    for written in (0, 1, 6):
        plan = planned(cluster, steps(namespace))
        after_writes(written, Forbidden("no more", remedy="", status=403))
        with pytest.raises((Forbidden, ChangeFailed), match="no more"):
            apply(plan, cluster)
        after_writes(0, None)
        assert values(cluster, namespace) == BEFORE, written
        assert history(cluster)[0].state == ("undone" if written else "failed")


def test_an_object_made_since_the_plan_stops_the_wave_before_its_first_write(
    cluster: Cluster, namespace: str
) -> None:
    begin(cluster, namespace)
    plan = planned(cluster, steps(namespace))
    cluster.api.apply(step(namespace, NEW[-1], "theirs").object, manager="argocd")
    with pytest.raises(Conflict, match=f"ConfigMap {namespace}/one-13 has been created by someone else"):
        apply(plan, cluster)
    assert values(cluster, namespace) == {**BEFORE, "one-13": "theirs"}


def test_an_object_made_while_the_wave_is_written_is_left_as_it_is(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(cluster, namespace)
    plan = planned(cluster, steps(namespace))
    append = Journal.append_together

    def interfering(journal: Journal, id: str, records: Any) -> None:
        append(journal, id, records)
        if any(record["event"] == "step" for record in records):
            cluster.api.apply(step(namespace, NEW[-1], "theirs").object, manager="argocd")
            cluster.api.merge_patch(CONFIG_MAP, "one-3", namespace, {"data": {"b": "x"}}, manager="argocd")

    monkeypatch.setattr(Journal, "append_together", interfering)
    with pytest.raises((ChangeFailed, Conflict), match="since it was planned"):
        apply(plan, cluster)
    assert values(cluster, namespace) == {**BEFORE, "one-13": "theirs"}
    third = cluster.api.get(CONFIG_MAP, "one-3", namespace)
    assert third is not None
    assert third["data"] == {"value": "old", "b": "x"}


def test_a_wave_larger_than_one_write_of_the_journal_goes_on(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "OBJECTS_AT_ONCE", 3)
    begin(cluster, namespace)
    change = apply(planned(cluster, steps(namespace)), cluster)
    assert values(cluster, namespace) == AFTER
    undo(change.id, cluster)
    assert values(cluster, namespace) == BEFORE


def test_steps_of_one_object_in_a_wave_keep_their_order(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace)
    twice = [step(namespace, 0, "first"), step(namespace, 1), step(namespace, 0, "second")]
    change = apply(planned(cluster, twice), cluster)
    assert values(cluster, namespace) == {**BEFORE, "one-0": "second", "one-1": "new"}
    undo(change.id, cluster)
    assert values(cluster, namespace) == BEFORE


def test_what_others_changed_after_a_wave_stops_its_undo_before_the_first_write(
    cluster: Cluster, namespace: str
) -> None:
    begin(cluster, namespace)
    change = apply(planned(cluster, steps(namespace)), cluster)
    cluster.api.merge_patch(CONFIG_MAP, "one-9", namespace, {"data": {"b": "x"}}, manager="argocd")
    with pytest.raises(ManualActionRequired, match=f"ConfigMap {namespace}/one-9 \\(by argocd\\)"):
        undo(change.id, cluster)
    assert values(cluster, namespace) == AFTER


def test_a_state_that_the_dry_run_did_not_foresee_is_undone(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(cluster, namespace)
    plan = planned(cluster, steps(namespace))
    apply_object = Api.apply

    def mutated(api: Api, obj: Any, *, dry_run: bool = False, **named: Any) -> Any:
        if obj["kind"] == "ConfigMap" and not dry_run:
            obj = {**obj, "data": {**obj["data"], "by-a-webhook": "x"}}
        return apply_object(api, obj, dry_run=dry_run, **named)

    monkeypatch.setattr(Api, "apply", mutated)
    change = apply(plan, cluster)
    monkeypatch.setattr(Api, "apply", apply_object)
    assert values(cluster, namespace) == AFTER
    undo(change.id, cluster)
    assert values(cluster, namespace) == BEFORE
