"""The traffic gate: calls before a change against those after each wave of it."""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from meshkit.decide.statistics.fisher import rise_probability
from meshkit.errors import BadInput, GateFailed, ManualActionRequired, NoData
from meshkit.kube.steps import Step
from meshkit.kube.workloads import restart
from meshkit.meshes.metrics import How, Link
from meshkit.observe.callers import Reading
from meshkit.operations.progress import Event, OnEvent, WatchStarted, noop
from meshkit.operations.traffic_gate import CHANCE, Gate, Tally, TrafficGateOptions, trouble
from meshkit.testing import FakeClock

PER_S: dict[How, float] = {"mutual_tls": 20}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
}
RESTART = restart(DEPLOYMENT, wave=1)


class Mesh:
    """Counters that rise with a fake clock, at rates that a test changes; ``beside`` in another namespace."""

    def __init__(self, clock: FakeClock, per_s: Mapping[How, float]) -> None:
        self.clock, self.per_s = clock, per_s
        self.beside: Mapping[How, float] = {}
        self.unseen: frozenset[str] = frozenset()
        self._counted: dict[Link, float] = {}
        self._read_s = clock.now()

    def read(self) -> Reading:
        seconds, self._read_s = self.clock.now() - self._read_s, self.clock.now()
        for server, rates in (("shop/web", self.per_s), ("big/web", self.beside)):
            for how, rate in rates.items():
                link = Link("shop/client", server, how)
                self._counted[link] = self._counted.get(link, 0.0) + rate * seconds
        return Reading(self._read_s, 0.0, {"proxy/0": dict(self._counted)}, self.unseen)


def opened(
    before: Mapping[How, float], *, force: bool = False, progress: OnEvent = noop
) -> tuple[Mesh, Gate]:
    clock = FakeClock()
    mesh = Mesh(clock, before)
    gate = Gate(mesh.read, TrafficGateOptions(force=force, clock=clock), progress=progress)
    gate.measure()
    return mesh, gate


def test_calls_that_stay_as_they_were_pass_wave_after_wave() -> None:
    events: list[Event] = []
    _, gate = opened({**PER_S, "failed": 0.5}, progress=events.append)
    gate.after_wave([RESTART])
    gate.after_wave([RESTART])
    assert str(events[1]) == (
        "Before: 200 over mutual TLS, 5 got no answer, 0 were refused without a mesh identity,"
        " 0 went in plain text."
    )
    assert events[2] == WatchStarted("Deployment shop/web", 10)
    assert str(events[2]) == "Watching the calls after Deployment shop/web, 10 s."


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ({"mutual_tls": 19, "failed": 3}, r"of \d+ calls got no answer \(13.6%, before 0.0%\), at shop/web"),
        ({"mutual_tls": 15, "refused": 5}, "were refused without a mesh identity"),
        ({"mutual_tls": 10, "plain": 10}, "went in plain text"),
        ({}, "No calls are seen any more; there were 200 before"),
    ],
)
def test_calls_that_are_worse_stop_the_change(after: Mapping[How, float], sentence: str) -> None:
    mesh, gate = opened(PER_S)
    mesh.per_s = after
    with pytest.raises(GateFailed, match=sentence):
        gate.after_wave([RESTART])


BUSY: dict[How, float] = {"mutual_tls": 9900, "failed": 100}


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ({"failed": 5}, r"of \d+ calls got no answer .100.0%, before 0.0%., at shop/web"),
        ({}, "No calls are seen any more in shop; there were 50 before"),
    ],
)
def test_a_small_namespace_is_not_lost_beside_a_busy_one(after: Mapping[How, float], sentence: str) -> None:
    clock = FakeClock()
    mesh = Mesh(clock, {"mutual_tls": 5})
    mesh.beside = BUSY
    gate = Gate(mesh.read, TrafficGateOptions(clock=clock))
    gate.measure()
    mesh.per_s = after
    with pytest.raises(GateFailed, match=sentence):
        gate.after_wave([RESTART])


def test_good_waves_are_seldom_blamed() -> None:
    """At 2 % failures before and after, 30 rps and a window of a minute: 400 waves, one in a thousand."""
    draw = random.Random(7)

    def window(requests: int) -> Tally:
        failed = sum(draw.random() < 0.02 for _ in range(requests))
        good, bad = Link("a/b", "shop/web", "mutual_tls"), Link("a/b", "shop/web", "failed")
        return Tally(Counter({good: requests - failed, bad: failed}))

    blamed = 0
    for _ in range(400):
        before, after = window(1800), Tally()
        for _ in range(30):
            after.links.update(window(60).links)
            if trouble(before, after, looks=30):
                blamed += 1
                break
    assert blamed <= 2


def test_plain_calls_that_end_where_refusals_cannot_be_seen_stop_the_change() -> None:
    events: list[Event] = []
    mesh, gate = opened({**PER_S, "plain": 3}, progress=events.append)
    mesh.per_s, mesh.unseen = PER_S, frozenset({"shop/web"})
    with pytest.raises(GateFailed, match="30 calls in plain text were seen at shop/web before, and none"):
        gate.after_wave([RESTART])


def test_plain_calls_that_end_where_refusals_are_seen_are_good_news() -> None:
    mesh, gate = opened({**PER_S, "plain": 3})
    mesh.per_s = PER_S
    gate.after_wave([RESTART])


def test_what_cannot_be_seen_is_told_and_not_counted_as_none() -> None:
    tally = Tally(Counter({Link("a/b", "shop/web", "mutual_tls"): 9}), unseen=frozenset({"shop/web"}))
    assert str(tally) == (
        "9 over mutual TLS, 0 got no answer, 0 went in plain text, refusals cannot be seen at shop/web"
    )


def test_counters_that_cannot_be_read_are_no_quiet_mesh() -> None:
    clock = FakeClock()
    gate = Gate(lambda: Reading(clock.now(), 0.0, {"proxy/0": None}), TrafficGateOptions(clock=clock))
    with pytest.raises(NoData, match="The counters of the sidecars could not be read"):
        gate.measure()


def test_counters_that_come_late_are_waited_for() -> None:
    """A busy API server is no silent mesh: half a minute more, before and after."""
    mesh, _ = opened(PER_S)
    late_s = mesh.clock.now() + 14

    def read() -> Reading:
        found = mesh.read()
        return found if mesh.clock.now() > late_s else dataclasses.replace(found, pages={"proxy/0": None})

    gate = Gate(read, TrafficGateOptions(watch_s=4, clock=mesh.clock))
    gate.measure()
    late_s = mesh.clock.now() + 14
    gate.after_wave([RESTART])
    assert mesh.clock.now() > late_s


def test_a_failing_wave_is_known_before_its_time_is_over() -> None:
    mesh, gate = opened(PER_S)
    mesh.per_s, began_s = {"failed": 20}, mesh.clock.now()
    with pytest.raises(GateFailed):
        gate.after_wave([RESTART])
    assert mesh.clock.now() - began_s == 2


def test_a_mesh_that_fails_anyway_is_not_blamed_on_the_change() -> None:
    mesh, gate = opened({"mutual_tls": 15, "failed": 5, "plain": 5})
    mesh.per_s = {"mutual_tls": 14, "failed": 6, "plain": 5}
    gate.after_wave([RESTART])


def test_steps_that_restart_nothing_are_let_through_at_once() -> None:
    mesh, gate = opened(PER_S)
    mesh.per_s, began_s = {"failed": 20}, mesh.clock.now()
    gate.after_wave([Step({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})])
    assert mesh.clock.now() == began_s


def test_no_call_before_the_change_is_no_success() -> None:
    with pytest.raises(ManualActionRequired, match=r"No calls were seen in 10 s.*Nothing was changed"):
        opened({})
    _, gate = opened({}, force=True)
    gate.after_wave([RESTART])


def test_calls_are_counted_while_the_change_goes_on() -> None:
    """The gate looks by itself in the background: a proxy that ends has been read before."""
    mesh, gate = opened(PER_S)
    with gate:
        mesh.per_s = {"failed": 20}
        mesh.clock.sleep(5)
        until_s = time.monotonic() + 30
        while not gate._wave.count("failed") and time.monotonic() < until_s:
            time.sleep(0.05)
        mesh.per_s = PER_S
    with pytest.raises(GateFailed, match="got no answer"):
        gate.judge("it")


def test_few_calls_never_speak_against_a_change() -> None:
    assert rise_probability(0, 3, 3, 3) > CHANCE
    assert rise_probability(0, 1000, 10, 1000) < CHANCE
    assert rise_probability(50, 1000, 60, 1000) > CHANCE


def test_the_time_to_watch_is_checked() -> None:
    with pytest.raises(BadInput, match="watch_s: 0 is not between"):
        TrafficGateOptions(watch_s=0)
