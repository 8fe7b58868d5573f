"""Carry out work on several objects side by side, with a bound, and report it in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from meshkit.cluster.api import REQUESTS_AT_ONCE
from meshkit.errors import MeshkitError

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Outcome(Generic[R]):
    """What became of the work: its results and errors by the number of the item, and the first error."""

    results: dict[int, R] = field(default_factory=dict)
    errors: dict[int, MeshkitError] = field(default_factory=dict)
    failed: MeshkitError | None = None
    """The first error, in the order of the items; None if everything is done."""


def run(items: Sequence[T], begin: Callable[[T], None], work: Callable[[T], R]) -> Outcome[R]:
    """Work on the items, several at a time, and return when all that were begun have ended.

    ``begin`` is called in this thread before an item's work. After an error of meshkit, in it or in the work,
    no other item is begun. Any other exception is raised as soon as the work that was begun has ended.
    """
    outcome: Outcome[R] = Outcome()
    if len(items) == 1:

        def alone() -> R:
            begin(items[0])
            return work(items[0])

        _end(outcome, 0, alone)
        return outcome
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        begun: deque[tuple[int, Future[R]]] = deque()
        for number, item in enumerate(items):
            if len(begun) == REQUESTS_AT_ONCE:
                _end(outcome, begun[0][0], begun.popleft()[1].result)
            if outcome.failed is None:
                try:
                    begin(item)
                except MeshkitError as error:
                    outcome.failed = error
            if outcome.failed is not None:
                break
            begun.append((number, pool.submit(work, item)))
        for number, future in begun:
            _end(outcome, number, future.result)
    return outcome


def _end(outcome: Outcome[R], number: int, result: Callable[[], R]) -> None:
    try:
        outcome.results[number] = result()
    except MeshkitError as error:
        outcome.errors[number] = error
        outcome.failed = outcome.failed or error
