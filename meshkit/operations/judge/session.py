"""Measure one release that another tool shifts, in a thread of its own, and keep the latest verdict."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshkit.decide.rollouts.rollout import Rollout
from meshkit.decide.sentences import refused
from meshkit.decide.summary import held
from meshkit.decide.verdict import Verdict
from meshkit.errors import BadInput, MeshkitError
from meshkit.observe.counters import Counters, Observer, window
from meshkit.operations.release.baseline import newest_pod_s, ready_pods
from meshkit.operations.release.route import find_route, target_of, weights_of
from meshkit.operations.release.running.pod_zones import PodZones

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.clock import Clock

STALE_S, STALE_LOOKS = 60.0, 10
"""A judgement is old after so many seconds, or so many times ``look_s``, whichever is longer."""


@dataclass(frozen=True)
class Judgement:
    """The latest verdict: on the present step, and on the promotion.

    ``shown``: the margins were shown before the canary had all requests. ``canary_percent`` is the share that
    the route gives the canary, None if it could not be read; ``baseline``: stable was measured; ``begun``:
    the canary gets requests; ``taken_s`` is when it was measured (seconds since the epoch, 0: not yet).
    """

    release: Release
    step: Verdict
    promotion: Verdict
    shown: bool
    canary_percent: float | None
    baseline: bool
    begun: bool
    taken_s: float


class Session:
    """One release: ``look`` measures once, ``run`` until it is stopped; ``judgement`` may be read meanwhile.

    A look that fails holds the release with the reason, whatever the reason is.
    """

    _zones: PodZones

    def __init__(
        self, release: Release, cluster: Cluster, *, mesh: str, observer: Observer, clock: Clock
    ) -> None:
        self.release, self._cluster, self._mesh = release, cluster, mesh
        self._observer, self._clock = observer, clock
        self._rollout = Rollout(release)
        self._route: WeightedRoute | None = None
        self._before: Counters | None = None
        self._since_s = self._began_s = clock.now()
        self._percent: float | None = None
        self.judgement = self._judged(0.0)

    def look(self) -> Judgement:
        """Measure the time since the last look, and judge it."""
        try:
            self._measure()
        except MeshkitError as problem:
            self._hold(str(problem))
        except Exception as problem:
            self._hold(f"{type(problem).__name__}: {problem}. This is a bug in meshkit")
        self.judgement = self._judged(self._since_s)
        return self.judgement

    def run(self, stop: threading.Event) -> None:
        """Look every ``look_s`` seconds of the release until ``stop`` is set."""
        while not stop.is_set():
            began_s = self._clock.now()
            self.look()
            stop.wait(max(0.0, began_s + self.release.look_s - self._clock.now()))

    def latest(self) -> Judgement:
        """The latest judgement; one that holds the release if it is old, for example if a request hangs."""
        found = self.judgement
        age_s = self._clock.now() - (found.taken_s or self._began_s)
        if age_s <= max(STALE_S, STALE_LOOKS * self.release.look_s) or found.step.action == "rollback":
            return found
        reason = f"nothing was measured in the last {age_s:.0f} s"
        step, promotion = (
            replace(each, action="continue", summary=held(reason), sentences=refused(reason))
            for each in (found.step, found.promotion)
        )
        return replace(found, step=step, promotion=promotion)

    def _hold(self, reason: str) -> None:
        self._route, self._percent = None, None  # The other tool may have replaced the route: find it again.
        now_s = self._clock.now()
        self._rollout.hold(self._since_s, now_s, reason)
        self._since_s = now_s

    def _measure(self) -> None:
        if self._route is None:
            found = find_route(self._mesh, self.release, self._cluster)
            found.require_usable()
            self._route = found.route
            self._zones = PodZones(self._cluster, self.release, found.route)
        route = self._route
        self._percent = self._read_percent(route)
        counters = self._observer.counters(self._cluster, target_of(self.release, route))
        before, self._before = self._before, counters.following(self._before)
        if before is None:
            self._since_s = counters.taken_s
            return
        samples = window(before, self._before)
        self._since_s = samples.end_s
        self._rollout.add(
            replace(self._zones.of(samples), asked_percent=self._percent),
            self._zones.placement,
            newest_pod_s(self._cluster, self.release, route) if self._rollout.begun else 0.0,
            lambda: ready_pods(self._cluster, self.release, route),
        )

    def _read_percent(self, route: WeightedRoute) -> float:
        """The canary's share in percent, as the route gives it now. Raises ``BadInput`` if it is gone."""
        obj = self._cluster.api.get(route.kind, route.name, route.namespace)
        if obj is None:
            raise BadInput("release.service", f"{route} does not exist any more.", remedy="Create it again.")
        return round(weights_of(obj, route, self.release).canary_percent, 2)

    def _judged(self, taken_s: float) -> Judgement:
        rollout = self._rollout
        return Judgement(
            self.release,
            rollout.verdict(),
            rollout.verdict(for_promotion=True),
            rollout.shown,
            self._percent,
            rollout.baseline is not None,
            rollout.begun,
            taken_s,
        )
