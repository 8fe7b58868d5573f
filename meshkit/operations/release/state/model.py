"""The state of a release as data, shared by the runner and every view; fold.py makes it from the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from meshkit.decide.baseline import Baseline
from meshkit.decide.ladder import share_beside
from meshkit.decide.sample_windows import SampleWindow
from meshkit.decide.verdict import JudgedWindow, Verdict
from meshkit.facts import Coverage
from meshkit.intent.release import Release
from meshkit.operations.release.gates import waiting
from meshkit.operations.release.gates.waiting import Gates

Running = Literal["measuring", "shifting", "watching", "paused", "waiting", "held", "frozen"]
Ended = Literal["promoted", "rolled_back", "undecided"]
Status = Running | Ended
RECENT_LOOKS = 900
"""The looks that a running release keeps in memory: 75 minutes at one in 5 s."""
SAME_POINTS = 0.05
"""Shares that differ by less, in percentage points, are equal within the precision of integer weights."""


@dataclass(frozen=True)
class ReleaseEvent:
    """One line of a release's history: what happened when (seconds since the epoch), and who requested it."""

    at_s: float
    kind: Literal["begin", "weights", "agreed", "command", "gate", "note", "end"]
    text: str
    who: str = ""
    verb: str = ""
    """The requested command, for a command event."""


@dataclass(frozen=True)
class ReleaseState:
    """A snapshot of a release.

    ``step`` is -1 before the first weight; times are seconds since the epoch.

    ``status`` is one of: measuring (stable alone, before the first weight), shifting (weights set, share not
    yet measured), watching (the step's clock runs), paused (a cause that affects both versions), waiting (for
    a gate), held, frozen (held because of harm, by ``on_harm``), or the result. ``found_percent`` is the
    canary's share at the start, and ``route`` says where the weights are. The deadline counts from
    ``deadline_from_s`` and stops (at ``stopped_s``) while the release is held, or waits for a gate that has
    not expired; automatic rollback stays on. The deadline restarts at the promotion.
    """

    change_id: str
    release: Release
    mesh: str
    started_s: float
    deadline_from_s: float
    found_percent: float
    found_weights: tuple[int, int]
    managed_fields: tuple[Mapping[str, Any], ...]
    route: Mapping[str, Any]
    edges: tuple[Mapping[str, Any], ...] = ()
    """The records of the ``Place`` of each rule at a gateway."""
    additions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the release adds to the route beside its weights, while it runs (additions.py)."""
    baseline: Baseline | None = None
    step: int = -1
    asked_percent: float = 0.0
    before_percent: float = 0.0
    shifted_s: float = 0.0
    agreed_s: float | None = None
    held_s: float | None = None
    stopped_s: float | None = None
    frozen_s: float | None = None
    gates: Gates = ()
    """The gates that the release has reached, in the order of time."""
    train: str = ""
    """The train that the release is a member of; empty: it is released alone."""
    decided: Status | None = None
    """The result that its train has decided, before the release has ended with it."""
    last_command: str = ""
    wanted: Literal["", "promote", "rollback", "end"] = ""
    """The command that is to be carried out; ``end``: promote, where the canary has all requests already."""
    looks: tuple[JudgedWindow, ...] = ()
    requests_before: tuple[int, int] = (0, 0)
    """All requests before the first step, and the canary's among them."""
    events: tuple[ReleaseEvent, ...] = ()
    result: Status | None = None
    ended_s: float | None = None
    end_sentences: tuple[str, ...] = ()
    given_back: Status | None = None
    """The result before the traffic was given back after the end; None if it was not."""

    @property
    def status(self) -> Status:
        """The state of the release in one word."""
        if self.result:
            return self.result
        if self.held:
            return "frozen" if self.frozen else "held"
        if self.waits:
            return "waiting"
        if self.step < 0:
            return "measuring"
        if self.verdict and self.verdict.action == "pause":
            return "paused"
        return "shifting" if self.agreed_s is None else "watching"

    @property
    def ended(self) -> bool:
        """Whether the release is over."""
        return self.result is not None

    @property
    def given_away(self) -> bool:
        """Whether the release has ended with another share for the canary than before it."""
        return self.ended and abs(self.asked_percent - self.found_percent) > SAME_POINTS

    @property
    def added(self) -> tuple[str, ...]:
        """The names of the additions that the route is to have now."""
        if self.ended:
            return ()
        return tuple(name for name in self.release.additions_at(self.step) if name in self.additions)

    @property
    def held(self) -> bool:
        """Whether the release waits for a person to resume it."""
        return self.held_s is not None

    @property
    def frozen(self) -> bool:
        """Whether the weights stay although the canary is worse, until a person decides."""
        return self.frozen_s is not None

    @property
    def harmed(self) -> bool:
        """Whether the latest verdict says that the canary is worse."""
        return self.verdict is not None and self.verdict.action == "rollback"

    @property
    def waits(self) -> bool:
        """Whether the release waits in front of a gate, even of one that has expired."""
        return any(gate.closed for gate in self.gates)

    def elapsed_s(self, now_s: float) -> float:
        """How many seconds of the deadline have passed."""
        return (now_s if self.stopped_s is None else self.stopped_s) - self.deadline_from_s

    @property
    def forced(self) -> bool:
        """Whether a person sent the canary to 100 %."""
        return any(h.verb == "promote" for h in self.events)

    @property
    def verdict(self) -> Verdict | None:
        """The latest verdict, None before the first look."""
        return self.looks[-1].verdict if self.looks else None

    @property
    def coverage(self) -> Coverage | None:
        """How many proxies were asked for the latest window; None if none was."""
        return self.looks[-1].look.coverage if self.looks else None

    @property
    def sentences(self) -> tuple[str, ...]:
        """Sentences for people about the current state, the most important first."""
        if self.end_sentences:
            return self.end_sentences
        told = self.verdict.told if self.verdict else (f"Measuring {self.release.stable}.",)
        return (*self._frozen_told(), *waiting.sentences(self.gates, self.release), *told)

    def _frozen_told(self) -> tuple[str, ...]:
        if not self.frozen:
            return ()
        name, canary = self.release.name, self.release.canary
        return (
            f"Frozen: {canary} is worse and keeps {self.asked_percent:g} % until a person decides.",
            f"'meshkit release rollback {name}' or 'meshkit release promote {name}' does so.",
        )

    @property
    def step_looks(self) -> tuple[SampleWindow, ...]:
        """The sample windows since the last change of weights."""
        found: list[SampleWindow] = []
        for judged in reversed(self.looks):
            if judged.look.step != self.step:
                break
            found.append(judged.look)
        return tuple(reversed(found))

    @property
    def beside_percent(self) -> float:
        """The canary's share of all requests by other rules than the weighted one, before the first step."""
        return share_beside(*self.requests_before, self.found_percent)

    def recent(self) -> ReleaseState:
        """This state with the last RECENT_LOOKS looks only, for a runner, whose memory is not to grow."""
        return replace(self, looks=self.looks[-RECENT_LOOKS:]) if len(self.looks) > RECENT_LOOKS else self
