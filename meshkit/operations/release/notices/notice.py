"""What is told about a release: one notice for each of its transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from meshkit.operations.release.gates import waiting
from meshkit.operations.release.state.fold import TAKEN_UP

if TYPE_CHECKING:
    from meshkit.operations.release.state.model import ReleaseState

EventWord = Literal[
    "started",
    "continued",
    "step",
    "held",
    "frozen",
    "resumed",
    "gate waits",
    "gate approved",
    "gate rejected",
    "gate expired",
    "promoted",
    "rolled back",
    "undone",
    "taken again",
    "undecided",
    "lost",
]
_WARNINGS = ("frozen", "gate rejected", "gate expired", "rolled back", "undecided", "lost")


@dataclass(frozen=True)
class Notice:
    """One transition of a release, in a sentence for people; ``at_s`` is seconds since the epoch."""

    event: EventWord
    text: str
    at_s: float
    percent: float
    who: str = ""

    @property
    def reason(self) -> str:
        """The reason of the Kubernetes Event: ``ReleaseGateWaits``."""
        return "Release" + "".join(word.capitalize() for word in self.event.split())

    @property
    def warns(self) -> bool:
        """Whether the Event is of the type Warning."""
        return self.event in _WARNINGS

    def body(self, state: ReleaseState, cluster: str) -> dict[str, Any]:
        """The JSON that a webhook gets."""
        release = state.release
        return {
            "kind": "release",
            "event": self.event,
            "text": self.text,
            "at_s": self.at_s,
            "who": self.who,
            "release": release.name,
            "namespace": release.namespace,
            "service": release.service,
            "port": release.port,
            "stable": release.stable,
            "canary": release.canary,
            "percent": self.percent,
            "change": state.change_id,
            "mesh": state.mesh,
            "cluster": cluster,
        }


def first_notice(state: ReleaseState) -> Notice:
    """The notice that a process runs the release, from its start or from where another one had left it."""
    release, begin, last = state.release, state.events[0], state.events[-1]
    what = f"Release {release.name} of {release.service} from {release.stable} to {release.canary}"
    if state.looks or last.text == TAKEN_UP:
        text = f"{what} is continued by another process at {state.asked_percent:g} %."
        return Notice("continued", text, last.at_s, state.asked_percent, last.who)
    return Notice("started", f"{what} started.", begin.at_s, state.asked_percent, begin.who)


def notice_of(record: Mapping[str, Any], state: ReleaseState) -> Notice | None:
    """The notice about a record, of which ``state`` is the result; None if it is no transition."""
    found = _said(record, state)
    if found is None:
        return None
    event, text = found
    name, percent = state.release.name, state.asked_percent
    return Notice(event, f"Release {name}: {text}", record["at_s"], percent, str(record.get("who") or ""))


def lost_notice(state: ReleaseState, text: str, at_s: float) -> Notice:
    """The notice that a release cannot go on and needs a person."""
    return Notice("lost", f"Release {state.release.name}: {text}", at_s, state.asked_percent)


def _said(record: Mapping[str, Any], state: ReleaseState) -> tuple[EventWord, str] | None:
    last, canary = state.events[-1].text, state.release.canary
    match record.get("kind"), record.get("verb") or record.get("answer") or record.get("result"):
        case "weights", _:
            if state.release.lead_at(state.step):
                return "step", f"{last} for {canary}."
            return "step", f"{canary} gets {state.asked_percent:g} % of the requests."
        case "hold", _:
            return "held", f"{last}; {canary} keeps {state.asked_percent:g} %."
        case "frozen", _:
            return "frozen", " ".join((f"{last}.", *state.sentences[1:]))
        case "command", "hold":
            return "held", f"held by a person; {canary} keeps {state.asked_percent:g} %."
        case "command", "resume":
            return "resumed", "resumed by a person."
        case waiting.GATE, "waits":
            return "gate waits", " ".join(waiting.sentences(state.gates, state.release))
        case waiting.GATE, "approved":
            return "gate approved", f"{last}."
        case waiting.GATE, "rejected":
            return "gate rejected", f"{last}."
        case waiting.GATE, "expired":
            return "gate expired", f"{last}."
        case "end", "promoted":
            return "promoted", " ".join(state.sentences[:1])
        case "end", "rolled_back":
            return "rolled back", " ".join(state.sentences[:1])
        case "end", _:
            return "undecided", " ".join(state.sentences[:1])
    return None
