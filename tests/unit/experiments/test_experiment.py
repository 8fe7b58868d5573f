"""An experiment over a scripted observer and a fake clock: its samples, its schedule, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.cluster.journal import Journal
from meshkit.errors import BadInput, Conflict, NoData, Rejected
from meshkit.intent.release import Release
from meshkit.observe.counters import CounterKey, Counters, Target
from meshkit.operations.change import apply
from meshkit.operations.experiments import experiment as module
from meshkit.operations.experiments.experiment import Experiment, schedule_of
from meshkit.operations.experiments.replay import plan_replay
from meshkit.operations.experiments.settings import ExperimentLimits, ExperimentSettings
from meshkit.operations.experiments.taking_back import open_experiments, stop_experiments
from meshkit.operations.plan import PENDING
from tests.unit.experiments.runs import HALVES, ROUTE, run
from tests.unit.release.fake_api import FakeCluster

RELEASE = Release(name="web", namespace="shop", service="web", port=8080, stable="v1", canary="v2")
LIMITS = ExperimentLimits(most_percent={"v2": 50})


class FakeClock:
    """Time passes only by waiting."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += max(0.0, seconds)


class Load:
    """Ten requests a second to v1, as one proxy counts them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.silent = clock, False

    def counters(self, cluster: Any, target: Target) -> Counters:
        if self.silent:
            raise NoData("No sidecar answered.", remedy="Wait.")
        sent = 10 * (self.clock.now_s - 1000)
        return Counters(self.clock.now_s, target.versions, {"u1/0": {CounterKey("v1", "requests", ""): sent}})


class FakeApplier:
    """Remembers which settings were made true, and when."""

    done: list[tuple[float, ExperimentSettings]]
    fails = False

    def __init__(self, *_: Any) -> None:
        pass

    def prepare(self, before: ExperimentSettings, after: ExperimentSettings) -> ExperimentSettings:
        return after

    def carry_out(self, planned: ExperimentSettings) -> str:
        if FakeApplier.fails:
            raise Rejected("the server refused it.", remedy="", status=500)
        FakeApplier.done.append((CLOCK.now_s - 1000, planned))
        return "change-1"


CLOCK = FakeClock()


@pytest.fixture(autouse=True)
def applied(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "Applier", FakeApplier)
    CLOCK.now_s, FakeApplier.done, FakeApplier.fails = 1000.0, [], False
    return


def experiment(cluster: FakeCluster | None = None, load: Load | None = None) -> Experiment:
    return Experiment(
        ROUTE,
        cluster or FakeCluster(RELEASE),  # type: ignore[arg-type]
        mesh="istio",
        limits=LIMITS,
        clock=CLOCK,
        observer=load or Load(CLOCK),
    )


def test_a_sample_a_second_says_which_settings_were_in_force() -> None:
    with experiment() as running:
        running.watch(3)
        running.put(HALVES)
        running.watch(3)
    rows = [(each.at_s, each.setting, each.counts.requests) for each in running.run.samples]
    assert rows == [(1.0, 0, 10), (2.0, 0, 10), (3.0, -1, 10), (4.0, 1, 10), (5.0, 1, 10)]


def test_the_limits_hold_where_it_is_no_sandbox() -> None:
    with experiment() as running, pytest.raises(BadInput, match=r"split\.v2"):
        running.set(split={"v1": 0, "v2": 100})
    assert FakeApplier.done == []


def test_without_limits_it_is_refused_where_it_is_no_sandbox() -> None:
    cluster = FakeCluster(RELEASE)
    with pytest.raises(BadInput, match="no limits are stated"):
        Experiment(ROUTE, cluster, mesh="istio")  # type: ignore[arg-type]
    assert Journal(cluster).changes() == []  # type: ignore[arg-type]


def test_leaving_ends_it_in_the_journal_and_after_that_nothing_is_changed() -> None:
    cluster = FakeCluster(RELEASE)
    with experiment(cluster) as running:
        assert [each.id for each in open_experiments(cluster)] == [running.id]  # type: ignore[arg-type]
    assert open_experiments(cluster) == []  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="is over: left"):
        running.put(HALVES)


def test_while_one_goes_on_another_is_refused() -> None:
    cluster = FakeCluster(RELEASE)
    with experiment(cluster) as running:
        with pytest.raises(Conflict, match="ana has experimented with shop/web") as refused:
            experiment(cluster)
        assert running.id in refused.value.remedy


def test_it_notices_that_someone_stopped_it() -> None:
    cluster = FakeCluster(RELEASE)
    running = experiment(cluster)
    stop_experiments(cluster, running.id)  # type: ignore[arg-type]
    running.watch(5)
    assert running.over == "stopped by ana"
    assert running.run.duration_s == 0.0
    with pytest.raises(BadInput, match="stopped by ana"):
        running.put(HALVES)


def test_what_a_dead_process_left_is_taken_back_by_the_next() -> None:
    cluster = FakeCluster(RELEASE)
    dead = experiment(cluster)
    dead._life.close()  # as after 30 s without a renewal
    with experiment(cluster) as running:
        assert [each.event for each in running.run.events] == [
            f"took back the experiment {dead.id}, whose process had died"
        ]
    dead.look()
    assert dead.over == "stopped by ana"


def test_a_change_that_fails_half_way_ends_it() -> None:
    cluster = FakeCluster(RELEASE)
    running = experiment(cluster)
    FakeApplier.fails = True
    with pytest.raises(Rejected):
        running.put(HALVES)
    assert open_experiments(cluster) == []  # type: ignore[arg-type]
    assert "everything was put back" in (running.over or "")


def test_no_data_is_an_event_and_no_sample() -> None:
    load = Load(CLOCK)
    with experiment(load=load) as running:
        running.watch(2)
        load.silent = True
        running.watch(2)
        assert "No sidecar answered" in running.problem
    assert [each.at_s for each in running.run.samples] == [1.0]
    assert [each.event for each in running.run.events][:1] == ["no data: No sidecar answered. Wait."]


def test_a_replay_has_the_same_settings_at_the_same_times() -> None:
    first = run(seconds=10)
    again = Experiment.replay(
        first,
        FakeCluster(RELEASE),  # type: ignore[arg-type]
        mesh="istio",
        limits=LIMITS,
        clock=CLOCK,
        observer=Load(CLOCK),
    )
    assert FakeApplier.done == [(5.0, HALVES)]
    assert schedule_of(again) == schedule_of(first)


def test_an_unknown_preset_is_named() -> None:
    with experiment() as running, pytest.raises(BadInput, match="'storm' is not known"):
        running.play("storm")


def test_a_replay_as_a_plan_shows_its_settings_and_changes_nothing_until_it_is_applied() -> None:
    cluster = FakeCluster(RELEASE)
    plan = plan_replay(run(seconds=10), cluster, mesh="istio", limits=LIMITS)  # type: ignore[arg-type]
    assert "5.0 s  split v1 50, v2 50" in str(plan)
    assert json.loads(plan.to_json())["moments"] == [
        {"at_s": 5.0, "settings": {"split": {"v1": 50.0, "v2": 50.0}}},
        {"at_s": 10.0, "settings": None},
    ]
    assert plan._repr_mimebundle_() == {PENDING: {"steps": 1}}
    assert not plan.empty
    assert Journal(cluster).changes() == []  # type: ignore[arg-type]


def test_an_applied_replay_tells_its_moments_and_returns_the_new_run(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = {"clock": CLOCK, "observer": Load(CLOCK)}
    again = Experiment.replay

    def replayed(*given: Any, **options: Any) -> Any:
        return again(*given, **options, **clock)

    monkeypatch.setattr(Experiment, "replay", replayed)
    cluster = FakeCluster(RELEASE)
    plan = plan_replay(run(seconds=10), cluster, mesh="istio", limits=LIMITS)  # type: ignore[arg-type]
    done = apply(plan, cluster, progress=lambda event: told.append(str(event)))  # type: ignore[call-overload]
    assert told == ["   5.0 s  split v1 50, v2 50", "  10.0 s  the end: everything is put back"]
    assert [change.settings for change in done.settings] == [ExperimentSettings(), HALVES]
    assert done.duration_s == 10.0
