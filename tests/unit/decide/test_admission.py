"""Input that cannot be true holds the release with its reason: no promotion, no evidence, no traceback."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.margins import watching
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.errors import NoData
from meshkit.facts import ArmCounts
from meshkit.intent.release import Margins, Release

HISTOGRAM = ((10.0, 2000), (20.0, 9000), (40.0, 9990), (80.0, 9999), (math.inf, 10_000))
MARGINS = Margins(error_points=1, p50_percent=300, p90_percent=300, p99_percent=300)
BASELINE = watching(Baseline(HISTOGRAM, 10_000, 0, 100.0), MARGINS)
RELEASE = Release(
    name="r",
    namespace="n",
    service="s",
    port=80,
    stable="v1",
    canary="v2",
    steps=(50, 100),
    step_s=10,
    soak_s=0,
    baseline_s=0,
    watch_s=0,
    deadline_s=1000,
    margins=MARGINS,
)
SHARE = {edge: 1 - within / 10_000 for edge, within in HISTOGRAM}
GOOD = ArmWindow(2000, 0, 2000, tuple(round(2000 * SHARE[edge]) for edge in BASELINE.edges_ms))
ENDED = Progress(0, 60, 60)


def looks(count: int) -> list[SampleWindow]:
    good = SampleWindow(0, 5, 0, 50, True, False, GOOD, GOOD)
    return [replace(good, start_s=5.0 * i, end_s=5.0 * i + 5) for i in range(count)]


def after(*seen: SampleWindow, baseline: Baseline = BASELINE) -> Evidence:
    evidence = Evidence.start(Yardstick.of(baseline, RELEASE))
    for look in seen:
        evidence = evidence.updated(look)
    return evidence


def told(evidence: Evidence, progress: Progress = ENDED) -> str:
    return " ".join(judge(evidence, RELEASE, progress).sentences)


def test_good_looks_are_promoted() -> None:
    assert judge(after(*looks(5)), RELEASE, ENDED).action == "promote"


WIDTH = len(BASELINE.edges_ms)
IMPOSSIBLE = {
    "negative errors": (replace(GOOD, errors=-5), "canary has -5 errors"),
    "negative requests": (replace(GOOD, requests=-1), "canary has -1 requests"),
    "infinite requests": (replace(GOOD, requests=cast(int, math.inf)), "canary has inf requests"),
    "no number": (replace(GOOD, errors=cast(int, math.nan)), "canary has nan errors"),
    "parts of requests": (replace(GOOD, errors=cast(int, 0.5)), "canary has 0.5 errors"),
    "a power of ten": (replace(GOOD, requests=10**400), "canary has 1000"),
    "more errors than requests": (replace(GOOD, errors=2001), "more errors"),
    "negative slower": (replace(GOOD, slower=(*GOOD.slower[:-1], -1)), "canary has -1 slow requests"),
    "not cumulative": (replace(GOOD, slower=tuple(reversed(GOOD.slower))), "not cumulative"),
    "more slow requests than requests": (replace(GOOD, slower=(2001,) * WIDTH), "not cumulative"),
    "an edge too few": (replace(GOOD, slower=GOOD.slower[1:]), f"{WIDTH - 1} of {WIDTH} latency edges"),
    "no edges": (ArmWindow(2000), f"0 of {WIDTH} latency edges"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_counts_are_held_with_the_reason_and_are_no_evidence(name: str) -> None:
    arm, reason = IMPOSSIBLE[name]
    good = after(*looks(5))
    bad = replace(looks(6)[-1], canary=arm)
    seen = good.updated(bad)
    verdict = judge(seen, RELEASE, ENDED)
    assert verdict.action == "continue"
    assert reason in told(seen)
    assert {c.name for c in verdict.open} == {"input", "data"}
    assert replace(seen, refused="", canary_now=good.canary_now) == good
    record = json.loads(json.dumps(verdict.as_record()))
    assert record["sentences"][0].startswith("Held: ")


def test_a_look_that_is_refused_keeps_its_reason_in_the_journal() -> None:
    one = replace(looks(1)[0], refused="the clock went back by 3 s")
    assert SampleWindow.from_record(json.loads(json.dumps(one.as_record()))) == one
    assert "refused" not in looks(1)[0].as_record()


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ((25.0, 20.0), "the clock went back by 5 s"),
        ((25.0, 86_425.0), "8.64e+04 s passed between two measurements"),
        ((15.0, 26.0), "10 s before the end of the previous one"),
        ((math.nan, 30.0), "not a number"),
        ((25.0, math.inf), "not a number"),
        ((25.0, -1.7e308), "not a number"),
        ((1.7e308, 1.7e308), "not a number"),
    ],
)
def test_times_that_go_back_or_jump_hold_the_release(times: tuple[float, float], reason: str) -> None:
    seen = after(*looks(5), replace(looks(1)[0], start_s=times[0], end_s=times[1]))
    assert judge(seen, RELEASE, ENDED).action == "continue"
    assert reason in told(seen)
    assert seen.compared_s == 25


def test_a_clock_that_was_set_back_goes_on_from_there() -> None:
    back = [*looks(5), replace(looks(1)[0], start_s=25.0, end_s=-975.0)]
    on = [replace(looks(1)[0], start_s=-975.0 + 5 * i, end_s=-970.0 + 5 * i) for i in range(5)]
    seen = after(*back, *on)
    assert seen.compared_s == 50
    assert judge(seen, RELEASE, ENDED).action == "promote"


def test_a_day_that_nobody_observed_is_no_soak() -> None:
    soaking = RELEASE.model_copy(update={"soak_s": 600.0})
    evidence = Evidence.start(Yardstick.of(BASELINE, soaking))
    for look in (*looks(5), *(replace(each, start_s=each.start_s + 86_400) for each in looks(5)[:1])):
        evidence = evidence.updated(replace(look, end_s=look.start_s + 5))
    assert {c.name for c in judge(evidence, soaking, ENDED).open} == {"soak"}


@pytest.mark.parametrize(
    "progress",
    [
        Progress(0, 60, math.nan),
        Progress(0, math.nan, 60),
        Progress(0, math.inf, 60),
        Progress(0, 60, math.inf),
        Progress(0, None, 1.7976e308),
        Progress(0, 1.7976e308, 60),
        Progress(0, 60, -1.7976e308),
        Progress(99, 60, 60),
        Progress(-7, 60, 60),
    ],
)
def test_progress_that_cannot_be_true_is_held(progress: Progress) -> None:
    verdict = judge(after(*looks(5)), RELEASE, progress)
    assert verdict.action == "continue"
    assert verdict.sentences[0].startswith("Held: ")
    json.dumps(verdict.as_record(), allow_nan=False)


def test_a_clock_that_cannot_be_true_does_not_move_the_later_times() -> None:
    astray = replace(looks(1)[0], start_s=25.0, end_s=-1.7e308)
    later = [replace(look, start_s=look.start_s + 25, end_s=look.end_s + 25) for look in looks(5)]
    seen = after(*looks(5), astray, *later)
    assert seen.compared_s == 50
    assert seen.until_s == 50


def test_the_largest_numbers_of_a_release_stay_finite_in_the_journal() -> None:
    longest = RELEASE.model_copy(update={"deadline_s": 1.7976e308, "soak_s": 1.7976e308})
    record = judge(after(*looks(5)), longest, ENDED).as_record()
    assert json.loads(json.dumps(record, allow_nan=False))["numbers"]["deadline_s"] == 1.7976e308


@pytest.mark.parametrize(
    ("histogram", "reason"),
    [
        (((10.0, 2000), (20.0, 900), (math.inf, 10_000)), "not cumulative"),
        (((10.0, 2000), (math.nan, 9000), (math.inf, 10_000)), "not a latency"),
        (((10.0, 2000), (20.0, 9000)), "no infinite edge"),
        (((20.0, 2000), (10.0, 9000), (math.inf, 10_000)), "rising order"),
        (((10.0, -5), (20.0, 9000), (math.inf, 10_000)), "not a number of requests"),
        (((10.0, math.nan), (20.0, 9000), (math.inf, 10_000)), "not a number of requests"),
    ],
)
def test_a_baseline_that_cannot_be_true_promotes_nothing(histogram: tuple, reason: str) -> None:  # type: ignore[type-arg]
    baseline = Baseline(histogram, 10_000, 0, 100.0)
    bare = [replace(look, stable=ArmWindow(2000), canary=ArmWindow(2000)) for look in looks(9)]
    for seen in (after(*bare, baseline=baseline), after(*looks(9), baseline=baseline)):
        assert judge(seen, RELEASE, ENDED).action == "continue"
        assert reason in told(seen)
    with pytest.raises(NoData, match=reason):
        ArmWindow.of(ArmCounts(10_000, 0, histogram), (), ArmCounts())


ANY_COUNT = st.one_of(
    st.integers(-5, 5000), st.floats(), st.sampled_from([10**20, 10**400, -(10**30)]), st.booleans()
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_measured_there_is_a_verdict_and_nothing_impossible_promotes(data: st.DataObject) -> None:
    arm = st.builds(
        ArmWindow,
        ANY_COUNT,
        ANY_COUNT,
        ANY_COUNT,
        st.lists(ANY_COUNT, max_size=WIDTH + 1).map(tuple),
    )
    time = st.floats(-100, 200) | st.floats()
    step = st.integers(-3, 5)
    window = st.builds(SampleWindow, time, time, step, st.just(50.0), st.booleans(), st.booleans(), arm, arm)
    seen = data.draw(st.lists(window, max_size=3))
    evidence = after(*looks(5), *seen)
    progress = Progress(data.draw(step), data.draw(st.none() | st.floats()), data.draw(st.floats()))
    verdict = judge(evidence, RELEASE, progress)
    assert verdict.sentences
    assert not (evidence.refused and verdict.action == "promote")
    assert all(math.isfinite(value) for value in verdict.numbers.values())
    json.dumps(verdict.as_record(), allow_nan=False)
