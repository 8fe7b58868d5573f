"""``python -m benchmarks.canaries.stalls``: all requests of one second fail, whichever version answers them.

Good releases that such stalls roll back, and how soon harm that goes on is found: where the canary serves
alone, by the test of all its counts and without the worst moments; and beside stable, by the comparison of
failures and with an objective, and by the comparison of latencies where the canary alone stalls and answers
late. Only failures and three quantiles are drawn, so a release takes a few ms.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist

import numpy as np

from meshkit.decide.statistics.bursts import Alone
from meshkit.decide.statistics.moments import Compared
from meshkit.decide.statistics.objective import Objective, Window
from meshkit.decide.statistics.sequential import (
    ALONE,
    WORSE,
    Likelihood,
    Table,
    alone_log_evidence,
    log_mean_exp,
    log_sum_exp,
)
from meshkit.decide.thresholds import GROSS_PERCENT, LOW_TRAFFIC_RPS, TOLERANCE

LOOK_S, SIGMA, ERRORS, POINTS, OBJECTIVE = 5.0, 0.6, 0.001, 0.002, 0.002
LIMIT = math.log(20)
QUANTILES = (0.5, 0.9, 0.99)
Times = Mapping[str, float | None]
"""When each rule rolled back, in seconds; None: never."""


def shares(times: float = 1.0, errors: float = ERRORS) -> dict[str, float]:
    """The shares of failures, and of requests beyond stable's quantiles, of a version ``times`` as slow."""
    normal = NormalDist()
    beyond = {f"p{100 * q:g}": 1 - normal.cdf(normal.inv_cdf(q) - math.log(times) / SIGMA) for q in QUANTILES}
    return {"errors": errors, **beyond}


DOWN = {**shares(), "errors": 1.0}
ALLOWED = shares(1 + GROSS_PERCENT / 100, ERRORS + POINTS)


@dataclass(frozen=True)
class Truth:
    """The canary's traffic: requests a second in all, its percent, stalls within the minutes, its shares.

    With ``every_s`` it stalls so often; its shares are the usual ones before ``from_s``.
    """

    rps: float
    percent: float = 100.0
    stalls: int = 0
    minutes: float = 10.0
    canary: Mapping[str, float] | None = None
    every_s: float = 0.0
    from_s: float = 0.0


def alone(truth: Truth, seed: int) -> Times:
    """One release whose canary serves all requests."""
    rng = np.random.default_rng([seed, int(10 * truth.rps), 50, 10])
    at_s = [*rng.uniform(0, 60 * truth.minutes, truth.stalls)]
    if truth.every_s:
        at_s += [*np.arange(rng.uniform(0, truth.every_s), 60 * truth.minutes, truth.every_s)]
    counts, found = {name: Alone() for name in ALLOWED}, dict[str, float]()
    for i in range(round(60 * truth.minutes / LOOK_S)):
        start_s, end_s = i * LOOK_S, (i + 1) * LOOK_S
        stalled_s = sum(max(0.0, min(end_s, one + 1) - max(start_s, one)) for one in at_s)
        drawn = _drawn(rng, truth if start_s >= truth.from_s else replace(truth, canary=None), stalled_s)
        for name, seen in drawn.items():
            counts[name] = counts[name].updated(seen, LOOK_S, ALLOWED[name])
        tests = {
            "all counts": [alone_log_evidence(*counts[n].all, share, ALONE) for n, share in ALLOWED.items()],
            "without the worst": [
                replace(counts[n], bursts=()).log_evidence(share) for n, share in ALLOWED.items()
            ],
            "without bursts": [counts[n].log_evidence(share) for n, share in ALLOWED.items()],
        }
        for name, parts in tests.items():
            if log_mean_exp(parts) >= LIMIT:
                found.setdefault(name, end_s)
    return {name: found.get(name) for name in ("all counts", "without the worst", "without bursts")}


def _drawn(rng: np.random.Generator, truth: Truth, stalled_s: float) -> dict[str, tuple[int, int]]:
    """Requests and events of one look, by kind."""
    canary = truth.canary or shares()
    requests = int(rng.poisson(truth.rps * (LOOK_S - stalled_s)))
    stalled = int(rng.poisson(truth.rps * stalled_s)) if stalled_s else 0
    failed = int(rng.binomial(requests, canary["errors"]))
    found = {"errors": (requests + stalled, failed + stalled)}
    beyond, share = requests - failed, 1.0
    for name in list(canary)[1:]:
        beyond, share = int(rng.binomial(beyond, canary[name] / share)), canary[name]
        found[name] = requests - failed, beyond
    return found


def beside(truth: Truth, seed: int) -> Times:
    """One release whose versions share the traffic."""
    rng = np.random.default_rng([seed, int(10 * truth.rps), int(10 * truth.percent)])
    low = truth.rps * truth.percent / 100 < LOW_TRAFFIC_RPS
    weight, found = 0.45 if low else 0.1, dict[str, float]()
    errors = Likelihood.over([TOLERANCE + step for step in (0.0, *WORSE)])
    objective, parts = Objective(OBJECTIVE), (truth.percent / 100, 1 - truth.percent / 100)
    failing = ((truth.canary or shares())["errors"], ERRORS)
    every_s = 60 * truth.minutes / truth.stalls if truth.stalls else math.inf
    next_s = rng.exponential(every_s) if truth.stalls else math.inf
    for i in range(round(60 * truth.minutes / LOOK_S)):
        start_s, end_s, stalled_s = i * LOOK_S, (i + 1) * LOOK_S, 0.0
        while next_s < end_s:
            stalled_s, next_s = stalled_s + 1, next_s + rng.exponential(every_s)
        asked = [int(rng.poisson(truth.rps * LOOK_S * part)) for part in parts]
        failed = [int(rng.binomial(n, share)) for n, share in zip(asked, failing, strict=True)]
        hit = [int(rng.poisson(truth.rps * part * stalled_s)) if stalled_s else 0 for part in parts]
        (canary, stable), (bad, usual) = (
            (a + h for a, h in zip(each, hit, strict=True)) for each in (asked, failed)
        )
        errors = errors.updated(Table(canary, bad, stable, usual))
        objective = objective.updated(Window(start_s, end_s, canary, bad, stable, usual))
        compared = errors.log_evidence(TOLERANCE, WORSE)
        held = math.log(weight) + objective.log_evidence
        if compared + math.log(0.5) >= LIMIT:
            found.setdefault("compared", end_s)
        if log_sum_exp((compared + math.log((1 - weight) / 2), held)) >= LIMIT:
            found.setdefault("with an objective", end_s)
    return {name: found.get(name) for name in ("compared", "with an objective")}


def slower(truth: Truth, seed: int) -> Times:
    """One release whose versions share the traffic; only the canary stalls, and answers late for a second."""
    rng = np.random.default_rng([seed, int(10 * truth.rps), int(10 * truth.percent), 7])
    at_s = [*rng.uniform(0, 60 * truth.minutes, truth.stalls)]
    if truth.every_s:
        at_s += [*np.arange(rng.uniform(0, truth.every_s), 60 * truth.minutes, truth.every_s)]
    nothing = Likelihood.over([TOLERANCE + step for step in (0.0, *WORSE)])
    quantiles = {name: Compared.start(nothing, TOLERANCE) for name in list(shares())[1:]}
    parts, found = (truth.percent / 100, 1 - truth.percent / 100), dict[str, float]()
    for i in range(round(60 * truth.minutes / LOOK_S)):
        start_s, end_s = i * LOOK_S, (i + 1) * LOOK_S
        stalled_s = sum(max(0.0, min(end_s, one + 1) - max(start_s, one)) for one in at_s)
        late = int(rng.poisson(truth.rps * parts[0] * stalled_s))
        canary = _drawn(rng, replace(truth, rps=truth.rps * parts[0]), 0.0)
        stable = _drawn(rng, Truth(truth.rps * parts[1]), 0.0)
        for name, compared in quantiles.items():
            requests, events = canary[name]
            seen = Table(requests + late, events + late, *stable[name])
            quantiles[name] = compared.updated([seen], LOOK_S)
        tests = {
            "all counts": [one.log_evidence_of_all(TOLERANCE) for one in quantiles.values()],
            "without the worst": [one.log_evidence(TOLERANCE) for one in quantiles.values()],
        }
        for name, odds in tests.items():
            if log_mean_exp(odds) + math.log(0.5) >= LIMIT:
                found.setdefault(name, end_s)
    return {name: found.get(name) for name in ("all counts", "without the worst")}


def cases() -> Iterator[tuple[str, Callable[[int], Times]]]:
    """Every case by name: releases with stalls, then harm that goes on."""
    for rps in (10, 100, 1000):
        for stalls in (1, 3, 5):
            yield f"alone, {rps} rps, {stalls} stalls", partial(alone, Truth(rps, stalls=stalls))
    for percent in (50, 95):
        for stalls in (3, 11):
            truth = Truth(5, percent, stalls, minutes=30)
            yield f"5 rps, {percent} % canary, about {stalls} stalls", partial(beside, truth)
    for rps in (10, 100):
        for name, canary in (("5 % fail", shares(errors=0.05)), ("1.6 times as slow", shares(1.6))):
            yield f"alone, {rps} rps, {name}", partial(alone, Truth(rps, canary=canary))
        late = Truth(rps, canary=shares(errors=0.05), from_s=300)
        yield f"alone, {rps} rps, 5 % fail from minute 5", partial(alone, late)
        yield f"alone, {rps} rps, 1 % fail", partial(alone, Truth(rps, canary=shares(errors=0.01)))
        yield f"alone, {rps} rps, all fail from minute 5", partial(alone, replace(late, canary=DOWN))
        yield f"alone, {rps} rps, stalls every 30 s", partial(alone, Truth(rps, every_s=30))
    for rps in (10, 100, 1000):
        for stalls in (0, 1, 3):
            yield f"slow, {rps} rps, 50 % canary, {stalls} stalls", partial(slower, Truth(rps, 50, stalls))
        yield f"slow, {rps} rps, 50 % canary, stalls every 30 s", partial(slower, Truth(rps, 50, every_s=30))
        for times in (1.1, 1.3, 2.0):
            truth = Truth(rps, 10, minutes=30, canary=shares(times))
            yield f"slow, {rps} rps, 10 % canary, {times:g} times as slow", partial(slower, truth)
    for percent, rps in ((50, 1), (95, 20)):
        truth = Truth(rps, percent, minutes=30, canary=shares(errors=0.03))
        yield f"{rps} rps, {percent} % canary, 3 % fail", partial(beside, truth)


def table(repetitions: int, chosen: Sequence[str] = ()) -> str:
    """The table of all cases, or of those whose names begin with one of ``chosen``."""
    lines = ["| case | rolled back, median |", "|---|---|"]
    for name, release in cases():
        if not chosen or name.startswith(tuple(chosen)):
            ends = [release(seed) for seed in range(repetitions)]
            lines.append(f"| {name} | {'; '.join(f'{rule}: {_told(ends, rule)}' for rule in ends[0])} |")
    return "\n".join(lines)


def _told(ends: Sequence[Times], rule: str) -> str:
    times = sorted(math.inf if (at := end[rule]) is None else at for end in ends)
    median = times[(len(times) - 1) // 2]
    shown = f", {median:.0f} s" if math.isfinite(median) else ""
    return f"{sum(math.isfinite(one) for one in times)} of {len(times)}{shown}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200, help="releases in each case")
    parser.add_argument("cases", nargs="*", help="the beginnings of names of cases; all without them")
    given = parser.parse_args()
    print(table(given.repetitions, given.cases))
