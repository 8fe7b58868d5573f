"""One release over the traffic of field.py, judged by the library look by look as its runner does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.canaries.field import BUCKETS, LOOK_S, Field, Version
from meshkit.decide.admission.zones import Zones
from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.margins import watching
from meshkit.decide.pods import Placement, assumed_noise, pod_noise
from meshkit.decide.rule import decided
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress
from meshkit.facts import ArmCounts, Samples
from meshkit.intent.release import Margins, Release

VERSIONS = ("v1", "v2")
BLOCKS = 10
BESIDE_S = 600.0


@dataclass(frozen=True)
class Case:
    """One kind of release: its traffic, and what is true of both versions.

    ``versions`` draws them anew for each release. ``watched``: the release begins promoted, and stable keeps
    5 % of the traffic. ``alone``: the canary gets all of it, after BESIDE_S at 50 %.
    """

    name: str
    versions: Callable[[np.random.Generator], tuple[Version, Version]]
    shape: str = "lognormal"
    buckets: str = "fine"
    rps: float = 100.0
    percent: float = 50.0
    minutes: float = 60.0
    margins: Margins = field(default_factory=Margins)
    clump: int = 1
    baseline_s: float = 600.0
    watched: bool = False
    alone: bool = False
    look_s: float = LOOK_S


@dataclass(frozen=True)
class End:
    """How a release ended (``promote``, ``rollback`` or ``continue``) and after how many seconds."""

    action: str
    seconds: float


def run(case: Case, seed: int) -> End:
    """Run one release of a case; the same seed gives the same release."""
    rng = np.random.default_rng([seed, *case.name.encode(), *case.shape.encode(), *case.buckets.encode()])
    stable, canary = case.versions(rng)
    edges = BUCKETS[case.buckets]
    draw = Field(case.shape, edges, rng, case.clump)
    release = _release(case)
    baseline = _baseline(case, release, draw, stable, canary)
    evidence = Evidence.start(Yardstick.of(baseline, release))
    step = 1 if case.watched or case.alone else 0

    def look(start_s: float, step: int, percent: float) -> SampleWindow:
        arms, pods, zones = {}, {}, {}
        for name, version, share in (("v1", stable, 100 - percent), ("v2", canary, percent)):
            drawn = draw.counts(version, case.rps * case.look_s * share / 100, start_s + case.look_s / 2)
            arms[name] = _sum(drawn, edges)
            if _zoned(version):
                pods[name] = {f"{name}-{i}": _sum([pod], edges) for i, pod in enumerate(drawn)}
                zones |= {f"{name}-{i}": pod.zone for i, pod in enumerate(version.pods)}
        warming, begin_s = start_s < release.warm_up_s, 1 + BESIDE_S + start_s
        samples = Samples(begin_s, begin_s + case.look_s, arms, pods, zones=zones)
        found = Zones.of(samples, VERSIONS, ())
        judged = found.judged(arms)
        both = [ArmWindow.of(arms[v], baseline.edges_ms, ArmCounts(), judged[v]) for v in VERSIONS]
        return SampleWindow(
            samples.start_s,
            samples.end_s,
            step,
            percent,
            True,
            warming,
            *both,
            zones=found.windows(VERSIONS, baseline.edges_ms),
        )

    for i in range(round(BESIDE_S / case.look_s) if case.alone else 0):
        evidence = evidence.updated(look(i * case.look_s - BESIDE_S, 0, 50.0))
    for i in range(round(60 * case.minutes / case.look_s)):
        end_s = (i + 1) * case.look_s
        evidence = evidence.updated(look(i * case.look_s, step, case.percent))
        action, _, _ = decided(evidence, release, Progress(step, end_s, end_s))
        if action in ("promote", "rollback"):
            return End(action, end_s)
    return End("continue", math.inf)


def baseline_of(case: Case, rng: np.random.Generator) -> Baseline:
    """The baseline that a release of a case would measure."""
    stable, canary = case.versions(rng)
    draw = Field(case.shape, BUCKETS[case.buckets], rng, case.clump)
    return _baseline(case, _release(case), draw, stable, canary)


def _release(case: Case) -> Release:
    return Release(
        name="r",
        namespace="n",
        service="s",
        port=80,
        stable="v1",
        canary="v2",
        steps=(50.0 if case.watched or case.alone else case.percent, 100),
        look_s=case.look_s,
        baseline_s=case.baseline_s,
        deadline_s=1e9,
        watch_s=3600,
        keep_percent=100 - case.percent if case.watched or case.alone else 5 if case.percent < 95 else 0.5,
        margins=case.margins,
    )


def _baseline(case: Case, release: Release, draw: Field, stable: Version, canary: Version) -> Baseline:
    placement = Placement(*(Counter(pod.zone for pod in version.pods) for version in (stable, canary)))
    seconds = case.baseline_s or 60.0
    blocks: list[dict[str, ArmCounts]] = []
    for _ in range(BLOCKS):
        pods = draw.counts(stable, case.rps * seconds / BLOCKS, -1.0)
        blocks.append({f"pod-{i}": _sum([pod], draw.edges_ms) for i, pod in enumerate(pods)})
    zones = {f"pod-{i}": pod.zone for i, pod in enumerate(stable.pods)}
    within = [pod for pod, zone in zones.items() if zone in placement.common or not placement.common]
    total = sum((block[pod] for block in blocks for pod in within if pod in block), ArmCounts())
    baseline = watching(Baseline.of(total, seconds), release.margins)
    if not case.baseline_s:
        return baseline
    noise = pod_noise(blocks, baseline.edges_ms, placement, zones)
    if noise is None:
        noise = assumed_noise(baseline, placement)
    return replace(baseline, noise=noise)


def _zoned(version: Version) -> bool:
    return any(pod.zone for pod in version.pods)


def _sum(pods: list[tuple[int, int, list[int]]], edges: tuple[float, ...]) -> ArmCounts:
    within = [sum(pod[2][i] for pod in pods) for i in range(len(edges) + 1)]
    histogram = tuple(zip((*edges, math.inf), within, strict=True))
    return ArmCounts(sum(pod[0] for pod in pods), sum(pod[1] for pod in pods), histogram)
