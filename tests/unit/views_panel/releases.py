"""Releases as they would be read from the journal, made of synthetic requests with a fixed seed."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.facts import ArmCounts
from meshkit.intent.release import Margins, Release
from meshkit.operations.release.listing import ReleaseSummary
from meshkit.operations.release.route import record_of, route_object
from meshkit.operations.release.state.fold import fold
from meshkit.operations.release.state.model import ReleaseState

EDGES_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, math.inf)
STARTED_S = 1_790_000_000.0
RPS = 220
RELEASE = Release(
    name="web-v2",
    namespace="shop",
    service="web",
    port=8080,
    stable="v1",
    canary="v2",
    steps=(1, 10, 50, 100),
    step_s=10,
    look_s=1,
    min_requests=10,
    warm_up_s=2,
    baseline_s=0,
    soak_s=0,
    watch_s=0,
    margins=Margins(error_points=5, p50_percent=100, p90_percent=100, p99_percent=100),
)


LINE = ReleaseSummary(
    name="web-v2",
    namespace="shop",
    service="web",
    port=8080,
    stable="v1",
    canary="v2",
    state="watching",
    percent=10.0,
    started_s=STARTED_S,
    since_s=STARTED_S,
    who="<ana>",
    change="canary-1",
    ended=False,
)
"""The release in the list of a cluster, run by nobody now."""


def begin() -> dict[str, Any]:
    return {
        "kind": "begin",
        "at_s": STARTED_S,
        "change_id": "canary-1",
        "release": RELEASE.model_dump(mode="json"),
        "mesh": "istio",
        "who": "ana",
        "object": "VirtualService shop/web",
        "route": record_of(route_object("istio", RELEASE)),
        "weights": [100, 0],
        "managed_fields": [],
    }


def release_after(seconds: int, *, canary_ms: float = 30.0, error_share: float = 0.0) -> ReleaseState:
    """The state of the release that many seconds after its start."""
    draw = random.Random(7)
    records: list[dict[str, Any]] = [begin()]
    baseline = Baseline(_arm(draw, 1000, 30.0, 0.0).latency_ms)
    records.append({"kind": "baseline", "at_s": STARTED_S + 5, **baseline.as_record()})
    records.append({"kind": "weights", "at_s": STARTED_S + 5, "step": 0, "asked_percent": RELEASE.steps[0]})
    evidence = Evidence.start(Yardstick.of(baseline, RELEASE))
    for second in range(5, seconds):
        state = fold(records)
        if state.ended:
            break
        look = _look(draw, state, STARTED_S + second, baseline, canary_ms, error_share)
        evidence = evidence.updated(look)
        elapsed = None if state.agreed_s is None else look.end_s - state.agreed_s
        verdict = judge(evidence, RELEASE, Progress(state.step, elapsed, second))
        records.append(
            {"kind": "look", "at_s": look.end_s, "look": look.as_record(), "verdict": verdict.as_record()}
        )
        if state.agreed_s is None and verdict.action == "continue":
            records.append({"kind": "agreed", "at_s": look.end_s, "measured_percent": state.asked_percent})
        if verdict.action == "promote" and state.step + 1 < len(RELEASE.steps):
            step = state.step + 1
            records.append(
                {"kind": "weights", "at_s": look.end_s, "step": step, "asked_percent": RELEASE.steps[step]}
            )
        elif verdict.action in ("promote", "rollback"):
            records.append(_end(look.end_s, verdict.action, verdict.sentences))
    return fold(records)


def _end(at_s: float, action: str, sentences: tuple[str, ...]) -> dict[str, Any]:
    promoted = action == "promote"
    return {
        "kind": "end",
        "at_s": at_s,
        "result": "promoted" if promoted else "rolled_back",
        "sentences": list(sentences),
        "percent": 100.0 if promoted else 0.0,
    }


def _look(
    draw: random.Random,
    state: ReleaseState,
    start_s: float,
    baseline: Baseline,
    canary_ms: float,
    error_share: float,
) -> SampleWindow:
    canary = round(RPS * state.asked_percent / 100)
    arms = [_arm(draw, RPS - canary, 30.0, 0.0), _arm(draw, canary, canary_ms, error_share)]
    stable_look, canary_look = (ArmWindow.of(arm, baseline.edges_ms, arm) for arm in arms)
    return SampleWindow(
        start_s=start_s,
        end_s=start_s + 1,
        step=state.step,
        asked_percent=state.asked_percent,
        agreed=state.agreed_s is not None,
        warming=False,
        stable=stable_look,
        canary=canary_look,
    )


def _arm(draw: random.Random, requests: int, median_ms: float, error_share: float) -> ArmCounts:
    latencies = [median_ms * math.exp(draw.gauss(0, 0.3)) for _ in range(requests)]
    counts = itertools.accumulate(
        sum(low < ms <= edge for ms in latencies) for low, edge in itertools.pairwise((0.0, *EDGES_MS))
    )
    errors = sum(draw.random() < error_share for _ in range(requests))
    return ArmCounts(requests, errors, tuple(zip(EDGES_MS, counts, strict=True)))
