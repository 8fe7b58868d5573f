"""The watch after the promotion: an idle stable version undoes nothing, leaks and late harm are found."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.rule import decided
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.intent.release import Release

EDGES = [10 * 1.1**i for i in range(45)]
LOOK_S, RPS = 30.0, 100.0
RELEASE = Release(
    name="r", namespace="n", service="s", port=80, stable="v1", canary="v2", steps=(50, 100), look_s=LOOK_S
)


def slower(edge_ms: float, times: float) -> float:
    return 1 - NormalDist().cdf(math.log(edge_ms / 60 / times) / 0.6)


BASELINE = Baseline(
    (*((e, round(60_000 * (1 - slower(e, 1)))) for e in EDGES), (math.inf, 60_000)), 60_060, 60, 600
)


def watched(
    stable: float = 1.0,
    canary: Callable[[float], float] = lambda _: 1.0,
    errors: Callable[[float], float] = lambda _: 0.001,
) -> float | None:
    """When an hour's watch rolls back, with expected counts in place of chance; None: never."""
    evidence = Evidence.start(Yardstick.of(BASELINE, RELEASE))
    for i in range(120):
        start_s = i * LOOK_S
        arms = []
        for share, times, failing in ((0.05, stable, 0.001), (0.95, canary(start_s), errors(start_s))):
            requests = round(share * RPS * LOOK_S)
            failed, *late = (
                round((i + 1) * requests * part) - round(i * requests * part)
                for part in (failing, *(slower(e, times) for e in BASELINE.edges_ms))
            )
            arms.append(ArmWindow(requests, failed, requests, tuple(sorted(late, reverse=True))))
        evidence = evidence.updated(
            SampleWindow(start_s, start_s + LOOK_S, 1, 95, True, False, arms[0], arms[1])
        )
        if decided(evidence, RELEASE, Progress(1, start_s, start_s))[0] == "rollback":
            return start_s + LOOK_S
    return None


def test_a_stable_version_that_is_faster_for_being_idle_undoes_nothing() -> None:
    assert watched(stable=1 / 1.1) is None


def test_a_leak_is_found_even_beside_an_idle_stable_version() -> None:
    for stable in (1.0, 1 / 1.1):
        found = watched(stable, lambda s: 1 + 0.01 * s / 60)
        assert found is not None
        assert found <= 940


def test_a_canary_that_cannot_carry_the_whole_load_is_rolled_back() -> None:
    found = watched(canary=lambda _: 1.5)
    assert found is not None
    assert found <= 300


def test_errors_that_begin_late_are_found() -> None:
    found = watched(errors=lambda s: 0.001 if s < 600 else 0.02)
    assert found is not None
    assert found <= 600 + 900
