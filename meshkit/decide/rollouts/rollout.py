"""Follow a rollout whose weights another tool shifts, and judge every window of it as a release does.

A rollout begins when the canary is given a share, and ends when that share is 0 again. Between rollouts the
stable version is measured over and over, so that a baseline is there when the next one begins. The other tool
keeps its own deadline, its own steps and what follows the promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from meshkit.decide.admission.unreached import Attribution, ReadyPods
from meshkit.decide.admission.warm_pods import PodAges
from meshkit.decide.admission.zones import Zones
from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.ladder import agreeing
from meshkit.decide.rollouts.baseline_meter import BaselineMeter, PodCounts
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.decide.thresholds import Yardstick
from meshkit.decide.verdict import Progress, Verdict
from meshkit.errors import BadInput, NoData
from meshkit.facts import Samples

if TYPE_CHECKING:
    from meshkit.intent.release import Release

NEVER_S = 1e9
"""A deadline that does not pass: three decades."""


class Rollout:
    """One release that another tool shifts; ``add`` takes one window after the other.

    ``release`` is the release as it is judged: without a deadline, and without a watch after the promotion.
    """

    _evidence: Evidence
    _attribution: Attribution
    _percent: float

    def __init__(self, release: Release) -> None:
        if release.lead_in:
            field = "steps" if release.lead_in[0] == "testers" else release.lead_in[0]
            raise BadInput(
                f"release.{field}",
                "a rollout of another program is judged by its shares alone.",
                remedy="Leave it out, with a step below 100; 'meshkit release run' carries it out.",
            )
        own = {"deadline_s": NEVER_S, "watch_s": 0.0, "keep_percent": 0.0, "at_deadline": "hold"}
        self.release = release.model_copy(update={**own, "on_harm": "rollback", "gates": (), "testers": None})
        self.baseline: Baseline | None = None
        self._start_over()

    @property
    def begun(self) -> bool:
        """Whether the canary gets a share now."""
        return self._step >= 0

    def add(
        self,
        samples: Samples,
        pods: PodCounts,
        newest_pod_s: float = 0.0,
        ready: Callable[[], ReadyPods] = ReadyPods,
    ) -> Verdict:
        """Add one window and return the verdict after it.

        ``newest_pod_s`` is when the newest pod of either version started (seconds since the epoch, 0: not
        known); it counts where the samples do not tell pods apart. ``ready`` counts the ready pods of both.
        """
        self._follow(samples)
        versions = (self.release.stable, self.release.canary)
        share = self._percent if self.begun else 0.0
        self._attribution, samples = self._attribution.charged(samples, versions, share, ready)
        try:
            look = self._look_of(samples, newest_pod_s)
        except NoData as problem:
            return self.hold(samples.start_s, samples.end_s, str(problem))
        if self.begun and self.baseline is not None:
            self._count(look)
        else:
            self._evidence = self._evidence.updated(replace(look, step=-1))
            if not self._evidence.refused:
                self._measure(samples, pods)
        return self._judge(samples.end_s)

    def hold(self, start_s: float, end_s: float, reason: str) -> Verdict:
        """Add a window in which nothing could be measured, and return the verdict after it."""
        nothing = ArmWindow(slower=(0,) * len(self._evidence.yardstick.edges_ms))
        look = self._window(start_s, end_s, nothing, nothing, warming=False)
        self._evidence = self._evidence.updated(replace(look, refused=reason.rstrip(".")))
        return self._judge(end_s)

    def verdict(self, *, for_promotion: bool = False) -> Verdict:
        """The verdict after the latest window: whether the next step may follow.

        ``for_promotion``: whether the canary may get all requests, whatever the present step is. A rollback
        stays one until the rollout ends.
        """
        if self._rolled_back:
            return self._rolled_back
        step = max(self._step, self.release.deciding_step) if for_promotion and self.begun else self._step
        agreed_s = None if self._agreed_s is None else max(0.0, self._now_s - self._agreed_s)
        elapsed_s = self._now_s - self._began_s if self.begun else 0.0
        early = step == len(self.release.ladder) - 1 and not self.shown
        return judge(self._evidence, self.release, Progress(step, agreed_s, elapsed_s, forced=early))

    def _start_over(self) -> None:
        yardstick = Yardstick.of(self.baseline or Baseline(()), self.release)
        self._evidence = Evidence.start(yardstick)
        self._meter, self._ages = BaselineMeter(self.release), PodAges()
        self._attribution = Attribution()
        self._step, self._percent, self._before_percent = -1, 0.0, 0.0
        self._began_s = self._shifted_s = self._now_s = 0.0
        self._agreed_s: float | None = None
        self._seen: list[tuple[int, int]] = []
        self._rolled_back: Verdict | None = None
        self.shown = False
        """Whether the margins were shown while the canary had less than all requests."""

    def _follow(self, samples: Samples) -> None:
        """Begin, end, or go to another step, as the canary's share says."""
        percent = samples.asked_percent
        if percent is None:
            served = self.begun or samples.arms[self.release.canary].requests > 0
            percent = self.release.steps[-2] if served else 0.0
        if percent <= 0:
            if self.begun:
                self.baseline = None
                self._start_over()
            return
        if not self.begun:
            self._began_s = samples.start_s
            self._evidence = self._started()
        if not self.begun or percent != self._percent:
            self._before_percent, self._percent = self._percent, percent
            self._step, self._shifted_s, self._agreed_s = self._step_of(percent), samples.start_s, None
            self._seen = []

    def _started(self) -> Evidence:
        """The evidence before the first window that counts; without a baseline none does."""
        evidence = Evidence.start(Yardstick.of(self.baseline or Baseline(()), self.release))
        if self.baseline is not None:
            return evidence
        stable, canary = self.release.stable, self.release.canary
        return replace(
            evidence, refused=f"{stable} was not measured before {canary} got requests; it is measured now"
        )

    def _step_of(self, percent: float) -> int:
        """The step of the release to which a share belongs: the last that is not above it."""
        if percent >= 100:
            return len(self.release.ladder) - 1
        below = [i for i, step in enumerate(self.release.steps[:-1]) if step <= percent + 0.05]
        return below[-1] if below else 0

    def _look_of(self, samples: Samples, newest_pod_s: float) -> SampleWindow:
        release, edges = self.release, self._evidence.yardstick.edges_ms
        versions = (release.stable, release.canary)
        from_s = samples.start_s - (0.0 if self.begun else release.warm_up_s)
        self._ages = self._ages.seen(samples, from_s=from_s)
        warm = self._ages.warm(samples, versions, release.warm_up_s)
        young = self._ages.young(samples, release.warm_up_s)
        zones = Zones.of(samples, versions, young) if warm else Zones()
        judged = zones.judged(warm) if warm else None
        stable, canary = (
            ArmWindow.of(
                samples.arms[each],
                edges,
                samples.arms[each],
                judged[each] if judged else None,
                samples.unreached.get(each, 0),
            )
            for each in versions
        )
        if warm is not None:
            warming = bool(canary.requests and not warm[release.canary].requests)
        else:
            warming = samples.start_s - release.warm_up_s < max(self._shifted_s, newest_pod_s)
        look = self._window(samples.start_s, samples.end_s, stable, canary, warming=warming)
        return replace(look, zones=zones.windows(versions, edges), note=zones.note)

    def _window(
        self, start_s: float, end_s: float, stable: ArmWindow, canary: ArmWindow, *, warming: bool
    ) -> SampleWindow:
        return SampleWindow(
            start_s=start_s,
            end_s=end_s,
            step=self._step,
            asked_percent=self._percent,
            agreed=self._agreed_s is not None,
            warming=warming,
            stable=stable,
            canary=canary,
        )

    def _measure(self, samples: Samples, pods: PodCounts) -> None:
        """Measure the stable version; a new baseline replaces the last one."""
        try:
            found = self._meter.measured(samples, pods)
        except ValueError:  # The proxies' buckets have changed: measure from here.
            self._meter = BaselineMeter(self.release)
            return
        if found is not None:
            self.baseline, self._meter = found, BaselineMeter(self.release)
        if self.begun:
            self._evidence = self._started()
        elif found is not None:
            self._evidence, self._ages = Evidence.start(Yardstick.of(found, self.release)), PodAges()

    def _count(self, look: SampleWindow) -> None:
        self._evidence = self._evidence.updated(look)
        if self._evidence.refused or self._agreed_s is not None:
            return
        self._seen.append((look.stable.requests + look.canary.requests, look.canary.requests))
        if agreeing(self._seen, self._percent, self._before_percent):
            self._agreed_s = look.end_s

    def _judge(self, now_s: float) -> Verdict:
        self._now_s = now_s
        found = self.verdict()
        if found.action == "rollback":
            self._rolled_back = found
        elif 0 <= self._step <= self.release.deciding_step:
            self.shown = self.verdict(for_promotion=True).action == "promote"
        return found
