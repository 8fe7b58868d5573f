"""The demo's promise about its bad release, with chance in place of the mesh: the real rule judges counts
that are drawn as the shop's versions would make them, second by second.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from random import Random

import pytest

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.ladder import share_agrees
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.demo import MOST_HARMED_PERCENT, RELEASE_PARAMETERS, RPS
from meshkit.intent.release import Margins, Release
from meshkit.operations.shop import BAD, GOOD, Behaviour

EDGES_MS = (1, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 1000, math.inf)
ON_THEIR_WAY = 0.33
"""The share of a second's canary requests that is answered in the next one: BAD takes 330 ms."""
WITHDRAWN_S = 0.1
"""From the verdict to the last request that goes by the old weight."""


@pytest.mark.parametrize(
    "releases", [200, pytest.param(2_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_chance_does_not_break_the_promise_about_the_bad_release(releases: int) -> None:
    release, random = _release(), Random(1)
    ends = [_rolled_back(release, random) for _ in range(releases)]
    over = [f"{harmed} of {sent}" for harmed, sent in ends if 100 * harmed >= MOST_HARMED_PERCENT * sent]
    assert not over


def _release() -> Release:
    given = {key: float(value) for key, value in RELEASE_PARAMETERS.items() if key != "steps"}
    margins = {key: given.pop(key) for key in Margins.model_fields if key in given}
    steps = tuple(float(step) for step in RELEASE_PARAMETERS["steps"].split(","))
    what = {
        "name": "web-v3",
        "namespace": "shop",
        "service": "web",
        "port": 80,
        "stable": "v2",
        "canary": "v3",
    }
    return Release.model_validate({**what, **given, "steps": steps, "margins": margins})


def _rolled_back(release: Release, random: Random) -> tuple[int, int]:
    """The requests that one release harmed, and all it sent, from its first weight to its last."""
    usual = [_latency_ms(GOOD, random) for _ in range(1100)]
    baseline = Baseline(
        tuple((edge, sum(ms <= edge for ms in usual)) for edge in EDGES_MS), len(usual), 0, 5.0
    )
    evidence = Evidence.start(Yardstick.of(baseline, release))
    second = sent = harmed = late = 0
    while True:
        second += 1
        of_canary = _drawn(round(RPS * release.look_s), release.steps[0], random)
        sent, harmed = sent + round(RPS * release.look_s), harmed + of_canary
        next_late = _drawn(of_canary, 100 * ON_THEIR_WAY, random)
        answered, late = of_canary - next_late + late, next_late
        agreed = share_agrees(sent, harmed, release.steps[0], 0)
        stable = _arm(GOOD, round(RPS * release.look_s) - of_canary, baseline, random)
        look = SampleWindow(
            second - 1.0, float(second), 0, release.steps[0], agreed, second <= release.warm_up_s,
            stable, _arm(BAD, answered, baseline, random),
        )  # fmt: skip
        evidence = evidence.updated(look)
        verdict = judge(evidence, release, Progress(0, float(second) if agreed else None, float(second)))
        assert verdict.action != "promote", "the bad release left the first step"
        if verdict.action == "rollback":
            last = round(RPS * WITHDRAWN_S)
            return harmed + _drawn(last, release.steps[0], random), sent + last


def _arm(how: Behaviour, requests: int, baseline: Baseline, random: Random) -> ArmWindow:
    errors = _drawn(requests, how.error_percent, random)
    answered = sorted(_latency_ms(how, random) for _ in range(requests - errors))
    slower = tuple(len(answered) - bisect_right(answered, edge) for edge in baseline.edges_ms)
    return ArmWindow(requests, errors, len(answered), slower)


def _latency_ms(how: Behaviour, random: Random) -> float:
    return how.latency_ms * math.exp(random.gauss(0, how.sigma))


def _drawn(count: int, percent: float, random: Random) -> int:
    share, draw = percent / 100, random.random
    return sum([draw() < share for _ in range(count)])
