"""Decide whether counts and times can be true; what cannot is not counted, and the release holds.

A proxy, a metrics server or a clock may deliver impossible input: negative or non-cumulative counts, edges
out of order, times that go back. Such input is neither success nor failure, so each function returns the
reason for refusing it, or an empty text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshkit.decide.sample_windows import ArmWindow, SampleWindow
    from meshkit.decide.verdict import Progress

MOST_REQUESTS = 10**15
"""More requests than any version answers in a release."""
MOST_S = 1e10
"""More seconds than any two clocks differ by: three centuries."""
_ROUNDED_S = 0.002
"""The journal rounds times to a millisecond."""


def refused_window(
    look: SampleWindow, *, edges: int, steps: int, until_s: float | None, longest_s: float
) -> str:
    """Why a sample window cannot be true; empty if it can.

    It must have ``edges`` counts of slow requests (any number before the first weight, when edges may not be
    known yet) and one of ``steps`` steps, start at ``until_s`` (the end of the previous one) or later, and
    last at most ``longest_s``.
    """
    if not (_is_time(look.start_s) and _is_time(look.end_s)):
        return "the time of the measurement is not a number of seconds"
    if look.end_s < look.start_s - _ROUNDED_S:
        return f"the clock went back by {look.start_s - look.end_s:.4g} s"
    if look.end_s - look.start_s > longest_s:
        return f"{look.end_s - look.start_s:.4g} s passed between two measurements, more than {longest_s:g} s"
    if until_s is not None and look.start_s < until_s - _ROUNDED_S:
        return f"the measurement begins {until_s - look.start_s:.4g} s before the end of the previous one"
    if not -1 <= look.step < steps:
        return f"the release has no step {look.step}"
    counted = None if look.step < 0 else edges
    arms = refused_counts("stable", look.stable, counted) or refused_counts("canary", look.canary, counted)
    return arms or _refused_zones(look)


def went_back_s(look: SampleWindow) -> float:
    """How far the clock went back during a sample window; 0 if its times cannot be true."""
    if not (_is_time(look.start_s) and _is_time(look.end_s)):
        return 0.0
    return max(0.0, look.start_s - look.end_s)


def refused_counts(name: str, arm: ArmWindow, edges: int | None) -> str:
    """Why the counts of one version cannot be true; empty if they can. ``edges`` of None: any number."""
    counted = {"requests": arm.requests, "errors": arm.errors, "requests with a latency": arm.timed}
    for what, count in (*counted.items(), *(("slow requests", count) for count in arm.slower)):
        if not _is_count(count):
            return f"{name} has {_shown(count)} {what}"
    if arm.errors > arm.requests:
        return f"{name} has more errors ({arm.errors}) than requests ({arm.requests})"
    if edges is not None and len(arm.slower) != edges:
        return f"{name} has counts for {len(arm.slower)} of {edges} latency edges"
    for before, after in zip((arm.timed, *arm.slower), arm.slower, strict=False):
        if after > before:
            return f"{name}'s histogram is not cumulative"
    return ""


def _refused_zones(look: SampleWindow) -> str:
    """Why the latencies by zone cannot be true: each must be possible, and their sums those of the arms."""
    if not look.zones:
        return ""
    counts = {
        "stable": ([(zone.stable_timed, *zone.stable_slower) for zone in look.zones], look.stable),
        "canary": ([(zone.canary_timed, *zone.canary_slower) for zone in look.zones], look.canary),
    }
    for name, (by_zone, arm) in counts.items():
        for each in by_zone:
            if not all(map(_is_count, each)) or any(after > before for before, after in pairwise(each)):
                return f"{name}'s latencies in a zone are not those of a number of requests"
        sums = [sum(column) for column in zip(*by_zone, strict=False)]
        if len({len(each) for each in by_zone}) > 1 or sums != [arm.timed, *arm.slower]:
            return f"{name}'s latencies by zone do not add up to its own"
    return ""


def refused_histogram(latency_ms: Sequence[tuple[float, Any]]) -> str:
    """Why a cumulative histogram cannot be true; empty if it can."""
    if not latency_ms:
        return ""
    edges = [edge for edge, _ in latency_ms]
    if any(math.isnan(edge) or edge <= 0 for edge in edges):
        return "the histogram has an edge that is not a latency"
    if any(later <= edge for edge, later in pairwise(edges)):
        return "the histogram's edges are not in rising order"
    if edges[-1] != math.inf:
        return "the histogram has no infinite edge"
    counts = [count for _, count in latency_ms]
    if not all(_is_count(count) for count in counts):
        return "the histogram has a count that is not a number of requests"
    if any(later < count for count, later in pairwise(counts)):
        return "the histogram is not cumulative"
    return ""


def refused_progress(progress: Progress, steps: int) -> str:
    """Why the progress of a release cannot be true; empty if it can."""
    times = (progress.elapsed_s, progress.step_elapsed_s or 0.0)
    if not all(_is_time(time) for time in times):
        return "the elapsed time is not a number of seconds"
    return "" if -1 <= progress.step < steps else f"the release has no step {progress.step}"


def _is_time(seconds: float) -> bool:
    return abs(seconds) <= MOST_S


def _is_count(count: object) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MOST_REQUESTS


def _shown(count: object) -> str:
    return f"{count:.4g}" if isinstance(count, float) else str(count)[:20]
