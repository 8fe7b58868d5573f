"""Releases through a rule that does not take all requests: other rules send some to one version."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from meshkit.decide.ladder import share_beside, whole_share
from meshkit.testing import ScriptedObserver
from tests.unit.release.stage import BAD, GOOD, Stage


def beside(stage: Stage, percent: float) -> ScriptedObserver:
    """Requests of which this part goes to the canary by another rule, and the rest by the weights."""

    def split() -> Mapping[str, float]:
        stable, canary = stage.fake.weights()
        total = stable + canary
        moved = {"v1": (100 - percent) * stable / total, "v2": (100 - percent) * canary / total}
        return {**moved, "v2": moved["v2"] + percent}

    behaviours = stage.observer.behaviours
    return ScriptedObserver(stage.clock, behaviours, rps=stage.observer.rps, split=split, seed=7)


@pytest.mark.parametrize("percent", [5, 40, 80])
def test_a_canary_that_gets_many_requests_by_another_rule_is_promoted(percent: float) -> None:
    stage = Stage(steps=(10, 50, 100), baseline_s=10)
    outcome = stage.run(observer=beside(stage, percent))
    assert outcome.result == "promoted", outcome.sentences
    assert stage.weights == [(100, 0), (90, 10), (50, 50), (0, 100)]
    told = [event.text for event in outcome.state.events if event.kind in ("note", "agreed")]
    assert told[0].startswith("Other rules send ")
    assert all("% beside: agrees" in text for text in told[1:])


def test_a_bad_one_is_rolled_back() -> None:
    stage = Stage(steps=(10, 50, 100), baseline_s=10, canary_behaviour=BAD)
    assert stage.run(observer=beside(stage, 40)).result == "rolled_back"


def test_where_the_weights_govern_all_requests_nothing_is_told() -> None:
    outcome = Stage(canary_behaviour=GOOD).run()
    assert outcome.state.beside_percent == 0
    assert not [event for event in outcome.state.events if event.kind == "note"]


def test_proxies_that_do_not_follow_the_weights_never_agree() -> None:
    stage = Stage(steps=(10, 50, 100), baseline_s=10, deadline_s=60)
    stage.observer = ScriptedObserver(
        stage.clock, stage.observer.behaviours, rps=300, split=lambda: {"v1": 60, "v2": 40}, seed=7
    )
    outcome = stage.run()
    assert outcome.result == "undecided"
    assert outcome.state.agreed_s is None


def test_a_release_may_start_while_the_canary_has_some_weight() -> None:
    stage = Stage(steps=(10, 50, 100), baseline_s=10)
    stage.fake.set_weights(95, 5)
    outcome = stage.run()
    assert outcome.result == "promoted", outcome.sentences
    assert outcome.state.beside_percent == 0
    assert stage.weights == [(95, 5), (90, 10), (50, 50), (0, 100)]


@pytest.mark.parametrize(
    ("requests", "canary", "weighted", "expected"),
    [
        (1000, 0, 0, 0),
        (1000, 5, 0, 0),
        (1000, 400, 0, 40),
        (1000, 55, 5, 0),
        (1000, 430, 5, 40),
        (1000, 0, 20, 0),
        (0, 0, 0, 0),
    ],
)
def test_the_share_beside_the_weights(requests: int, canary: int, weighted: float, expected: float) -> None:
    assert share_beside(requests, canary, weighted) == pytest.approx(expected)


def test_the_weights_share_only_what_the_others_leave() -> None:
    assert [whole_share(weighted, 40) for weighted in (0, 50, 100)] == [40, 70, 100]
