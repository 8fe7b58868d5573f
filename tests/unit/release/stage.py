"""A scripted release: a fake API, a scripted observer and a clock under the test's control."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.intent.release import Margins, Release
from meshkit.operations.change import apply
from meshkit.operations.progress import Event, ReleaseLooked
from meshkit.operations.release.plan import ReleasePlan, plan_release
from meshkit.operations.release.runner import Outcome, release_state
from meshkit.operations.release.state.model import ReleaseState
from meshkit.testing import Behaviour, FakeClock, ScriptedObserver
from tests.unit.release.fake_api import FakeCluster

GOOD = Behaviour(latency_ms=20)
BAD = Behaviour(latency_ms=20, error_share=0.3, added_ms=300)


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs except what the operating system does."""


class Stage:
    """A cluster with a route, a clock, and traffic that follows the route's weights."""

    def __init__(
        self, mesh: str = "istio", *, canary_behaviour: Behaviour = GOOD, rps: float = 300, **fields: Any
    ) -> None:
        demo: dict[str, Any] = {
            "steps": (0.5, 10, 50, 100),
            "step_s": 5,
            "look_s": 1,
            "min_requests": 5,
            "warm_up_s": 1,
            "margins": Margins(error_points=1, p50_percent=50, p90_percent=50, p99_percent=50),
            "deadline_s": 300,
            "baseline_s": 0,
            "soak_s": 0,
            "watch_s": 0,
        }
        common = {"name": "web-v2", "namespace": "shop", "service": "web", "port": 8080}
        self.release = Release(**{**common, "stable": "v1", "canary": "v2", **demo, **fields})
        self.mesh = mesh
        self.fake = FakeCluster(self.release, mesh)
        self.cluster = cast(Cluster, self.fake)
        self.clock = FakeClock()
        behaviours = {"v1": GOOD, "v2": canary_behaviour}
        self.observer = ScriptedObserver(self.clock, behaviours, rps=rps, split=self.fake.split, seed=7)
        self.weights: list[tuple[int, int]] = []

    def plan(self, observer: Any = None) -> ReleasePlan:
        return plan_release(
            self.release,
            self.cluster,
            mesh=self.mesh,
            observer=observer or self.observer,
            clock=self.clock,
        )

    def run(
        self,
        on_look: Callable[[ReleaseState], None] = lambda _: None,
        observer: Any = None,
        plan: ReleasePlan | None = None,
    ) -> Outcome:
        """Plan the release, or take the given plan, and apply it."""

        def seen(event: Event) -> None:
            assert isinstance(event, ReleaseLooked)
            state = event.state
            now = self.fake.weights()
            if not self.weights or self.weights[-1] != now:
                self.weights.append(now)
            on_look(state)

        return apply(plan or self.plan(observer), self.cluster, progress=seen)

    def run_until_killed(self, when: Callable[[ReleaseState], bool]) -> ReleaseState:
        """Kill the runner at the first look that fits; returns what it left in the journal."""
        until_killed(self.run, when)
        return self.state

    @property
    def state(self) -> ReleaseState:
        return release_state(self.release.name, self.cluster)


def until_killed(
    run: Callable[[Callable[[ReleaseState], None]], Any], when: Callable[[ReleaseState], bool]
) -> None:
    """Run, and kill the process at the first look that fits."""

    def kill(state: ReleaseState) -> None:
        if when(state):
            raise Killed

    with pytest.raises(Killed):
        run(kill)


def ready_pod(version: str) -> dict[str, Any]:
    """A pod of a version that can answer requests."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{version}-1", "namespace": "shop", "labels": {"version": version}},
        "spec": {"containers": [{"name": "web", "image": f"shop/web:{version}"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def killed_at_each_write(make: Callable[[], Stage]) -> Iterator[tuple[int, Stage]]:
    """Run a release that is killed just before, or just after, one of its writes, and then run again.

    There is one for each write of the route that the release makes if nobody kills it, and each moment.
    """
    whole = make()
    whole.run()
    for number in range(2 * len(whole.fake.api.patches)):
        stage = make()
        real = stage.fake.api.json_patch
        stage.fake.api.json_patch = killing(real, number)  # type: ignore[method-assign]
        with pytest.raises(Killed):
            stage.run()
        stage.fake.api.json_patch = real  # type: ignore[method-assign]
        stage.run()
        yield number, stage


def killing(real: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The same call, which is killed just before its write ``number // 2``, or just after it."""
    left = [number]

    def patched(*args: Any, **named: Any) -> Any:
        now, left[0] = left[0], left[0] - 2
        if now == 0:
            raise Killed
        found = real(*args, **named)
        if now == 1:
            raise Killed
        return found

    return patched
