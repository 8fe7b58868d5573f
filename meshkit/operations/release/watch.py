"""Current metrics of the two versions of a service, whether or not a release is running.

A running release stores its sample windows in the journal; before and after it, a ``Watch`` samples by
itself. Both are sample windows of the same kind, merged by time, so one chart shows requests shifted by hand
and by a release. A watch only reads. Any number of them, in any kernel or on any machine, shows the same
releases, because these come from the cluster.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.decide.admission.unreached import Attribution
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.errors import BadInput, NoData, UnknownName
from meshkit.observe.counters import Counters, Target, window
from meshkit.observe.source import observer as observer_of
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.release.route import find_route, route_object, route_of, target_of, weights_of
from meshkit.operations.release.runner import release_state
from meshkit.operations.which_mesh import mesh_of

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.release.state.model import ReleaseState

RECENT_S = 6.0
"""Displayed quantiles cover this many seconds: at 1 request per second, fewer have too few requests."""
KEPT_LOOKS = 900
"""Number of own sample windows to keep: half an hour at one every two seconds."""


@dataclass(frozen=True)
class Watched:
    """A snapshot for views.

    ``canary_percent`` is the share set in the route; ``problem`` says what could not be read.
    """

    taken_s: float
    looks: tuple[SampleWindow, ...]
    state: ReleaseState | None
    canary_percent: float | None
    problem: str = ""


class Watch:
    """Periodic samples of one service; call ``look`` every second or two, from one thread at a time."""

    def __init__(
        self, release: Release, cluster: Cluster, *, mesh: str | None = None, clock: Clock | None = None
    ) -> None:
        self.release, self.cluster, self.mesh = release, cluster, mesh_of(cluster, mesh, (release.namespace,))
        self._clock = clock or SystemClock()
        self._observer = observer_of(self.mesh)
        self._found: WeightedRoute | None = None
        self._counters: deque[Counters] = deque(maxlen=60)
        self._attribution = Attribution()
        self._own: deque[SampleWindow] = deque(maxlen=KEPT_LOOKS)

    def look(self) -> Watched:
        """Read the release, the route and the counters.

        Missing parts are None, with an explanation in ``problem``.
        """
        state = self._state()
        route = self._route(state)
        percent = self._canary_percent(route)
        problem = self._measure(target_of(self.release, route), percent or 0.0)
        looks = together(tuple(self._own), tuple(judged.look for judged in state.looks) if state else ())
        return Watched(self._clock.now(), looks, state, percent, problem)

    def _state(self) -> ReleaseState | None:
        try:
            return release_state(self.release.name, self.cluster)
        except UnknownName:
            return None

    def _route(self, state: ReleaseState | None) -> WeightedRoute:
        """Return the route of the release, else the one that a release would find; it is found once."""
        if state is not None:
            return route_of(state.route)
        if self._found is None:
            try:
                self._found = find_route(self.mesh, self.release, self.cluster).route
            except BadInput:
                return route_object(self.mesh, self.release)
        return self._found

    def _canary_percent(self, place: WeightedRoute) -> float | None:
        route = self.cluster.api.get(place.kind, place.name, place.namespace)
        return weights_of(route, place, self.release).canary_percent if route else None

    def _measure(self, target: Target, percent: float) -> str:
        try:
            before = self._counters[-1] if self._counters else None
            now = self._observer.counters(self.cluster, target).following(before)
            now.require_counts()
            if before:
                earlier = next((c for c in self._counters if c.taken_s >= now.taken_s - RECENT_S), before)
                self._own.append(self._between(before, earlier, now, percent))
        except NoData as problem:
            return str(problem)
        self._counters.append(now)
        return ""

    def _between(self, before: Counters, earlier: Counters, now: Counters, percent: float) -> SampleWindow:
        versions = (self.release.stable, self.release.canary)
        self._attribution, counted = self._attribution.charged(window(before, now), versions, percent)
        recent = window(earlier, now)
        stable, canary = (
            ArmWindow.of(
                counted.arms[version],
                (),
                recent.arms[version],
                unreached=counted.unreached.get(version, 0),
            )
            for version in versions
        )
        return SampleWindow(
            start_s=counted.start_s,
            end_s=counted.end_s,
            step=-1,
            asked_percent=percent,
            agreed=True,
            warming=False,
            stable=stable,
            canary=canary,
        )


def together(own: tuple[SampleWindow, ...], released: tuple[SampleWindow, ...]) -> tuple[SampleWindow, ...]:
    """Merge sample windows by time: those of a release, and the watch's own before and after it."""
    if not released:
        return own
    first_s, last_s = released[0].start_s, released[-1].end_s
    before = tuple(look for look in own if look.end_s <= first_s)
    after = tuple(look for look in own if look.start_s >= last_s)
    return (*before, *released, *after)
