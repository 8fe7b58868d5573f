"""Progress events of operations: one dataclass per event, whose ``str()`` is a sentence for people.

Programs use the class and its fields, never the sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from meshkit.cluster.executor import Progress

if TYPE_CHECKING:
    from meshkit.operations.release.state.model import ReleaseState


@dataclass(frozen=True)
class ChangeStarted:
    """One of several changes begins."""

    what: str

    def __str__(self) -> str:
        return f"{self.what}."


@dataclass(frozen=True)
class BaselineStarted:
    """The calls before a change are counted for ``seconds``."""

    seconds: float

    def __str__(self) -> str:
        return f"Counting the calls before the change, {self.seconds:g} s."


@dataclass(frozen=True)
class WatchStarted:
    """The calls after a change are watched for ``seconds``; ``what`` was changed."""

    what: str
    seconds: float

    def __str__(self) -> str:
        return f"Watching the calls after {self.what}, {self.seconds:g} s."


@dataclass(frozen=True)
class CallsCounted:
    """Calls by outcome, as text; ``when`` names the period."""

    when: str
    calls: str

    def __str__(self) -> str:
        return f"{self.when}: {self.calls}."


@dataclass(frozen=True)
class CallsGotWorse:
    """The calls got worse than before the change."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True)
class UndoStarted:
    """A change is being undone; ``reason`` is empty if the user asked for it."""

    what: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.reason} Undoing {self.what}.".strip()


@dataclass(frozen=True)
class WaitStarted:
    """The operation waits until ``what`` has happened."""

    what: str

    def __str__(self) -> str:
        return f"Waiting until {self.what}."


@dataclass(frozen=True)
class PodsRemain:
    """The number of pods that have not yet left a node that is being drained."""

    remaining: int
    total: int

    def __str__(self) -> str:
        return f"{self.remaining} of {self.total} pods are still on the node."


@dataclass(frozen=True)
class ReleaseLooked:
    """A release has measured and judged once more."""

    state: ReleaseState

    def __str__(self) -> str:
        which = f"{self.state.release.name} " if self.state.train else ""
        return f"{which}{self.state.status} at {self.state.asked_percent:g} %: {self.state.sentences[0]}"


@dataclass(frozen=True)
class Note:
    """A message for people without a field for programs."""

    text: str

    def __str__(self) -> str:
        return self.text


Event: TypeAlias = (
    Progress
    | ChangeStarted
    | BaselineStarted
    | WatchStarted
    | CallsCounted
    | CallsGotWorse
    | UndoStarted
    | WaitStarted
    | PodsRemain
    | ReleaseLooked
    | Note
)
OnEvent = Callable[[Event], None]


def noop(_: object) -> None:
    """Ignore the event."""


def in_notebook() -> OnEvent:
    """Return a callback that prints events below the cell of a notebook, and does nothing elsewhere.

    A step has a line when it waits and when it is done, a release when its state or its share changes.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return noop if getattr(shell, "kernel", None) is None else _print_new()


def _print_new() -> OnEvent:
    last: object = None

    def show(event: Event) -> None:
        nonlocal last
        if isinstance(event, Progress) and event.state == "applying":
            return
        now = (event.state.status, event.state.asked_percent) if isinstance(event, ReleaseLooked) else event
        if now != last:
            last = now
            sys.stdout.write(f"{event}\n")
            sys.stdout.flush()

    return show
