"""A journal that others have broken is named, and the other changes stay readable."""

from __future__ import annotations

import base64
import gzip
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.cluster.api import Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Journal
from meshkit.cluster.undo import restorations
from meshkit.errors import BrokenJournal, ClusterError

FIRST = json.dumps({"at": "2026-11-01T00:00:00.000+00:00", "who": "me", "what": "a test", "why": ""})
BOMB = "gzip:" + base64.b64encode(gzip.compress(b" " * 40_000_000)).decode()


class Parts:
    def __init__(self, *parts: dict[str, Any]) -> None:
        self.parts = parts

    def list(self, kind: object, namespace: str, selector: str) -> list[dict[str, Any]]:
        _, _, change = selector.partition("=")
        return [
            part for part in self.parts if change in ("", part["metadata"]["labels"]["meshkit.dev/change"])
        ]


def part(change: str, number: str | None, *records: str) -> dict[str, Any]:
    labels = {"meshkit.dev/change": change} | ({} if number is None else {"meshkit.dev/part": number})
    data = {f"{key:06d}": text for key, text in enumerate(records)}
    return {"metadata": {"name": f"change-{change}-{number}", "labels": labels}, "data": data}


def journal(*parts: dict[str, Any]) -> Journal:
    return Journal(cast(Cluster, SimpleNamespace(api=Parts(*parts))))


@pytest.mark.parametrize(
    "broken",
    [
        part("zzz", "x", "not json"),
        part("zzz", "0", FIRST, "[]"),
        part("zzz", "0", FIRST, "gzip:AAAA"),
        part("zzz", "0", FIRST, BOMB),
        part("zzz", "0", "[" * 100_000),
        part("zzz", "0", json.dumps({"at": "now", "facts": "x"})),
        part("zzz", "0", json.dumps({"at": 7, "who": "me", "what": "", "why": ""})),
        part("zzz", "0"),
    ],
)
def test_a_broken_change_is_listed_as_unreadable_and_the_others_as_they_are(broken: dict[str, Any]) -> None:
    read = journal(broken, part("good", "0", FIRST))
    good, bad = read.changes()
    assert (good.id, good.what, good.state) == ("good", "a test", "open")
    assert (bad.id, bad.state, bad.has_operation) == ("zzz", "unreadable", False)
    assert f"ConfigMap meshkit-system/{broken['metadata']['name']}" in bad.what
    with pytest.raises(ClusterError, match="The journal of change zzz cannot be read: "):
        read.records("zzz")


def test_a_part_without_its_number_is_read_first() -> None:
    read = journal(part("good", "1", '{"n": 1}'), part("good", None, FIRST))
    assert [record.get("n") for record in read.records("good")] == [None, 1]


def test_the_records_of_one_change_have_a_bound_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshkit.cluster.journal._CHANGE_BYTES", 1000)
    record = json.dumps({"x": " " * 400})
    read = journal(part("zzz", "0", FIRST, record, record, record), part("good", "0", FIRST, record))
    assert [one.state for one in read.changes()] == ["open", "unreadable"]
    assert "have more than 1000 characters" in read.changes()[1].what


STEP = {
    "event": "step",
    "index": 1,
    "title": "ConfigMap shop/x",
    "api_version": "v1",
    "kind": "ConfigMap",
    "namespace": "shop",
    "name": "x",
    "prior": None,
    "after": "",
    "manager": "meshkit",
    "wait": None,
    "fields": {},
}


@pytest.mark.parametrize(
    "broken",
    [
        {"prior": 7},
        {"prior": {}},
        {"wait": 7},
        {"fields": 7},
        *sorted(STEP.keys() - {"event", "title", "fields"}),
    ],
)
def test_a_broken_step_stops_an_undo_before_it_changes_anything(broken: str | dict[str, Any]) -> None:
    first = {**json.loads(FIRST), "salt": "0"}
    step = (
        {**STEP, **broken} if isinstance(broken, dict) else {key: STEP[key] for key in STEP if key != broken}
    )
    assert restorations(cast(Api, None), [first, STEP])
    with pytest.raises(BrokenJournal, match="The journal of this change cannot be read: a record "):
        restorations(cast(Api, None), [first, step])
