"""The ConfigMaps by which istiod elects leaders: who holds them, and what others may have written there."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.sandbox.control_planes.istio.elections import LEADER, NAMES, STATUS_LEASE, hold


class Api:
    """ConfigMaps and Leases in memory."""

    def __init__(self, record: str | None) -> None:
        meta = {"namespace": "home", "annotations": {LEADER: record}}
        self.found: dict[str, dict[str, Any]] = (
            {} if record is None else {name: {"metadata": {"name": name, **meta}} for name in NAMES}
        )

    async def get(self, resource: str, name: str, namespace: str) -> dict[str, Any] | None:
        return self.found.get(name)

    async def create(self, resource: str, item: dict[str, Any]) -> None:
        self.found[item["metadata"]["name"]] = item

    update = create


def after_holding(record: str | None) -> dict[str, dict[str, Any]]:
    """The objects after ``me``, of the revision ``new``, has tried to hold each election."""
    api: Any = Api(record)

    async def main() -> None:
        work = asyncio.ensure_future(hold(api, "home", "me", "new"))
        await asyncio.sleep(0.02)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    asyncio.run(main())
    found: dict[str, dict[str, Any]] = api.found
    return found


def records_in(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(found[name]["metadata"]["annotations"][LEADER]) for name in NAMES]


def written(holder: str, age_s: float, transitions: object = 3) -> str:
    renewed = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
    record = {"holderIdentity": holder, "renewTime": f"{renewed:%Y-%m-%dT%H:%M:%SZ}"}
    return json.dumps({**record, "leaderTransitions": transitions})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (lambda: None, ("me", 0)),
        (lambda: written("me", 5), ("me", 3)),
        (lambda: written("other", 5), ("other", 3)),
        (lambda: written("other", 60), ("me", 4)),
        (lambda: written("other", 60, "many"), ("me", 1)),
        (lambda: "{half a rec", ("me", 0)),
        (lambda: "[]", ("me", 0)),
    ],
    ids=["none", "mine", "held", "expired", "broken count", "no JSON", "no record"],
)
def test_an_election_is_held_by_who_renews_it(
    record: Callable[[], str | None], expected: tuple[str, int]
) -> None:
    records = records_in(after_holding(record()))
    assert [(each["holderIdentity"], each["leaderTransitions"]) for each in records] == [expected] * len(
        NAMES
    )


def test_elections_are_those_of_istiod_with_the_revision_as_their_key() -> None:
    found = after_holding(None)
    lease = STATUS_LEASE.format(revision="new")
    assert set(found) == {*NAMES, lease}
    assert {record["holderKey"] for record in records_in(found)} == {"new"}
    assert {record["leaseDurationSeconds"] for record in records_in(found)} == {30}
    assert found[lease]["kind"] == "Lease"
    assert found[lease]["spec"]["leaseDurationSeconds"] == 30
