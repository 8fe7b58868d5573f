"""Requests that reached no pod: whose they are, and what the verdict makes of them."""

from __future__ import annotations

import math
import random

import pytest

from meshkit.decide.admission.unreached import Attribution, ReadyPods
from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.margins import watching
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress, Verdict
from meshkit.facts import ArmCounts, Samples
from meshkit.intent.release import Margins, Release

VERSIONS = ("v1", "v2")
BASELINE = watching(Baseline(((10.0, 200), (20.0, 900), (40.0, 990), (math.inf, 1000))), Margins())
RELEASE = Release(
    name="web-v2",
    namespace="shop",
    service="web",
    port=8080,
    stable="v1",
    canary="v2",
    steps=(10, 50, 100),
    baseline_s=0,
    watch_s=0,
)
BOTH_READY = ReadyPods(3, 3)
STEPS = {10: 0, 50: 1, 100: 2}


def counted(stable: int, canary: int, lost: int) -> Samples:
    return Samples(0, 1, {"v1": ArmCounts(stable), "v2": ArmCounts(canary)}, unreached={"": lost})


def charges(
    *windows: tuple[int, int, int], percent: float = 50, ready: ReadyPods = BOTH_READY
) -> list[tuple[int, int]]:
    """(stable's, canary's) requests that reached no pod, of each window of (stable, canary, lost)."""
    attribution, found = Attribution(), []
    for each in windows:
        attribution, charged = attribution.charged(counted(*each), VERSIONS, percent, lambda: ready)
        found.append((charged.unreached["v1"], charged.unreached["v2"]))
        for version, reached, lost in zip(VERSIONS, each[:2], found[-1], strict=True):
            assert charged.arms[version] == ArmCounts(reached + lost, lost)
    return found


def verdict_of(
    *windows: tuple[int, int, int], percent: float = 50, ready: ReadyPods = BOTH_READY
) -> tuple[Verdict, int]:
    """The first verdict that is no "continue", else the last; and after how many windows it came."""
    evidence, attribution = Evidence.start(Yardstick.of(BASELINE, RELEASE)), Attribution()
    for i, each in enumerate(windows):
        attribution, charged = attribution.charged(counted(*each), VERSIONS, percent, lambda: ready)
        stable, canary = (_window(each[arm_], charged.unreached.get(VERSIONS[arm_], 0)) for arm_ in (0, 1))
        look = SampleWindow(i, i + 1, STEPS[round(percent)], percent, True, False, stable, canary)
        evidence = evidence.updated(look)
        verdict = judge(evidence, RELEASE, Progress(look.step, i + 1, i + 1, held=True))
        if verdict.action != "continue":
            break
    return verdict, i + 1


def _window(reached: int, lost: int) -> ArmWindow:
    slower = tuple(round(reached * BASELINE.share_slower(edge)) for edge in BASELINE.edges_ms)
    return ArmWindow(reached + lost, lost, reached, slower, unreached=lost)


def told(verdict: Verdict) -> str:
    return " ".join(verdict.sentences).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("ready", "window", "expected"),
    [
        (ReadyPods(3, 0), (50, 0, 50), (0, 50)),
        (ReadyPods(0, 3), (0, 50, 50), (50, 0)),
        (ReadyPods(0, 3), (0, 48, 4), (4, 0)),
    ],
    ids=["canary", "stable", "few"],
)
def test_they_are_those_of_the_version_without_ready_pods(
    ready: ReadyPods, window: tuple[int, int, int], expected: tuple[int, int]
) -> None:
    assert charges(window, ready=ready) == [expected]


@pytest.mark.parametrize("ready", [BOTH_READY, ReadyPods(), ReadyPods(0, 0)], ids=["ready", "unknown", "no"])
def test_else_they_are_those_of_the_version_whose_share_they_complete(ready: ReadyPods) -> None:
    assert charges(*[(100, 0, 100)] * 4, ready=ready)[-1] == (0, 100)
    assert charges(*[(0, 100, 100)] * 4, ready=ready)[-1] == (100, 0)
    assert charges(*[(900, 0, 100)] * 3, percent=10, ready=ready)[-1] == (0, 100)
    assert charges(*[(990, 0, 10)] * 2, percent=1, ready=ready)[-1] == (0, 10)


def test_until_that_is_sure_they_do_not_count_against_the_canary() -> None:
    assert charges((990, 0, 10), percent=1) == [(10, 0)]
    attribution = Attribution()
    for each in [(100, 0, 100), (100, 0, 100), (100, 100, 0)] * 3:
        attribution, charged = attribution.charged(counted(*each), VERSIONS, 50)
        assert not charged.unreached.get("v2"), "a window without any ends the run"


def test_else_both_are_charged_alike_by_what_they_were_given() -> None:
    assert charges((400, 400, 200)) == [(100, 100)]
    assert charges((900, 100, 20)) == [(18, 2)], "the weights are not in force yet"
    assert charges(*[(90, 10, 1)] * 10, percent=10)[-1] == (0, 1), "rounding is owed, not forgotten"
    assert charges((0, 0, 100), percent=10) == [(90, 10)], "a route that fails for all"


def test_no_version_is_charged_beyond_its_share() -> None:
    ((stable, canary),) = charges((0, 0, 1000), ready=ReadyPods(3, 0), percent=10)
    assert canary < 150
    assert stable + canary == 1000


@pytest.mark.parametrize(("percent", "expected"), [(0, (7, 0)), (100, (0, 7))])
def test_where_one_version_serves_alone_they_are_its_own(percent: float, expected: tuple[int, int]) -> None:
    assert charges((50, 50, 7), percent=percent) == [expected]


def test_ready_pods_are_not_counted_without_need() -> None:
    def never() -> ReadyPods:
        raise AssertionError

    assert Attribution().charged(counted(5, 5, 0), VERSIONS, 50, never)[1] == counted(5, 5, 0)


@pytest.mark.parametrize("percent", [10, 50])
@pytest.mark.parametrize("ready", [ReadyPods(2, 0), BOTH_READY], ids=["no pods", "no destination"])
def test_canary_that_cannot_be_reached_is_rolled_back_within_some_looks(
    percent: float, ready: ReadyPods
) -> None:
    windows = [(100 - round(percent), 0, round(percent))] * 10
    verdict, looks = verdict_of(*windows, percent=percent, ready=ready)
    assert (verdict.action, looks <= 8) == ("rollback", True)
    assert verdict.numbers["canary_unreached"] > 0
    assert f"{verdict.numbers['canary_unreached']:.0f} reached no pod of v2" in told(verdict)


def test_canary_that_comes_and_goes_is_rolled_back() -> None:
    verdict, _ = verdict_of(*[(100, 50, 50)] * 10)
    assert verdict.action == "rollback"


def test_canary_that_is_lost_after_its_promotion_is_rolled_back() -> None:
    evidence = Evidence.start(Yardstick.of(BASELINE, RELEASE))
    evidence = evidence.updated(SampleWindow(0, 10, 1, 50, True, False, _window(500, 0), _window(500, 0)))
    for at in range(10, 40):
        look = SampleWindow(at, at + 1, 2, 100, True, False, _window(0, 0), _window(0, 100))
        evidence = evidence.updated(look)
    verdict = judge(evidence, RELEASE, Progress(2, 30, 40))
    assert verdict.action == "rollback"
    assert "3 000 reached no pod of v2" in told(verdict)


@pytest.mark.parametrize(
    ("window", "ready"),
    [((0, 50, 50), ReadyPods(0, 2)), ((0, 50, 50), BOTH_READY), ((0, 0, 100), BOTH_READY)],
    ids=["stable without pods", "stable without destination", "route broken for all"],
)
def test_what_is_not_the_canarys_fault_is_not_blamed_on_it(
    window: tuple[int, int, int], ready: ReadyPods
) -> None:
    verdict, _ = verdict_of(*[window] * 20, ready=ready)
    assert verdict.action == "continue"
    assert verdict.harm < 2


@pytest.mark.parametrize("percent", [10, 50])
@pytest.mark.parametrize("given", [True, False], ids=["share in force", "old share in force"])
def test_few_of_a_rolling_restart_roll_no_good_release_back(percent: float, *, given: bool) -> None:
    rolled_back = 0
    for seed in range(4):
        chance = random.Random(seed)
        share, windows = percent / 100 if given else 0.0, []
        for i in range(12):
            to_canary = sum(chance.random() < share for _ in range(200))
            lost = sum(chance.random() < 0.03 for _ in range(to_canary)) if i % 3 == 0 else 0
            lost_of_stable = sum(chance.random() < 0.03 for _ in range(200 - to_canary)) if i % 3 == 0 else 0
            windows.append((200 - to_canary - lost_of_stable, to_canary - lost, lost + lost_of_stable))
        rolled_back += verdict_of(*windows, percent=percent)[0].action == "rollback"
    assert not rolled_back


def test_sentence_tells_both_versions_and_is_left_out_without_any() -> None:
    verdict, _ = verdict_of((400, 400, 200))
    assert "Of the failed requests, 100 reached no pod of v2 and 100 reached no pod of v1." in told(verdict)
    assert "reached no pod" not in told(verdict_of((400, 400, 0))[0])


def test_journal_keeps_them() -> None:
    look = SampleWindow(0, 1, 0, 10, True, False, _window(90, 0), _window(1, 9))
    assert SampleWindow.from_record(look.as_record()) == look
