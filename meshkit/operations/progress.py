"""What an operation reports while it runs: one dataclass an event; ``str()`` is its sentence for people.

Programs look at the class and its fields, never at the sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from meshkit.cluster.executor import Progress


@dataclass(frozen=True)
class ChangeStarted:
    """One of several changes begins."""

    what: str

    def __str__(self) -> str:
        return f"{self.what}."


@dataclass(frozen=True)
class BaselineStarted:
    """The calls before a change are counted for so many seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"Counting the calls before the change, {self.seconds:g} s."


@dataclass(frozen=True)
class WatchStarted:
    """What a change did to the calls is watched for so many seconds. ``what`` was changed."""

    what: str
    seconds: float

    def __str__(self) -> str:
        return f"Watching the calls after {self.what}, {self.seconds:g} s."


@dataclass(frozen=True)
class CallsCounted:
    """Calls by how they ended, as text. ``when`` says of which time."""

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
    """Something is taken back; ``reason`` is empty where a person asked for it."""

    what: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.reason} Taking {self.what} back.".strip()


@dataclass(frozen=True)
class WaitStarted:
    """Nothing goes on until ``what`` has happened."""

    what: str

    def __str__(self) -> str:
        return f"Waiting until {self.what}."


@dataclass(frozen=True)
class PodsRemain:
    """So many of the pods that are to leave a node are still there."""

    remaining: int
    total: int

    def __str__(self) -> str:
        return f"{self.remaining} of {self.total} pods are still there."


@dataclass(frozen=True)
class Note:
    """Something that a person should know and no program needs."""

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
    | Note
)
OnEvent = Callable[[Event], None]


def noop(_: object) -> None:
    """Report to nobody."""
