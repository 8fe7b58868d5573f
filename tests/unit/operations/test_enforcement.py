"""Strict mutual TLS is watched: by the refusals that sidecars show, or by plaintext calls that end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.errors import ChangeFailed
from meshkit.facts import ClusterRef
from meshkit.meshes.metrics import How, Link
from meshkit.observe.callers import Reading
from meshkit.operations.plan import Change, Plan
from meshkit.operations.progress import Event
from meshkit.operations.setup import enforcement
from meshkit.operations.setup.enforcement import Watching, enforce
from meshkit.testing import FakeClock

REF = ClusterRef("test", "https://test")
PLAN = cast(Plan, SimpleNamespace(mesh="istio", what="MutualTLS", empty=False))
CLUSTER = cast(Cluster, SimpleNamespace(ref=REF))
OPEN: Mapping[How, float] = {"mutual_tls": 10, "plain": 2}
ENCRYPTED: Mapping[How, float] = {"mutual_tls": 10}
Enforced = Callable[..., list[str]]


@pytest.fixture
def enforced(monkeypatch: pytest.MonkeyPatch) -> Enforced:
    """Apply a change under calls at these rates before and after it; returns what was reported."""

    def run(
        before: Mapping[How, float], after: Mapping[How, float], *, shown: bool, force: bool = False
    ) -> list[str]:
        clock, events, counted = FakeClock(), list[Event](), dict[Link, float]()
        state: dict[str, Any] = {"per_s": before, "read_s": clock.now()}

        def read(*_: object) -> Reading:
            seconds, state["read_s"] = clock.now() - state["read_s"], clock.now()
            for how, rate in state["per_s"].items():
                link = Link("unknown", "shop/web", how)
                counted[link] = counted.get(link, 0.0) + rate * seconds
            return Reading(clock.now(), 0.0, {"web/0": dict(counted)}, frozenset() if shown else {"shop/web"})

        def apply(*_: object, **__: object) -> Change:
            state["per_s"] = after
            return Change("c1", "MutualTLS", 1, REF)

        monkeypatch.setattr(enforcement, "read_callers", read)
        monkeypatch.setattr(enforcement, "apply_steps", apply)
        monkeypatch.setattr("meshkit.operations.traffic_gate.undo_steps", lambda *_: None)
        enforce(PLAN, CLUSTER, Watching("shop", 20.0, force, clock), progress=events.append)
        return [str(event) for event in events]

    return run


def test_a_refusal_that_is_shown_takes_the_change_back(enforced: Enforced) -> None:
    with pytest.raises(ChangeFailed, match="connections without a mesh identity were refused at shop/web"):
        enforced(OPEN, {"mutual_tls": 10, "refused": 2}, shown=True)


def test_plain_calls_that_end_take_the_change_back_where_refusals_cannot_be_seen(enforced: Enforced) -> None:
    with pytest.raises(
        ChangeFailed, match="40 calls in plain text were seen at shop/web before, and none since"
    ):
        enforced(OPEN, ENCRYPTED, shown=False)


def test_no_watch_tells_zero_where_refusals_cannot_be_seen(enforced: Enforced) -> None:
    told = enforced(ENCRYPTED, ENCRYPTED, shown=False)
    assert not any("0 refused" in line for line in told)
    assert sum("refusals cannot be seen at shop/web" in line for line in told) > 5
    assert any("0 refused" in line for line in enforced(ENCRYPTED, ENCRYPTED, shown=True))


def test_plain_calls_that_go_on_are_no_reason(enforced: Enforced) -> None:
    """A change to permissive mode refuses nobody."""
    enforced(OPEN, OPEN, shown=False)


def test_what_a_person_accepted_is_kept(enforced: Enforced) -> None:
    enforced(OPEN, ENCRYPTED, shown=False, force=True)
