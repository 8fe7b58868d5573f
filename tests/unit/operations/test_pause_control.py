"""A change is held between its steps, in its own thread, and stopped there."""

from __future__ import annotations

import threading

import pytest

from meshkit.cluster.executor import Progress
from meshkit.errors import Stopped
from meshkit.operations.pause_control import PauseControl
from meshkit.operations.progress import Event

STEP = Progress("Namespace shop", 1, 2, "applying")


def test_it_reports_and_lets_through() -> None:
    said: list[Event] = []
    PauseControl(said.append)(STEP)
    assert said == [STEP]


def test_paused_it_waits_before_the_next_step() -> None:
    control, done = PauseControl(lambda _: None), threading.Event()
    control.pause()
    change = threading.Thread(target=lambda: (control(STEP), done.set()))
    change.start()
    assert not done.wait(0.1)
    assert control.paused
    control.resume()
    assert done.wait(5)
    change.join()


def test_stopped_it_begins_no_step_even_when_paused() -> None:
    control = PauseControl(lambda _: None)
    control.pause()
    control.stop()
    with pytest.raises(Stopped, match="stopped by hand"):
        control(STEP)


def test_a_step_that_was_begun_is_ended() -> None:
    control = PauseControl(lambda _: None)
    control.stop()
    control(Progress("Namespace shop", 1, 2, "waiting"))
