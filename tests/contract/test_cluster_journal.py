"""The journal lives in the cluster, is only added to, and never holds a secret."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import CONFIG_MAP, NAMESPACE, PART_BYTES, Journal, Operation
from meshkit.errors import UnknownName

APPLY = Operation("apply", "istio", "web", {"revision": "1-31", "in_place": True})


def test_records_come_back_in_order_with_who_when_what_and_why(cluster: Cluster) -> None:
    change = Journal(cluster).start(APPLY, "a test", "because")
    for n in range(3):
        Journal(cluster).append(change, {"event": "look", "n": n})
    start, *rest = Journal(cluster).records(change)
    assert (start["who"], start["what"], start["why"]) == (cluster.api.whoami(), "a test", "because")
    assert next(one for one in Journal(cluster).changes() if one.id == change).operation == APPLY
    assert [record["n"] for record in rest] == [0, 1, 2]
    assert [record["at"] for record in rest] == sorted(record["at"] for record in rest)


def test_the_newest_change_is_listed_first_with_its_last_state(cluster: Cluster) -> None:
    journal = Journal(cluster)
    first = journal.start(APPLY, "first")
    second = journal.start(APPLY, "second")
    journal.append(first, {"event": "end", "state": "done"})
    listed = {change.id: change for change in journal.changes()}
    assert listed[first].state == "done"
    assert listed[second].state == "open"
    assert list(listed)[:2] == [second, first]


def test_writers_at_once_lose_nothing(cluster: Cluster) -> None:
    change = Journal(cluster).start(APPLY, "many writers")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: Journal(cluster).append(change, {"n": n}), range(12)))
    assert sorted(record["n"] for record in Journal(cluster).records(change)[1:]) == list(range(12))


def test_a_long_journal_goes_on_in_the_next_part(cluster: Cluster) -> None:
    journal = Journal(cluster)
    change = journal.start(APPLY, "long")
    # Random text, so that packing does not shrink it.
    import random

    noise = random.Random(1).randbytes(90_000).hex()
    for n in range(4):
        journal.append(change, {"n": n, "noise": noise})
    parts = cluster.api.list(CONFIG_MAP, NAMESPACE, f"meshkit.dev/change={change}")
    assert len(parts) > 1
    assert all(sum(map(len, part["data"].values())) <= PART_BYTES for part in parts)
    assert [record["n"] for record in journal.records(change)[1:]] == [0, 1, 2, 3]


def test_an_unknown_change_lists_the_known_ones(cluster: Cluster) -> None:
    known = Journal(cluster).start(APPLY, "known")
    with pytest.raises(UnknownName) as raised:
        Journal(cluster).records("20200101-000000-0000")
    assert known in raised.value.known
    with pytest.raises(UnknownName):
        Journal(cluster).append("20200101-000000-0000", {"n": 1})


def test_old_changes_are_dropped(cluster: Cluster) -> None:
    old = f"{datetime.now(UTC) - timedelta(days=91):%Y%m%d-%H%M%S}-0000"
    meta = {"name": f"change-{old}-0", "namespace": NAMESPACE}
    labels = {"meshkit.dev/change": old, "meshkit.dev/part": "0"}
    Journal(cluster).start(APPLY, "makes the namespace")
    cluster.api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "labels": labels}, "data": {}}
    )
    Journal(cluster).start(APPLY, "drops the old one")
    assert cluster.api.get(CONFIG_MAP, meta["name"], NAMESPACE) is None
