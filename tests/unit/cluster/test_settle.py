"""Objects that others refer to get time: proxies learn of them before, and forget the others first."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.cluster import executor, undo
from meshkit.facts import Kind
from meshkit.intent.traffic import Route, Version
from meshkit.kube.steps import Step
from meshkit.meshes.istio import planner
from meshkit.meshes.istio.traffic.destination_rules import DESTINATION_RULE
from meshkit.meshes.istio.traffic.routes import SETTLE_S, VIRTUAL_SERVICE
from tests.unit.meshes.golden_cases import SHOP


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happened, in order: seconds slept, and objects that were read to take them back."""
    happened: list[Any] = []
    monkeypatch.setattr("time.sleep", lambda seconds: happened.append(seconds) if seconds else None)
    return happened


def route_steps() -> tuple[Step, ...]:
    versions = (Version(name="v1"), Version(name="v2"))
    route = Route(namespace="shop", service="web", port=80, versions=versions, split={"v1": 90, "v2": 10})
    return tuple(planner.PLANNER.plan(route, SHOP))


def test_subsets_settle_before_the_rules_that_refer_to_them(slept: list[Any]) -> None:
    steps = route_steps()
    assert [step.kind for step in steps] == [DESTINATION_RULE, VIRTUAL_SERVICE]
    for index, step in enumerate(steps, start=1):
        executor._await_wave(None, [(index, step)], len(steps), lambda _: None)  # type: ignore[arg-type]
    assert slept == [SETTLE_S]


def test_the_last_object_of_a_change_needs_no_time(slept: list[Any]) -> None:
    subsets, _ = route_steps()
    executor._await_wave(None, [(1, subsets)], 1, lambda _: None)  # type: ignore[arg-type]
    assert slept == []


def test_an_undo_takes_subsets_back_after_proxies_have_forgotten_the_rules(
    slept: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def get(self, kind: Kind, name: str, namespace: str | None) -> None:
            slept.append(kind)

    monkeypatch.setattr(undo, "client_for", lambda *_: Gone())
    records = [{"event": "begin", "salt": ""}]
    records += [executor._record(step, index, None, "x") for index, step in enumerate(route_steps(), start=1)]
    undo.restore(None, undo.restorations(None, records), lambda _: None)  # type: ignore[arg-type]
    assert slept == [VIRTUAL_SERVICE, SETTLE_S, DESTINATION_RULE]
