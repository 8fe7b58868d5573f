"""A record that others broke costs the release that it belongs to, never the list of releases."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from meshkit.cli.releases import drawing
from meshkit.cluster.journal import Journal
from meshkit.errors import BrokenJournal, MeshkitError
from meshkit.operations.release.commands import Letters, Mailbox
from meshkit.operations.release.listing import UNREADABLE, releases
from meshkit.operations.release.runner import release_state
from meshkit.operations.release.state.fold import begin_record, fold
from meshkit.operations.undo import undo
from tests.unit.release.stage import Stage

JUNK: tuple[Any, ...] = (None, True, "x", -1, [], {}, [[]], {"a": 1}, 1e308, float("nan"), "\ud800")


@pytest.fixture(scope="module")
def ran() -> Stage:
    stage = Stage(steps=(10, 100))
    stage.run()
    return stage


def parts_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from parts_of(below, (*path, key))


def broken(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record with each of its values replaced by each piece of junk, and without it."""
    for *way, last in parts_of(record):
        for junk in (..., *(JUNK if len(way) < 2 else JUNK[2:5])):
            made = copy.deepcopy(record)
            parent: Any = made
            for step in way:
                parent = parent[step]
            if junk is ...:
                del parent[last]
            else:
                parent[last] = junk
            yield made


def test_every_broken_record_is_read_or_refused(ran: Stage) -> None:
    records = Journal(ran.cluster).records(release_state("web-v2", ran.cluster).change_id)
    begin, *_ = (record for record in records if record.get("kind") == "begin")
    seen, refused = set(), 0
    for record in records:
        kind = record.get("kind")
        if kind in seen or kind is None:
            continue
        seen.add(kind)
        for made in broken(record):
            try:
                state = fold([made] if kind == "begin" else [begin, made])
                drawing.status(state, ran.cluster.ref, None, 1e9)
            except BrokenJournal:
                refused += 1
    assert {"begin", "look", "weights", "end"} <= seen
    assert refused > 100


@pytest.mark.parametrize("answer", ["waits", "approved", "expired"])
def test_a_broken_record_of_a_gate_is_read_or_refused(answer: str) -> None:
    stage = Stage(gates=[{"name": "approval", "before": 50}])
    stage.run_until_killed(lambda state: state.step < 0)
    begin = begin_record(stage.state)
    waits = {"kind": "gate", "gate": "approval", "answer": "waits", "at_s": 1.0}
    for made in broken({**waits, "answer": answer, "who": "eve", "why": "", "writer": 1}):
        with suppress(BrokenJournal):
            drawing.status(fold([begin, waits, made]), stage.cluster.ref, None, 1e9)


@pytest.fixture(scope="module")
def killed() -> tuple[Stage, str]:
    stage = Stage(steps=(10, 100))
    return stage, stage.run_until_killed(lambda state: state.step == 0).change_id


@pytest.fixture
def stage(killed: tuple[Stage, str]) -> Iterator[Stage]:
    """A release whose process was killed, with its ConfigMaps as they were."""
    objects = killed[0].fake.api.objects
    before = copy.deepcopy(objects)
    yield killed[0]
    objects.clear()
    objects.update(before)


@pytest.mark.parametrize("record", [{"kind": "weights"}, {"kind": "look", "look": 7, "verdict": []}])
def test_a_broken_release_is_listed_as_unreadable(
    stage: Stage, killed: tuple[Stage, str], record: dict[str, Any]
) -> None:
    change = killed[1]
    Journal(stage.cluster).append(change, record)
    lines = [(one.name, one.state, one.change) for one in releases(stage.cluster)]
    assert lines == [("web-v2", UNREADABLE, change)]
    with pytest.raises(MeshkitError):
        release_state("web-v2", stage.cluster)
    with pytest.raises(MeshkitError):
        undo(change, stage.cluster)


@pytest.mark.parametrize("text", ["", "not json", "[]", "7", "{}", '{"change_id": [7]}', "[" * 100_000])
@pytest.mark.parametrize("key", ["begin", "end", "command", "approval-a"])
def test_the_config_map_of_a_release_may_hold_anything(
    stage: Stage, killed: tuple[Stage, str], key: str, text: str
) -> None:
    objects = stage.fake.api.objects
    objects["ConfigMap", "meshkit-system", "release-web-v2"]["data"][key] = text
    assert len(releases(stage.cluster)) == 1
    assert Mailbox(stage.cluster, "web-v2").read() == Letters(killed[1], None, {})
    for found in [each for each in objects if each[2].startswith(f"change-{killed[1]}")]:
        del objects[found]
    assert len(releases(stage.cluster)) <= 1
    with pytest.raises(MeshkitError):
        release_state("web-v2", stage.cluster)


def test_a_command_that_meshkit_did_not_write_is_none(stage: Stage) -> None:
    command = json.dumps({"command_id": "1", "verb": "explode", "who": "eve"})
    stage.fake.api.objects["ConfigMap", "meshkit-system", "release-web-v2"]["data"]["command"] = command
    assert Mailbox(stage.cluster, "web-v2").read().command is None
