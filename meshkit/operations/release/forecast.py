"""Forecast a release from the current traffic of its service, without changing anything."""

from __future__ import annotations

import math
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING

from meshkit import settings
from meshkit.decide.baseline import MARGIN_QUANTILES, Baseline
from meshkit.decide.margins import percents
from meshkit.decide.plan import ReleaseForecast, release_forecast
from meshkit.errors import BadInput, NoData
from meshkit.facts import ArmCounts
from meshkit.observe.counters import Counters, Observer, window

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.clock import Clock

MEASURED_S = 15.0
"""How long the current traffic is measured from the sidecars' metrics endpoints at most, in seconds."""
LOOK_S = 3.0
ENOUGH_REQUESTS = 400
"""So many requests tell the rate to about 5 %, which is enough for a forecast; the measurement then ends."""
SCRAPED_S = 60.0
"""How long it is measured from Prometheus, whose counters change only at a scrape, usually every 15 s."""
MOST_RPS = 1e6
"""More requests a second than any service gets that a release shifts."""
ASSUMED_ERROR_SHARE, ASSUMED_P50_MS, ASSUMED_SIGMA = 0.001, 60.0, 0.6
"""The service to assume if none can be measured: 0.1 % failures, lognormal latencies, p99 of 242 ms."""


def forecast_release(
    release: Release,
    cluster: Cluster | None = None,
    *,
    mesh: str | None = None,
    rps: float | None = None,
    prometheus: str | None = None,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> ReleaseForecast:
    """Forecast how long a release takes, and whether it can pass and fail as written.

    With a cluster, the stable version is measured (latencies and failures since its callers' proxies started)
    until it has answered ENOUGH_REQUESTS, at most for MEASURED_S seconds, or for SCRAPED_S with Prometheus.
    ``rps`` replaces the measured requests per second; without a cluster it describes a typical service.
    ``prometheus`` is the URL of the Prometheus to query, as in ``plan_release``. Raises ``NoData`` if the
    traffic is unknown, and ``BadInput`` for an ``rps`` that is no rate.
    """
    from meshkit.observe.source import observer as observer_of
    from meshkit.operations.clock import SystemClock
    from meshkit.operations.release.route import find_route
    from meshkit.operations.which_mesh import mesh_of, named_mesh

    named_mesh(mesh)
    if rps is not None and not 0 < rps <= MOST_RPS:
        remedy = "Give the requests that the service gets in a second, or leave it out to measure them."
        raise BadInput("rps", f"{rps!r} is not a number above 0 and up to {MOST_RPS:,.0f}.", remedy=remedy)
    if cluster is None:
        if not rps:
            raise NoData("Without a cluster the traffic is unknown.", remedy="Give --rps.")
        return release_forecast(release, assumed_baseline(release), rps)
    mesh = mesh_of(cluster, mesh, (release.namespace,))
    observer = observer or observer_of(mesh, prometheus)
    found = find_route(mesh, release, cluster)
    found.require_usable()
    scraped = bool(prometheus or settings.prometheus())
    return measured_forecast(
        release, cluster, mesh, found.route, observer, clock or SystemClock(), scraped=scraped, rps=rps
    )


def measured_forecast(
    release: Release,
    cluster: Cluster,
    mesh: str,
    route: WeightedRoute,
    observer: Observer,
    clock: Clock,
    *,
    scraped: bool,
    rps: float | None = None,
) -> ReleaseForecast:
    """Forecast a release through a route from the traffic that is measured now.

    ``scraped`` says that the counters change only when Prometheus scrapes. Raises ``NoData`` if there is no
    traffic.
    """
    from meshkit.meshes import registry

    window_s = SCRAPED_S if scraped else MEASURED_S
    look_s = SCRAPED_S if scraped else LOOK_S
    counts, measured_rps = _measured(release, cluster, route, observer, clock, window_s, look_s)
    if not (rps or measured_rps):
        raise NoData(
            f"{release.stable} answered no request in {window_s:g} s.",
            remedy="Make sure that it gets traffic through its callers' proxies, or give --rps.",
        )
    slow_ms = release.objectives.slower_than_ms if release.objectives else None
    rate = rps or measured_rps
    answered_s = counts.requests / rate if counts.requests else 1.0
    baseline = Baseline.of(counts, answered_s, slow_ms)
    return release_forecast(release, baseline, rate, registry.mesh(mesh).metrics.buckets)


def assumed_baseline(release: Release) -> Baseline:
    """Return the baseline of a typical service: a million requests in buckets that carry its margins."""
    requests, usual = 1_000_000, NormalDist(math.log(ASSUMED_P50_MS), ASSUMED_SIGMA)
    below = {name: 0.995 * math.exp(usual.inv_cdf(quantile)) for name, quantile in MARGIN_QUANTILES}
    above = [ms * (1 + percents(release.margins)[name] / 100) for name, ms in below.items()]
    edges = sorted({*below.values(), *above, *(ASSUMED_P50_MS * 1.02**i for i in range(-60, 180))})
    errors = round(requests * ASSUMED_ERROR_SHARE)
    within = accumulate((round((requests - errors) * usual.cdf(math.log(e))) for e in edges), max)
    histogram = (*zip(edges, within, strict=True), (math.inf, requests - errors))
    slow_ms = release.objectives.slower_than_ms if release.objectives else None
    return Baseline.of(ArmCounts(requests, errors, histogram), seconds=10_000.0, slower_than_ms=slow_ms)


def _measured(
    release: Release,
    cluster: Cluster,
    route: WeightedRoute,
    observer: Observer,
    clock: Clock,
    window_s: float,
    look_s: float,
) -> tuple[ArmCounts, float]:
    """Return the stable version's counts since its callers' proxies started, and the current total rate."""
    from meshkit.operations.release.route import target_of

    target = target_of(release, route)
    versions = target.versions
    before = after = observer.counters(cluster, target)
    until_s = clock.now() + window_s
    now = window(before, after)
    while clock.now() < until_s and now.requests < ENOUGH_REQUESTS:
        clock.sleep(min(look_s, until_s - clock.now()))
        after = observer.counters(cluster, target)
        now = window(before, after)
    since_start = window(Counters(0.0, versions, {}), after)
    return since_start.arms[release.stable], now.requests / (now.end_s - now.start_s)
