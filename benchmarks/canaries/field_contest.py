"""``python -m benchmarks.canaries.field_contest``: releases over the traffic of field.py, as a table.

A promise fails when the interval of what was measured excludes it: at most 5 % of releases outside a margin
are promoted, and at most 5 % of good ones rolled back.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.canaries.field import BUCKETS, LOOK_S, SHAPES, Pod, Version
from benchmarks.canaries.field_release import Case, End, baseline_of, run
from benchmarks.canaries.results import share_interval
from meshkit.decide.margins import least_provable_percent
from meshkit.intent.release import Margins

MOST_PERCENT = 5.0
SAMPLE, SAMPLED = 4, ("idle stable", "cold pods", "p99 outside", "alone")
FAILURES = (0.001, 0.01, 0.03, 0.1)
SLOWER_ZONES = {"b": 1.2}
ZONES = {
    "alike": ("abcabcabc", "abc"),
    "canary in the slow one": ("aaaabbbb", "bb"),
    "canary in the fast one": ("aaaabbbb", "aa"),
    "one stable pod in the slow one": ("aaaaaaab", "bb"),
    "few pods": ("abc", "b"),
}
"""The zone of each pod of stable and of the canary."""
OUTSIDE = 1.02
"""How far outside a margin the releases lie that must not be promoted, as a factor of the margin."""


def cases() -> Iterator[tuple[Case, bool]]:
    """Every case, and whether its canary is worse than a margin."""
    for shape in SHAPES:
        for buckets in BUCKETS:
            margins = provable(shape, buckets)
            here = partial(Case, shape=shape, buckets=buckets, margins=margins, look_s=30.0, baseline_s=0.0)
            yield here("good", _good), False
            yield here("good, both 10 % slower than at the baseline", _moved), False
            for share in FAILURES:
                yield here(f"errors {100 * share:g} % +0.21 points", partial(_failing, share)), True
            yield here("p50 outside", partial(_slower, 1 + OUTSIDE * margins.p50_percent / 100)), True
            yield here("p99 outside", partial(_longer_tail, 1 + OUTSIDE * margins.p99_percent / 100)), True
    watched = partial(Case, percent=95.0, watched=True, look_s=30.0)
    yield watched("idle stable 10 % faster", partial(_idle, 1.1)), False
    yield watched("idle stable 5 % faster", partial(_idle, 1.05)), False
    for percent in (1.0, 0.2):
        yield watched(f"leak of {percent:g} % a minute", partial(_leaking, percent)), True
    alone = partial(Case, percent=100.0, alone=True, minutes=10.0)
    yield alone("alone, a stall of a second", _stalled), False
    yield Case("cold pods", _cold, look_s=30.0, minutes=30.0), False
    yield Case("pods differ 2 %", _unlike, look_s=30.0, minutes=30.0), False
    coarse = partial(Case, buckets="Istio", margins=provable("lognormal", "Istio"), look_s=30.0)
    for name, (stable, canary) in ZONES.items():
        placed = partial(_in_zones, stable, canary)
        yield Case(f"zones, {name}", partial(placed, 1.0, 0.0), look_s=30.0), False
        yield coarse(f"zones, {name}", partial(placed, 1.0, 0.0)), False
        yield Case(f"zones, {name}, pods differ 2 %", partial(placed, 1.0, 0.02), look_s=30.0), False
        yield Case(f"zones, {name}, outside", partial(placed, 1 + OUTSIDE * 0.1, 0.0), look_s=30.0), True


def provable(shape: str, buckets: str) -> Margins:
    """The default margins, or the smallest that these buckets carry."""
    baseline = baseline_of(
        Case("margins", _good, shape, buckets, rps=1000.0, baseline_s=0.0), np.random.default_rng(1)
    )
    found = {}
    for name, quantile in (("p50_percent", 0.5), ("p90_percent", 0.9), ("p99_percent", 0.99)):
        least = least_provable_percent(baseline, quantile)
        found[name] = max(10.0, math.ceil(least + 3)) if math.isfinite(least) else 1000.0
    return Margins(**found)


def table(
    repetitions: int, chosen: Sequence[str] = (), *, kept: Path | None = None, nulls: bool = False
) -> tuple[str, list[str]]:
    """The table of all cases (or of those whose names begin with one of ``chosen``), and broken promises.

    ``kept`` is a file that keeps each case as it is finished, and gives the releases of earlier runs.
    ``nulls``: only cases whose canary is good; they come first in any case.
    """
    known = json.loads(kept.read_text()) if kept and kept.exists() else {}
    rows, broken = [], []
    for case, bad in sorted(cases(), key=lambda each: each[1]):
        if (chosen and not case.name.startswith(tuple(chosen))) or (nulls and bad):
            continue
        name = f"{case.name}, {case.shape}, {case.buckets}"
        ends = [End(action, math.inf if s is None else s) for action, s in known.get(name, ())]
        ends += [run(case, seed) for seed in range(len(ends), repetitions)]
        if kept:
            known[name] = [(end.action, end.seconds if math.isfinite(end.seconds) else None) for end in ends]
            kept.write_text(json.dumps(known))
        wrong = sum(end.action == ("promote" if bad else "rollback") for end in ends)
        if 100 * share_interval(wrong, len(ends))[0] > MOST_PERCENT:
            broken.append(f"{name}: {wrong} of {len(ends)} wrong")
        rows.append((-wrong / len(ends), _line(case, ends)))
    rows.sort(key=lambda row: row[0])
    head = ["| case | latencies, buckets | promoted | rolled back | median |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(line for _, line in rows)]), broken


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=SAMPLE, help="releases in each case")
    parser.add_argument("--all", action="store_true", help="every case instead of a sample")
    parser.add_argument("--nulls", action="store_true", help="only good canaries")
    parser.add_argument("--out", type=Path, help="keep the releases as JSON, and go on there")
    given = parser.parse_args(arguments)
    chosen = () if given.all else SAMPLED
    text, broken = table(given.repetitions, chosen, kept=given.out, nulls=given.nulls)
    print(text)
    print("\nBroken promises: " + ("none" if not broken else "; ".join(broken)))
    return 1 if broken else 0


def _line(case: Case, ends: Sequence[End]) -> str:
    shares = []
    for action in ("promote", "rollback"):
        count = sum(end.action == action for end in ends)
        low, high = share_interval(count, len(ends))
        shares.append(f"{count} of {len(ends)} [{100 * low:.2g}, {100 * high:.3g}]")
    median = sorted(end.seconds for end in ends)[(len(ends) - 1) // 2]
    shown = f"{median:.0f} s" if math.isfinite(median) else "-"
    return f"| {case.name} | {case.shape}, {case.buckets} | {shares[0]} | {shares[1]} | {shown} |"


def _pods(count: int) -> tuple[Pod, ...]:
    return (Pod(),) * count


def _good(_: np.random.Generator) -> tuple[Version, Version]:
    return Version(_pods(8)), Version(_pods(2))


def _moved(_: np.random.Generator) -> tuple[Version, Version]:
    def slower(at_s: float) -> float:
        return 1.1 if at_s >= 0 else 1.0

    return Version(_pods(8), slower=slower), Version(_pods(2), slower=slower)


def _failing(share: float, _: np.random.Generator) -> tuple[Version, Version]:
    return Version(errors=lambda _: share), Version(errors=lambda _: share + 0.0021)


def _slower(times: float, _: np.random.Generator) -> tuple[Version, Version]:
    return Version(), Version(slower=lambda _: times)


def _longer_tail(times: float, _: np.random.Generator) -> tuple[Version, Version]:
    return Version(), Version(tail=times)


def _idle(times: float, _: np.random.Generator) -> tuple[Version, Version]:
    return Version(_pods(8), slower=lambda _: 1 / times), Version(_pods(8))


def _leaking(percent: float, _: np.random.Generator) -> tuple[Version, Version]:
    """The canary becomes slower by so many percent a minute."""
    return Version(_pods(8)), Version(_pods(8), slower=lambda at_s: 1 + percent / 100 * at_s / 60)


def _cold(_: np.random.Generator) -> tuple[Version, Version]:
    return Version(_pods(8)), Version((Pod(since_s=0.0, cold=0.6, warm_in_s=30.0),) * 2)


def _in_zones(
    stable: str, canary: str, times: float, spread: float, rng: np.random.Generator
) -> tuple[Version, Version]:
    """Pods in zones a, b and c, of which b is 20 % slower; besides they differ by ``spread``, and the canary
    is so many times as slow.
    """
    pods = [
        tuple(Pod(SLOWER_ZONES.get(z, 1.0) * math.exp(rng.normal(0, spread)), zone=z) for z in zones)
        for zones in (stable, canary)
    ]
    return Version(pods[0]), Version(pods[1], slower=lambda _: times)


def _stalled(rng: np.random.Generator) -> tuple[Version, Version]:
    """Within ten minutes all requests of one second fail, in whichever look it falls."""
    look = int(rng.integers(60))
    stalled = Version(errors=lambda at_s: 1 / LOOK_S if at_s // LOOK_S == look else 0.001)
    return Version(errors=lambda _: 0.001), stalled


def _unlike(rng: np.random.Generator) -> tuple[Version, Version]:
    stable, canary = (
        tuple(Pod(float(slower)) for slower in np.exp(rng.normal(0, 0.02, count))) for count in (8, 2)
    )
    return Version(stable), Version(canary)


if __name__ == "__main__":
    sys.exit(main())
