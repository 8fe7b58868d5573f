"""What the journal says about the gates of a release: which are waited for, and who answered what."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from meshkit.intent.gates import Gate
    from meshkit.intent.release import Release

GATE = "gate"
"""The kind of the records about gates."""
GateWord = Literal["waits", "approved", "rejected", "expired", "overruled"]


@dataclass(frozen=True)
class GateState:
    """A gate that the release has reached, since when it is waited for, and the answer.

    ``answer`` is ``waits``, ``approved``, ``rejected``, ``expired`` (nobody answered in time), or
    ``overruled`` by a person's command ``promote``. Times are seconds since the epoch.
    """

    gate: Gate
    since_s: float
    answer: GateWord = "waits"
    answered_s: float | None = None
    who: str = ""
    why: str = ""

    @property
    def closed(self) -> bool:
        """Whether the release still waits in front of it."""
        return self.answer in ("waits", "expired")

    @property
    def until_s(self) -> float:
        """When the gate expires."""
        return self.since_s + self.gate.expires_s

    def as_record(self) -> dict[str, Any]:
        """The gate as a JSON-ready mapping."""
        return {
            "gate": self.gate.name,
            "before_percent": self.gate.before,
            "by": self.gate.by,
            "answer": self.answer,
            "since_s": self.since_s,
            "until_s": self.until_s,
            "answered_s": self.answered_s,
            "who": self.who,
            "why": self.why,
        }


Gates = tuple[GateState, ...]


def answered(gates: Gates, release: Release, record: Mapping[str, Any]) -> Gates:
    """Return the gates after a record about one of them."""
    name, word, at_s = record["gate"], record["answer"], record["at_s"]
    if word == "waits":
        gate = {each.name: each for each in release.gates}[name]
        return (*(each for each in gates if each.gate.name != name), GateState(gate, at_s))
    fields = {
        "answer": word,
        "answered_s": at_s,
        "who": str(record.get("who", "")),
        "why": str(record.get("why", "")),
    }
    return tuple(replace(each, **fields) if each.gate.name == name else each for each in gates)


def passed(gates: Gates, at_s: float, who: str) -> Gates:
    """Return the gates after a change of weights that a person asked for: none is waited for any more."""
    fields: dict[str, Any] = {"answer": "overruled", "answered_s": at_s, "who": who}
    return tuple(replace(each, **fields) if each.closed else each for each in gates)


def closed(gates: Gates, release: Release, step: int) -> tuple[Gate, ...]:
    """The gates in front of a step that nobody has opened yet, waited for or not."""
    opened = {each.gate.name for each in gates if not each.closed}
    return tuple(gate for gate in release.gates_before(step) if gate.name not in opened)


def giving_back(gates: Gates) -> tuple[str, ...]:
    """Say why the gates end the release with the requests back at stable; empty if they do not."""
    for each in gates:
        if each.answer == "rejected":
            why = f": {each.why}" if each.why else ""
            return (f"Gate {each.gate.name} was rejected by {each.who}{why}.",)
        if each.answer == "expired" and each.gate.at_expiry == "rollback":
            return (f"Gate {each.gate.name} was not answered within {each.gate.expires_s:g} s.",)
    return ()


def event_text(record: Mapping[str, Any], gates: Gates) -> str:
    """Describe a record about a gate for the history of the release."""
    state = {each.gate.name: each for each in gates}[record["gate"]]
    name, before = state.gate.name, f"{state.gate.before:g} %"
    why = f": {state.why}" if state.why else ""
    return {
        "waits": f"waits for gate {name} before {before}",
        "approved": f"gate {name} before {before} is open{why}",
        "rejected": f"gate {name} before {before} was rejected{why}",
        "expired": f"gate {name} before {before} expired after {state.gate.expires_s:g} s",
    }[str(record["answer"])]


def sentences(gates: Gates, release: Release) -> tuple[str, ...]:
    """Say which gates the release waits for, and what opens them."""
    return tuple(text for each in gates if each.closed for text in _told(each, release))


def _told(state: GateState, release: Release) -> Iterator[str]:
    gate, approve = state.gate, f"'meshkit release approve {release.name} --gate {state.gate.name}'"
    where = f"gate {gate.name} before {gate.before:g} %"
    if state.answer == "expired":
        yield f"The {where} expired at {_utc(state.answered_s or state.until_s)}: the weights stay."
        yield (
            f"{approve} goes on and 'meshkit release rollback {release.name}' goes back; else the deadline "
            "decides."
        )
        return
    yield f"Waits for {where}, until {_utc(state.until_s)}; the verdicts go on."
    yield {
        "command": f"{approve} opens it.",
        "file": f"The file {gate.file} opens it, with the first word approve.",
        "annotation": f"The annotation {annotation_of(gate)} of {release.canary}'s workload opens it, with "
        "the first word approve.",
        "webhook": "Its webhook is asked.",
    }[gate.by]


def refusal(waiting: Sequence[GateState], name: str) -> str:
    """Say why a person's command does not open a gate now; empty if it does."""
    state = next((each for each in waiting if each.gate.name == name and each.closed), None)
    if state is None:
        return f"gate {name} is not waited for."
    if state.gate.by != "command" and state.answer == "waits":
        return f"gate {name} opens by {state.gate.by}; a person's command opens it only once it has expired."
    return ""


def annotation_of(gate: Gate) -> str:
    """The key of the annotation that answers a gate."""
    return f"meshkit.dev/gate-{gate.name}"


def _utc(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_s))
