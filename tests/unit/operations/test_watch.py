"""Samples taken by the panel and samples of a release form one series."""

from __future__ import annotations

from meshkit.decide.sample_windows import ArmWindow, SampleWindow
from meshkit.operations.release.watch import together


def look(start_s: float, asked: float = 0.0) -> SampleWindow:
    return SampleWindow(start_s, start_s + 1, -1, asked, True, False, ArmWindow(requests=1), ArmWindow())


def test_a_release_replaces_what_was_looked_at_beside_it() -> None:
    own = tuple(look(at) for at in range(10))
    released = (look(3, 1.0), look(4, 1.0), look(5, 10.0))
    starts = [(found.start_s, found.asked_percent) for found in together(own, released)]
    assert starts == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 10), (6, 0), (7, 0), (8, 0), (9, 0)]


def test_without_a_release_it_is_ones_own_looks() -> None:
    own = (look(0), look(1))
    assert together(own, ()) == own


def test_a_new_watch_shows_the_release_at_once() -> None:
    released = (look(3, 1.0),)
    assert together((), released) == released
