"""Forecast a release: how long each of its margins takes at this traffic, and whether it can end at all.

The steps of the ladder are evaluated at the rates that the traffic gives them; evidence that compares both
versions accumulates over all steps, evidence from the counts of each comes from the deciding one. A release
that cannot pass or cannot fail as written gets a finding whose remedy is a sufficient share, margin or time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from meshkit import codes
from meshkit.decide import forecast
from meshkit.decide.baseline import Baseline
from meshkit.decide.forecast import Rates
from meshkit.decide.formatting import percent, rate, seconds
from meshkit.decide.margins import LatencyMargin, edges_to_carry, least_provable_percent, watching
from meshkit.decide.thresholds import Yardstick
from meshkit.errors import NoData
from meshkit.facts import Finding

if TYPE_CHECKING:
    from meshkit.intent.release import Release

BucketSetting = Callable[[Sequence[float]], str]
"""A sentence that says how proxies are given these bucket edges in ms."""
OFFERED_MARGINS = (
    (0.2, 15.0),
    (0.2, 20.0),
    (0.5, 20.0),
    (0.5, 30.0),
    (1.0, 50.0),
    (2.0, 100.0),
    (5.0, 200.0),
)
"""Wider margins to offer: points of errors, and percent of latency."""
LONGEST_OFFER_S = 86_400.0
OFFERED_SHARE = 50.0
TYPICAL_HARM_PERCENT = 20.0


@dataclass(frozen=True)
class Statement:
    """One margin to be shown before the promotion.

    ``seconds`` count from the first weight; infinite means never. ``limit`` is in ``unit`` (``%`` longer, or
    ``points`` of failures); ``canary_requests`` are those until then.
    """

    name: str
    limit: float
    unit: str
    seconds: float
    canary_requests: float


@dataclass(frozen=True)
class Harm:
    """How soon after the first weight a canary that is worse in one way is rolled back."""

    name: str
    seconds: float


@dataclass(frozen=True)
class StepTime:
    """A step of the ladder and how long it is held; infinite: until the deadline."""

    percent: float
    seconds: float


@dataclass(frozen=True)
class ReleaseForecast:
    """The forecast of a release at ``rps`` requests per second; ``promote_s`` counts from the start.

    ``closer_edges_ms`` are the bucket edges that would carry its margins, if the present ones do not.
    """

    rps: float
    steps: tuple[StepTime, ...]
    statements: tuple[Statement, ...]
    harms: tuple[Harm, ...]
    promote_s: float
    findings: tuple[Finding, ...]
    label: str
    closer_edges_ms: tuple[float, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The forecast as a JSON-ready mapping; an infinite time is None."""
        findings = [finding.as_record() for finding in self.findings]
        return {**_finite(asdict(self)), "findings": findings}


def release_forecast(
    release: Release, baseline: Baseline, rps: float, buckets: BucketSetting | None = None
) -> ReleaseForecast:
    """Forecast a release whose stable version answers ``rps`` requests per second as in ``baseline``.

    ``buckets`` is how the mesh's proxies are given other latency buckets; None: unknown, or not at all.
    """
    if len(release.steps) < 2:
        raise NoData(
            f"How many requests {release.canary} gets before it is promoted is not known.",
            remedy="Start it: the release says how much longer it needs.",
        )
    baseline = watching(baseline, release.margins)
    yardstick = Yardstick.of(baseline, release)
    steps = _steps(release, rps)
    statements = tuple(_statements(release, yardstick, steps, rps))
    before_s = sum(step.seconds for step in steps[:-1])
    deciding_s = max(
        [steps[-1].seconds, release.soak_s - before_s, *(s.seconds - before_s for s in statements)]
    )
    steps = (*steps[:-1], StepTime(steps[-1].percent, deciding_s))
    promote_s = _measuring_s(release, rps) + before_s + deciding_s
    harms = tuple(_harms(yardstick, release, steps, rps))
    findings = (
        *_cannot_pass(release, yardstick, steps, statements, promote_s, rps),
        *_too_coarse(release, yardstick, buckets),
        *_cannot_fail(release, yardstick, steps, promote_s, rps),
    )
    carried = all(margin.carried for margin in yardstick.margins)
    edges = () if carried else edges_to_carry(yardstick.baseline, release.margins)
    return ReleaseForecast(rps, steps, statements, harms, promote_s, findings, yardstick.label, edges)


def _measuring_s(release: Release, rps: float) -> float:
    """Before the first share: the baseline, as long as asked for and until there are enough requests, and
    then the copies of requests.
    """
    mirrored_s = release.look_s + release.mirror.for_s if release.mirror else 0.0
    return mirrored_s + max(release.baseline_s, min(1000 / rps, max(30.0, 100 / rps))) if rps else math.inf


def _steps(release: Release, rps: float) -> tuple[StepTime, ...]:
    """The steps up to the deciding one: their own time, or the requests that they wait for.

    The canary's pods are new in the first step only.
    """
    found: list[StepTime] = []
    for share in release.steps[:-1]:
        canary_rps = rps * share / 100
        warm_up_s = 0.0 if found else release.warm_up_s
        requests_s = warm_up_s + release.min_requests / canary_rps if canary_rps else math.inf
        found.append(StepTime(share, release.look_s + max(release.step_s, requests_s)))
    return tuple(found)


def _statements(
    release: Release, yardstick: Yardstick, steps: Sequence[StepTime], rps: float
) -> list[Statement]:
    before_s = sum(step.seconds for step in steps[:-1])
    deciding = Rates.at(rps, steps[-1].percent)
    points = release.margins.error_points
    errors_s = before_s + forecast.error_seconds(yardstick, points, deciding)
    found = [_statement("errors", points, "points", errors_s, steps, rps)]
    for margin in yardstick.margins:
        took_s = _latency_s(release, yardstick, margin, steps, rps)
        found.append(_statement(margin.quantile, margin.percent, "%", took_s, steps, rps))
    return found


def _latency_s(
    release: Release, yardstick: Yardstick, margin: LatencyMargin, steps: Sequence[StepTime], rps: float
) -> float:
    """Seconds from the first weight until a margin of latency is shown, at the earliest in the last step."""
    before_s = sum(step.seconds for step in steps[:-1])
    p = yardstick.baseline.share_slower(margin.edge_ms)
    known = _information(p, steps[:-1], rps, yardstick, warm_up_s=release.warm_up_s)
    last = Rates.at(rps, steps[-1].percent)
    warm_up_s = 0.0 if len(steps) > 1 else release.warm_up_s
    return before_s + warm_up_s + forecast.latency_seconds(yardstick, margin, last, known)


def _information(
    p: float, steps: Sequence[StepTime], rps: float, yardstick: Yardstick, *, warm_up_s: float
) -> float:
    """What steps that were walked through have brought for events of share ``p``."""
    judged = [max(0.0, s.seconds - (0.0 if i else warm_up_s)) for i, s in enumerate(steps)]
    paired = sum(s * Rates.at(rps, step.percent).paired for s, step in zip(judged, steps, strict=True))
    return paired * p * (1 - p) / yardstick.dispersion if math.isfinite(paired) else 0.0


def _statement(
    name: str, limit: float, unit: str, took_s: float, steps: Sequence[StepTime], rps: float
) -> Statement:
    requests, left_s = 0.0, took_s
    for step in steps[:-1]:
        spent_s = min(left_s, step.seconds)
        requests, left_s = requests + spent_s * rps * step.percent / 100, left_s - spent_s
    requests += left_s * rps * steps[-1].percent / 100
    return Statement(name, limit, unit, took_s, requests)


def _harms(yardstick: Yardstick, release: Release, steps: Sequence[StepTime], rps: float) -> list[Harm]:
    """Typical harms: one point more errors, and latencies TYPICAL_HARM_PERCENT longer.

    About three watched edges show the latter.
    """
    weights, share = yardstick.weights, forecast.usual_error_share(yardstick)
    more = min(share + 0.01, 0.999)
    odds = math.log(more / (1 - more)) - math.log(share / (1 - share))
    kinds = [("errors +1 points", share, odds, weights.errors, 0.0)]
    for margin in yardstick.margins:
        shift = yardstick.baseline.margin_log_odds(margin.edge_ms, TYPICAL_HARM_PERCENT)
        p, weight = (
            yardstick.baseline.share_slower(margin.edge_ms),
            3 * weights.slower / len(yardstick.edges_ms),
        )
        name = f"{margin.quantile} +{percent(TYPICAL_HARM_PERCENT)}"
        kinds.append((name, p, shift, weight, release.warm_up_s))
    found = []
    for name, p, shift, weight, warm_up_s in kinds:
        found.append(Harm(name, _detection_s(yardstick, p, shift, weight, steps, rps, warm_up_s)))
    return found


def _detection_s(
    yardstick: Yardstick,
    share: float,
    log_odds: float,
    weight: float,
    steps: Sequence[StepTime],
    rps: float,
    warm_up_s: float,
) -> float:
    """Seconds from the first weight until a harm is detected; the last step has no end."""
    passed_s, left = 0.0, 1.0
    for step in steps:
        took_s = forecast.harm_seconds(yardstick, share, log_odds, weight, Rates.at(rps, step.percent))
        judged_s = step.seconds - warm_up_s if step is not steps[-1] else math.inf
        if left * took_s <= judged_s:
            return passed_s + warm_up_s + left * took_s
        passed_s, left = passed_s + step.seconds, left - max(0.0, judged_s) / took_s
        warm_up_s = 0.0
    return math.inf


def _cannot_pass(
    release: Release,
    yardstick: Yardstick,
    steps: Sequence[StepTime],
    statements: Sequence[Statement],
    promote_s: float,
    rps: float,
) -> list[Finding]:
    where, found = f"Release {release.namespace}/{release.name}", []
    if not yardstick.margins:
        message = "It cannot pass: no latency of the stable version was measured."
        return [codes.finding(codes.FORECAST_WITHOUT_BASELINE, where, message)]
    for margin in yardstick.margins:
        if margin.refused and margin.carried:
            message = (
                f"It cannot pass: {release.stable}'s own pods differ by as much as {margin.quantile} "
                f"{percent(margin.percent)}, so no traffic shows that margin."
            )
            remedy = f"Run more pods of {release.canary}, or widen margins.{margin.quantile}_percent."
            found.append(codes.finding(codes.MARGIN_BELOW_NOISE, where, message, remedy))
    for name in yardstick.unmet:
        message = f"The objective for {name} is left out: {release.stable} itself does not meet it."
        found.append(codes.finding(codes.OBJECTIVE_UNMET_BY_STABLE, where, message))
    if promote_s > release.deadline_s and not found and all(m.carried for m in yardstick.margins):
        late = max(statements, key=lambda s: s.seconds)
        needs = seconds(promote_s) if math.isfinite(promote_s) else "longer than a year"
        message = (
            f"It cannot pass as written: at {rate(rps)} requests a second a promotion needs {needs}, "
            f"most of it for {late.name}; the deadline is {seconds(release.deadline_s)}."
        )
        remedy = _offers(release, yardstick.baseline, rps)
        found.append(codes.finding(codes.TOO_LITTLE_TRAFFIC, where, message, remedy))
    return found


def _too_coarse(release: Release, yardstick: Yardstick, buckets: BucketSetting | None) -> Iterator[Finding]:
    """One finding for all margins that the proxies' buckets cannot carry, with the edges that would."""
    coarse = [margin for margin in yardstick.margins if not margin.carried]
    if not coarse:
        return
    provable = {m.quantile: least_provable_percent(yardstick.baseline, 1 - m.level) for m in coarse}
    least = {name: math.ceil(percent) for name, percent in provable.items() if math.isfinite(percent)}
    edges = edges_to_carry(yardstick.baseline, release.margins)
    names = ", ".join(f"{m.quantile} {percent(m.percent)}" for m in coarse)
    message = f"It cannot pass: the latency buckets are too wide to show {names}."
    smallest = ", ".join(f"margins.{name}_percent to {value}" for name, value in least.items())
    remedy = f"The smallest margins that they carry: set {smallest}. " if least else ""
    remedy += (
        buckets(edges) if buckets else "Their proxies' buckets are fixed, so only wider margins can be shown."
    )
    where = f"Release {release.namespace}/{release.name}"
    yield codes.finding(codes.MARGIN_BELOW_BUCKETS, where, message, remedy)


def _offers(release: Release, baseline: Baseline, rps: float) -> str:
    """The share, the margin and the time that would each suffice by itself."""
    offers = []
    shared = release.model_copy(update={"steps": _with_share(release.steps)})
    if shared.steps != release.steps and (at_s := _promotes_s(shared, baseline, rps)) <= release.deadline_s:
        offers.append(f"a step of {percent(OFFERED_SHARE)} before the promotion ({seconds(at_s)})")
    for points, wider in OFFERED_MARGINS:
        margins = release.margins
        wide = {f"p{q}_percent": max(wider, getattr(margins, f"p{q}_percent")) for q in (50, 90, 99)}
        wide["error_points"] = max(points, margins.error_points)
        other = release.model_copy(update={"margins": margins.model_copy(update=wide)})
        if (at_s := _promotes_s(other, baseline, rps)) <= release.deadline_s:
            errors = f"+{wide['error_points']:g} points for errors"
            offers.append(f"margins of {errors} and {percent(wider)} for latency ({seconds(at_s)})")
            break
    at_s = _promotes_s(release, baseline, rps)
    if at_s <= LONGEST_OFFER_S:
        offers.append(f"deadline_s of {math.ceil(at_s / 60) * 60}")
    if not offers:
        return "Send it more traffic, or declare objectives that judge it without a comparison."
    return f"What would do: {'; or '.join(offers)}."


def _with_share(steps: Sequence[float]) -> tuple[float, ...]:
    """The steps with OFFERED_SHARE as the deciding one, if that is nearer to half than theirs."""
    if abs(steps[-2] - OFFERED_SHARE) < 1:
        return tuple(steps)
    return (*(s for s in steps if s < OFFERED_SHARE), OFFERED_SHARE, 100.0)


def _promotes_s(release: Release, baseline: Baseline, rps: float) -> float:
    yardstick = Yardstick.of(watching(baseline, release.margins), release)
    steps = _steps(release, rps)
    before_s = sum(step.seconds for step in steps[:-1])
    needed = [s.seconds for s in _statements(release, yardstick, steps, rps)]
    return _measuring_s(release, rps) + max([before_s + steps[-1].seconds, release.soak_s, *needed])


def _cannot_fail(
    release: Release, yardstick: Yardstick, steps: Sequence[StepTime], promote_s: float, rps: float
) -> list[Finding]:
    """Whether the release would end before a canary that fails every request is detected."""
    where = f"Release {release.namespace}/{release.name}"
    ends_s = min(promote_s, release.deadline_s) - _measuring_s(release, rps)
    share = forecast.usual_error_share(yardstick)
    every = math.log(0.99 / 0.01) - math.log(share / (1 - share))
    if _detection_s(yardstick, share, every, yardstick.weights.errors, steps, rps, 0.0) <= ends_s:
        return []
    message = (
        f"It cannot fail as written: at {rate(rps)} requests a second not even a canary that fails every "
        "request is found before the release is over."
    )
    return [codes.finding(codes.HARM_UNDETECTED, where, message)]


def _finite(value: Any) -> Any:
    """The same value with None for every infinite number."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and math.isinf(value) else value
