"""Helpers for tests of meshkit and of its users: a fake clock, scripted measurements and a sandbox."""

from __future__ import annotations

import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshkit.observe.counters import CounterKey, Counters, Target

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.clock import Clock


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: its kubeconfig and its folder (the equivalent of ``$MESHKIT_HOME/sandbox``)."""

    kubeconfig: Path
    home: Path


@contextmanager
def running_sandbox() -> Iterator[Sandbox]:
    """Start a separate sandbox for a ``with`` block and remove it afterwards.

    Its folder is directly in the temporary directory, because Unix sockets need a short path.
    """
    from meshkit.sandbox import lifecycle
    from meshkit.sandbox.home import SandboxHome

    folder = Path(tempfile.mkdtemp(prefix="meshkit-"))
    home = SandboxHome(folder / "sandbox")
    try:
        lifecycle.up(home)
        yield Sandbox(home.kubeconfig, home.path)
    finally:
        lifecycle.down(home)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A pytest fixture: one sandbox for the whole test session."""
    with running_sandbox() as running:
        yield running


EDGES_MS = tuple(5 * 1.15**i for i in range(40))
"""Fine latency buckets, 5 ms to 1.2 s."""


class FakeClock:
    """A clock that a test controls: ``sleep`` returns at once and advances the clock."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self._now_s = now_s

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self._now_s += max(0.0, seconds)


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of one version: lognormal latencies around a median, and a share of immediate errors."""

    latency_ms: float = 20.0
    sigma: float = 0.25
    error_share: float = 0.0
    added_ms: float = 0.0


class ScriptedObserver:
    """An observer that generates requests, evenly in time, and splits them by the current weights.

    ``split`` returns the current percentage of each version, usually from the route under test;
    ``behaviours`` may be changed while a release runs. The same seed gives the same requests.
    """

    def __init__(
        self,
        clock: Clock,
        behaviours: Mapping[str, Behaviour],
        *,
        rps: float,
        split: Callable[[], Mapping[str, float]],
        seed: int = 0,
        edges_ms: Sequence[float] = EDGES_MS,
    ) -> None:
        self.behaviours = dict(behaviours)
        self.rps = rps
        self._clock, self._split, self._random = clock, split, random.Random(seed)
        self._edges_ms = (*edges_ms, math.inf)
        self._counted: dict[CounterKey, float] = {}
        self._until_s = clock.now()

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        """Generate the requests since the last reading and return the counters."""
        now = self._clock.now()
        split = self._split()
        versions = self._random.choices(
            list(split), weights=list(split.values()), k=round(self.rps * (now - self._until_s))
        )
        self._until_s = now
        for version in versions:
            self._answer(version)
        return Counters(now, target.versions, {"scripted/0": dict(self._counted)})

    def _answer(self, version: str) -> None:
        behaviour = self.behaviours[version]
        self._count(CounterKey(version, "requests", ""))
        if self._random.random() < behaviour.error_share:
            self._count(CounterKey(version, "errors", ""))
            return
        answered = self._random.lognormvariate(math.log(behaviour.latency_ms), behaviour.sigma)
        latency_ms = behaviour.added_ms + answered
        for edge in self._edges_ms:
            self._count(CounterKey(version, "latency", "", edge), 1 if latency_ms <= edge else 0)

    def _count(self, key: CounterKey, more: int = 1) -> None:
        self._counted[key] = self._counted.get(key, 0) + more
