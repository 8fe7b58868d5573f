"""What to expect of a release, from the traffic that its service has now. Only reads; nothing is changed."""

from __future__ import annotations

import math
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING

from meshkit import settings
from meshkit.decide.baseline import Baseline
from meshkit.decide.plan import ReleaseForecast, release_forecast
from meshkit.errors import NoData
from meshkit.facts import ArmCounts
from meshkit.observe.counters import Counters, Observer, Target, window

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.operations.clock import Clock

MEASURED_S = 15.0
"""How long the present traffic is measured on the sidecars' own pages, in seconds."""
SCRAPED_S = 60.0
"""How long by Prometheus, in seconds: its counters stand still between two scrapes, mostly for 15 s."""
ASSUMED_ERROR_SHARE, ASSUMED_P50_MS, ASSUMED_SIGMA = 0.001, 60.0, 0.6
"""A usual service, where none can be measured: 0.1 % failures, lognormal latencies with a p99 of 242 ms."""


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
    """How long a release will take, and whether it can pass and fail as written.

    With a cluster the stable version is measured for MEASURED_S seconds, by Prometheus for SCRAPED_S
    (latencies and failures since its callers' proxies started). ``rps`` stands for the measured requests a
    second, or, without a cluster, for a usual service. ``prometheus`` is the URL of the Prometheus to measure
    by, as in ``canary``. Raises NoData when neither tells the traffic.
    """
    from meshkit.observe.source import observer as observer_of
    from meshkit.operations.clock import SystemClock
    from meshkit.operations.which_mesh import mesh_of, said_mesh

    said_mesh(mesh)
    if cluster is None:
        if not rps:
            raise NoData("Without a cluster the traffic is not known.", remedy="Give --rps.")
        return release_forecast(release, assumed_baseline(release), rps)
    window_s = SCRAPED_S if prometheus or settings.prometheus() else MEASURED_S
    observer = observer or observer_of(mesh_of(cluster, mesh), prometheus)
    counts, measured_rps = _measured(release, cluster, observer, clock or SystemClock(), window_s)
    if not (rps or measured_rps):
        raise NoData(
            f"{release.stable} answered no request in {window_s:g} s.",
            remedy="See that it gets traffic through its callers' proxies, or give --rps.",
        )
    slow_ms = release.objectives.slower_than_ms if release.objectives else None
    rate = rps or measured_rps
    answered_s = counts.requests / rate if counts.requests else 1.0
    return release_forecast(release, Baseline.of(counts, answered_s, slow_ms), rate)


def assumed_baseline(release: Release) -> Baseline:
    """A usual service in buckets of a ratio of 1.1, as if it had answered 100,000 requests."""
    requests, edges = 100_000, [ASSUMED_P50_MS * 1.1**i for i in range(-20, 40)]
    errors = round(requests * ASSUMED_ERROR_SHARE)
    usual = NormalDist(math.log(ASSUMED_P50_MS), ASSUMED_SIGMA)
    within = accumulate((round((requests - errors) * usual.cdf(math.log(e))) for e in edges), max)
    histogram = (*zip(edges, within, strict=True), (math.inf, requests - errors))
    slow_ms = release.objectives.slower_than_ms if release.objectives else None
    return Baseline.of(ArmCounts(requests, errors, histogram), seconds=1000.0, slower_than_ms=slow_ms)


def _measured(
    release: Release, cluster: Cluster, observer: Observer, clock: Clock, window_s: float
) -> tuple[ArmCounts, float]:
    """What stable has answered since its callers' proxies started, and all requests a second now."""
    versions = (release.stable, release.canary)
    target = Target(release.namespace, release.service, release.port, versions)
    before = observer.counters(cluster, target)
    clock.sleep(window_s)
    after = observer.counters(cluster, target)
    now = window(before, after)
    since_start = window(Counters(0.0, versions, {}), after)
    return since_start.arms[release.stable], now.requests / (now.end_s - now.start_s)
