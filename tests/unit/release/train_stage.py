"""A scripted train: two releases over one fake API, and traffic that follows the weights of each route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from meshkit.cluster.connect import Cluster
from meshkit.intent.release import Margins
from meshkit.intent.train import ReleaseTrain
from meshkit.observe.counters import Counters, Target
from meshkit.operations.change import apply
from meshkit.operations.progress import Event, ReleaseLooked
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.train.plan import TrainOutcome, plan_train
from meshkit.operations.release.train.state import TrainState, train_state
from meshkit.testing import Behaviour, ScriptedObserver
from tests.unit.release.fake_api import FakeCluster
from tests.unit.release.stage import GOOD, Stage, until_killed

NAME, SERVICES = "shop-v2", ("stock", "web")


class TrainStage:
    """A train of ``stock`` and ``web``; ``moves`` has every change of weights, in the order of time."""

    def __init__(self, mesh: str = "istio", *, rps: float = 300, **fields: Any) -> None:
        wide = Margins(error_points=5, p50_percent=300, p90_percent=300, p99_percent=300)
        stage = Stage(mesh, **{"margins": wide, **fields})
        self.mesh, self.clock = mesh, stage.clock
        releases = [
            stage.release.model_copy(update={"name": f"{service}-v2", "service": service})
            for service in SERVICES
        ]
        self.train = ReleaseTrain(name=NAME, releases=releases)
        self.routes = {each.service: FakeCluster(each, mesh) for each in self.train.releases}
        self.fake = self.routes["web"]
        for each in self.routes.values():
            self.fake.api.objects |= each.api.objects
            each.api = self.fake.api
        self.cluster = cast(Cluster, self.fake)
        self.observers = {
            service: ScriptedObserver(
                self.clock, {"v1": GOOD, "v2": GOOD}, rps=rps, split=self.routes[service].split, seed=7
            )
            for service in SERVICES
        }
        self.moves: list[tuple[str, float]] = []

    def counters(self, cluster: Any, target: Target) -> Counters:
        """What the observer of the target's service counts."""
        return self.observers[target.service].counters(cluster, target)

    def make_bad(self, service: str, behaviour: Behaviour) -> None:
        """The canary of a service answers so from now on."""
        self.observers[service].behaviours["v2"] = behaviour

    def share(self, service: str) -> float:
        return self.routes[service].split()["v2"] * 100 / sum(self.routes[service].weights())

    def shares(self) -> tuple[float, ...]:
        return tuple(self.share(service) for service in SERVICES)

    def run(self, on_look: Callable[[ReleaseState], None] = lambda _: None) -> TrainOutcome:
        def seen(event: Event) -> None:
            assert isinstance(event, ReleaseLooked)
            on_look(event.state)

        real = self.fake.api.json_patch

        def patched(*args: Any, **named: Any) -> Any:
            before = self.shares()
            found = real(*args, **named)
            for service, old, new in zip(SERVICES, before, self.shares(), strict=True):
                if old != new:
                    self.moves.append((service, new))
            return found

        self.fake.api.json_patch = patched  # type: ignore[method-assign]
        try:
            plan = plan_train(
                self.train, self.cluster, mesh=self.mesh, observer=cast(Any, self), clock=self.clock
            )
            return apply(plan, self.cluster, progress=seen)
        finally:
            self.fake.api.json_patch = real  # type: ignore[method-assign]

    def run_until_killed(self, when: Callable[[ReleaseState], bool]) -> TrainState:
        until_killed(self.run, when)
        return self.state

    @property
    def state(self) -> TrainState:
        return train_state(NAME, self.cluster)
