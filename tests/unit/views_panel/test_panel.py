"""The panel without a browser: what it shows, which buttons are open, and where its callbacks run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshkit.operations.release.state.fold import after
from meshkit.operations.release.watch import Watched
from meshkit.views.release.panel import ReleasePanel
from tests.unit.views_panel.releases import RELEASE, STARTED_S, release_after
from tests.unit.views_panel.shown import Cluster, until


@dataclass
class Watch:
    """Always the same snapshot; remembers on which thread it was asked for."""

    now: Watched
    threads: set[str] = field(default_factory=set)

    def look(self) -> Watched:
        self.threads.add(threading.current_thread().name)
        return self.now


@dataclass
class Controls:
    """Remembers what was asked for, and on which thread."""

    route: object | None = None
    release: Any = RELEASE
    cluster: Any = field(default_factory=Cluster)
    mesh: str = "istio"
    done: list[tuple[Any, ...]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def _note(self, *what: Any) -> None:
        self.done.append(what)
        self.threads.add(threading.current_thread().name)

    def start(self) -> None:
        self._note("start")
        raise RuntimeError("joao's session holds this release")

    def send(self, verb: str) -> None:
        self._note("send", verb)

    def give_back(self) -> None:
        self._note("give_back")

    def shift(self, percent: float) -> None:
        self._note("shift", percent)

    def slow_down(self, extra_ms: float) -> None:
        self._note("slow_down", extra_ms)


def watched(seconds: int | None, *, percent: float = 0.0, **how: float) -> Watched:
    if seconds is None:
        return Watched(1000.0, (), None, percent)
    state = release_after(seconds, **how)
    return Watched(1000.0, tuple(j.look for j in state.looks), state, state.asked_percent)


def is_quiet(panel: ReleasePanel) -> bool:
    """Whether the panel has looked, and every act on it has ended."""
    return panel._now is not None and len(panel._tasks) <= 1


def drive(now: Watched | Watch, controls: Controls, act: Callable[[ReleasePanel], None]) -> ReleasePanel:
    """Build the panel as a cell does, let it look, act on it, and let it look again."""

    async def cell() -> ReleasePanel:
        panel = ReleasePanel(now if isinstance(now, Watch) else Watch(now), controls, slow_down=True)
        await until(lambda: is_quiet(panel))
        act(panel)
        await until(lambda: is_quiet(panel))
        for task in panel._tasks:
            task.cancel()
        return panel

    return asyncio.run(cell())


def button(panel: ReleasePanel, name: str) -> Any:
    """The button as it is in the panel now."""
    found = [child for child in panel._actions.children if getattr(child, "description", "") == name]
    assert found, f"no button {name!r}"
    return found[0]


def test_without_a_release_only_start_is_open() -> None:
    panel = drive(watched(None), Controls(), lambda _: None)
    assert not button(panel, "Start release").disabled
    assert button(panel, "Hold").disabled
    assert button(panel, "Roll back…").disabled
    assert "No release has been started" in panel._verdict.value
    assert panel._share.disabled


def test_while_it_runs_hold_and_roll_back_are_open_and_the_slider_follows() -> None:
    panel = drive(watched(20), Controls(route="route"), lambda _: None)
    assert button(panel, "Start release").disabled
    assert not button(panel, "Hold").disabled
    assert not button(panel, "Roll back…").disabled
    assert panel._share.disabled
    assert panel._share.value == 10.0


def test_the_details_of_the_verdict_stay_unfolded_while_it_changes() -> None:
    watch = Watch(watched(20))

    def unfold_and_go_on(panel: ReleasePanel) -> None:
        assert panel._details.layout.display == "none"
        panel._unfold.value = True
        panel._show(watched(24))

    panel = drive(watch, Controls(), unfold_and_go_on)
    assert panel._details.layout.display == ""
    assert "What the error rate covers" in panel._details.value
    assert "<details>" not in panel._verdict.value
    panel._unfold.value = False
    assert panel._details.layout.display == "none"


def test_a_verb_runs_in_a_thread_and_not_on_the_loop() -> None:
    controls = Controls()
    drive(watched(20), controls, lambda panel: button(panel, "Hold").click())
    assert controls.done == [("send", "hold")]
    assert "MainThread" not in controls.threads


def test_no_request_is_made_on_the_loop_of_the_notebook() -> None:
    watch = Watch(watched(20))
    drive(watch, Controls(), lambda _: None)
    assert watch.threads
    assert "MainThread" not in watch.threads


def test_a_callback_on_another_thread_is_handed_to_the_loop() -> None:
    controls = Controls()

    def click_elsewhere(panel: ReleasePanel) -> None:
        thread = threading.Thread(target=button(panel, "Hold").click)
        thread.start()
        thread.join()

    drive(watched(20), controls, click_elsewhere)
    assert controls.done == [("send", "hold")]


def test_an_error_of_a_verb_is_shown_in_the_panel() -> None:
    panel = drive(watched(None), Controls(), lambda panel: button(panel, "Start release").click())
    assert "Start release: joao&#39;s session holds this release" in panel._problem.value
    assert 'role="alert"' in panel._problem.value


def test_roll_back_asks_first_and_the_slot_never_grows() -> None:
    controls = Controls()
    panel = drive(watched(20), controls, lambda panel: button(panel, "Roll back…").click())
    assert "Roll back now?" in panel._hint.value
    assert controls.done == []
    assert [getattr(c, "description", "") for c in panel._actions.children][1:] == [
        "Keep watching",
        "Roll back now",
    ]


def promoted(percent: float = 100.0) -> Watched:
    """A release that has ended at 100 %, and the share of the canary now."""
    state = release_after(20)
    end = {"kind": "end", "at_s": STARTED_S + 21, "result": "promoted", "sentences": ["v2 serves."]}
    return Watched(1000.0, (), after(state, {**end, "percent": 100.0}), percent)


@pytest.mark.parametrize("route", [None, "route"])
def test_after_its_end_a_release_is_rolled_back_to_the_weights_from_before_it(route: object | None) -> None:
    controls = Controls(route=route)

    def roll_back(panel: ReleasePanel) -> None:
        assert not button(panel, "Roll back…").disabled
        asyncio.get_running_loop().create_task(panel._confirm("rollback"))
        panel._really.click()

    drive(promoted(), controls, roll_back)
    assert controls.done == [("give_back",)]


def test_weights_that_were_moved_after_the_end_are_rolled_back_by_hand() -> None:
    controls = Controls(route="route")
    drive(promoted(30.0), controls, lambda panel: panel._really.click())
    assert controls.done == [("shift", 0.0)]
    panel = drive(promoted(30.0), Controls(), lambda _: None)
    assert button(panel, "Roll back…").disabled


def test_a_person_shifts_requests_only_while_no_release_runs() -> None:
    controls = Controls(route="route")
    drive(watched(None), controls, lambda panel: setattr(panel._share, "value", 30.0))
    assert controls.done == [("shift", 30.0)]
    running = Controls(route="route")
    drive(watched(20), running, lambda panel: setattr(panel._share, "value", 30.0))
    assert running.done == []


def test_the_canary_can_be_slowed_down_while_it_runs() -> None:
    controls = Controls()
    drive(watched(20), controls, lambda panel: setattr(panel._slow, "value", 200.0))
    assert controls.done == [("slow_down", 200.0)]


def test_a_second_panel_of_the_same_release_ends_the_first() -> None:
    async def two() -> tuple[ReleasePanel, ReleasePanel]:
        first = ReleasePanel(Watch(watched(20)), Controls())
        second = ReleasePanel(Watch(watched(20)), Controls())
        await until(lambda: not first._tasks)
        looking = (bool(first._tasks), bool(second._tasks))
        for task in second._tasks:
            task.cancel()
        assert looking == (False, True)
        return first, second

    asyncio.run(two())


def test_a_cluster_that_does_not_answer_is_said_and_looked_at_again() -> None:
    class Gone(Watch):
        def look(self) -> Watched:
            raise ConnectionError("no answer from the API server")

    async def cell() -> str:
        panel = ReleasePanel(Gone(watched(None)), Controls())
        await until(lambda: "cannot be read" in panel._hint.value)
        assert panel._tasks
        for task in panel._tasks:
            task.cancel()
        return str(panel._hint.value)

    assert "no answer from the API server" in asyncio.run(cell())


@pytest.mark.parametrize(
    ("seconds", "how", "words"),
    [
        (20, {}, "Running, step 2 of 4"),
        (200, {}, "Promoted"),
        (200, {"canary_ms": 320.0, "error_share": 0.3}, "Rolled back"),
    ],
)
def test_the_state_is_said_in_words(seconds: int, how: dict[str, float], words: str) -> None:
    panel = drive(watched(seconds, **how), Controls(), lambda _: None)
    assert words in panel._head.value


def test_quick_key_presses_on_a_slider_are_one_change() -> None:
    controls = Controls(route="route")

    def press_three_times(panel: ReleasePanel) -> None:
        for percent in (10.0, 20.0, 30.0):
            panel._share.value = percent

    drive(watched(None), controls, press_three_times)
    assert controls.done == [("shift", 30.0)]


def test_promote_asks_first_and_says_what_is_open() -> None:
    controls = Controls()
    panel = drive(watched(20), controls, lambda panel: button(panel, "Promote…").click())
    assert controls.done == []
    assert "to 100 % on prod" in panel._hint.value.replace("\N{NO-BREAK SPACE}", " ")
    assert "Not met: " in panel._hint.value
    assert panel._typed in panel._actions.children
    assert button(panel, "Promote now").disabled


def test_promote_without_all_evidence_wants_the_services_name() -> None:
    controls = Controls()

    async def cell() -> None:
        panel = ReleasePanel(Watch(watched(20)), controls)
        await until(lambda: is_quiet(panel))
        button(panel, "Promote…").click()
        await until(lambda: panel._promote in panel._actions.children)
        panel._typed.value = "web"
        await until(lambda: not panel._promote.disabled)
        panel._promote.click()
        await until(lambda: bool(controls.done))
        panel.close()

    asyncio.run(cell())
    assert controls.done == [("send", "promote")]


def test_promote_is_closed_without_a_release_and_after_its_end() -> None:
    for seconds in (None, 200):
        panel = drive(watched(seconds), Controls(), lambda _: None)
        assert button(panel, "Promote…").disabled


def test_after_the_end_the_hint_says_what_works() -> None:
    panel = drive(watched(200), Controls(), lambda _: None)
    assert "has ended" in panel._hint.value
    assert not button(panel, "Start release").disabled
