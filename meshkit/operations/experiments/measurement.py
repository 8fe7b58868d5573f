"""Samples of an experiment: what each caller sent to each version since the previous reading.

A caller is the workload whose proxy counted the requests. Prometheus does not tell from which pod of the
cluster a series is, so there the caller is ``all``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meshkit.facts import ArmCounts
from meshkit.kube.kinds import POD
from meshkit.kube.pods import workload
from meshkit.observe.counters import Counters, Observer, Target, window
from meshkit.observe.scrape import ScrapeObserver
from meshkit.operations.experiments.recording import NO_VERSION

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

ALL_CALLERS = "all"


@dataclass(frozen=True)
class CallerCounts:
    """The requests of a caller to a version of a service, between two times (seconds since the epoch)."""

    start_s: float
    end_s: float
    service: str
    version: str
    caller: str
    counts: ArmCounts


@dataclass
class Meter:
    """Reads the counters of some services, one reading after the other; not from two threads at once."""

    cluster: Cluster
    observer: Observer
    targets: Sequence[Target]
    _before: dict[str, Counters] = field(default_factory=dict)
    _callers: dict[str, str] = field(default_factory=dict)

    def read(self) -> list[CallerCounts]:
        """The requests since the previous reading; none at the first. Raises ``NoData``."""
        found: list[CallerCounts] = []
        for target, counters in zip(self.targets, self._counters(), strict=True):
            before = self._before.get(target.service)
            now = counters.following(before)
            now.require_counts()
            self._before[target.service] = now
            if before is not None:
                found += self._between(target, before, now)
        return found

    def _counters(self) -> list[Counters]:
        """A reading for each target; the sidecars' pages are read once for all of them."""
        if isinstance(self.observer, ScrapeObserver):
            return self.observer.counters_of(self.cluster, self.targets)
        return [self.observer.counters(self.cluster, target) for target in self.targets]

    def _between(self, target: Target, before: Counters, now: Counters) -> list[CallerCounts]:
        by_caller: dict[str, list[str]] = {}
        for proxy, page in now.pages.items():
            if page:
                by_caller.setdefault(self._caller(proxy), []).append(proxy)
        found = []
        for caller, proxies in sorted(by_caller.items()):
            samples = window(_only(before, proxies), _only(now, proxies))
            arms = dict(samples.arms)
            if lost := samples.unreached.get("", 0):
                arms[NO_VERSION] = ArmCounts(lost, lost)
            found += [
                CallerCounts(before.taken_s, now.taken_s, target.service, version, caller, counts)
                for version, counts in arms.items()
                if counts.requests
            ]
        return found

    def _caller(self, proxy: str) -> str:
        """The workload of a proxy, which a page's name tells by the uid of its pod."""
        uid = proxy.partition("/")[0]
        if uid not in self._callers:
            pods = self.cluster.api.list(POD)
            self._callers |= {pod["metadata"].get("uid", ""): workload(pod) for pod in pods}
            self._callers.setdefault(uid, ALL_CALLERS)
        return self._callers[uid]


def _only(counters: Counters, proxies: Sequence[str]) -> Counters:
    """The reading of some proxies alone."""

    def of(pages: Mapping[str, object]) -> dict[str, object]:
        return {proxy: pages[proxy] for proxy in proxies if proxy in pages}

    parts = {name: of(getattr(counters, name)) for name in ("pages", "gone", "started")}
    return replace(counters, **parts)  # type: ignore[arg-type]
