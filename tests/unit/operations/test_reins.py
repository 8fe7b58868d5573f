"""A change is held between its steps, in its own thread, and stopped there."""

from __future__ import annotations

import threading

import pytest

from meshkit.cluster.executor import Progress
from meshkit.operations.pause_control import Reins, Stopped

STEP = Progress("Namespace shop", 1, 2, "applying")


def test_it_reports_and_lets_through() -> None:
    said: list[Progress] = []
    Reins(said.append)(STEP)
    assert said == [STEP]


def test_paused_it_waits_before_the_next_step() -> None:
    reins, done = Reins(lambda _: None), threading.Event()
    reins.pause()
    change = threading.Thread(target=lambda: (reins(STEP), done.set()))
    change.start()
    assert not done.wait(0.1)
    assert reins.paused
    reins.resume()
    assert done.wait(5)
    change.join()


def test_stopped_it_begins_no_step_even_when_paused() -> None:
    reins = Reins(lambda _: None)
    reins.pause()
    reins.stop()
    with pytest.raises(Stopped, match="stopped by hand"):
        reins(STEP)


def test_a_step_that_was_begun_is_ended() -> None:
    reins = Reins(lambda _: None)
    reins.stop()
    reins(Progress("Namespace shop", 1, 2, "waiting"))
