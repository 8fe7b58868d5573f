"""A release of which one version cannot be reached: its requests carry no version in any proxy's counters."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.observe.counters import CounterKey
from meshkit.operations.release.state.model import ReleaseState
from meshkit.testing import ScriptedObserver
from tests.unit.release.stage import Stage


class LosingObserver(ScriptedObserver):
    """Counts requests to ``gone`` versions as the callers' proxies do: failed, and of no version."""

    gone: tuple[str, ...] = ()

    def _answer(self, version: str) -> None:
        if version in self.gone:
            self._count(CounterKey("", "unreached", "UH"))
        else:
            super()._answer(version)


def stage_of(*, pods: dict[str, bool]) -> tuple[Stage, LosingObserver]:
    """A release at a held share of 50 %; ``pods`` says which versions have a ready pod."""
    stage = Stage(steps=(50, 100), step_s=1000, deadline_s=100)
    seen = stage.observer
    observer = LosingObserver(stage.clock, seen.behaviours, rps=100, split=stage.fake.split, seed=3)
    for version, ready in pods.items():
        labels = {"version": version}
        status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
        pod: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"web-{version}", "namespace": "shop", "labels": labels},
            "status": status,
        }
        stage.fake.api.objects["Pod", "shop", f"web-{version}"] = pod
    return stage, observer


def lose(observer: LosingObserver, *versions: str) -> Any:
    def on_look(state: ReleaseState) -> None:
        if len(state.step_looks) == 5 and state.step == 0:
            observer.gone = versions

    return on_look


@pytest.mark.parametrize("pods", [{"v1": True, "v2": False}, {"v1": True, "v2": True}], ids=["pods", "route"])
def test_canary_that_cannot_be_reached_is_rolled_back_within_some_looks(pods: dict[str, bool]) -> None:
    stage, observer = stage_of(pods=pods)
    outcome = stage.run(lose(observer, "v2"), observer=observer)
    assert outcome.result == "rolled_back"
    assert len([each for each in outcome.state.looks if each.look.step == 0]) <= 15
    assert "reached no pod of v2" in " ".join(outcome.sentences)
    assert stage.fake.weights() == (100, 0)


@pytest.mark.parametrize(
    ("gone", "pods"),
    [(("v1",), {"v1": False, "v2": True}), (("v1",), {}), (("v1", "v2"), {"v1": True, "v2": True})],
    ids=["stable's pods", "stable's route", "all"],
)
def test_what_is_not_the_canarys_fault_rolls_nothing_back(
    gone: tuple[str, ...], pods: dict[str, bool]
) -> None:
    stage, observer = stage_of(pods=pods)
    assert stage.run(lose(observer, *gone), observer=observer).result == "undecided"
