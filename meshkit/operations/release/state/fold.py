"""The state of a release as a fold over its journal.

A record is appended before its effect (``weights`` before the weights are written), so the records of a
killed runner show what it was about to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import dropwhile
from typing import Any, get_args

from meshkit.cluster.journal import reading_records
from meshkit.decide.baseline import Baseline
from meshkit.decide.ladder import AGREEMENT_POINTS, share_percent, stage, whole_share
from meshkit.decide.sample_windows import SampleWindow
from meshkit.decide.verdict import JudgedWindow, Verdict
from meshkit.intent.release import Release
from meshkit.operations.release.gates import waiting
from meshkit.operations.release.state.model import Ended, ReleaseEvent, ReleaseState

Record = Mapping[str, Any]
SHOWN_APART = 0.2
"""A measured share that differs by more than this part of the one asked for looks like another share."""
_MOST = 1e11
"""More than any time of this millennium in seconds, and than the requests of any release."""
BEGIN = "begin"
"""The kind of the record that starts a release."""
DECIDED = "decided"
"""The kind of the record that the train of a release has decided how it ends."""
TAKEN_UP = "resumed by another process"
"""The text of the event that another process runs the release from there on."""
GIVEN_BACK, TAKEN_AGAIN = "given back", "taken again"
"""The kinds of the records of a rollback after the end of a release, and of the undo of that rollback."""


def fold(records: Iterable[Record]) -> ReleaseState:
    """Fold the records of one release, from its ``begin`` on, into its state.

    ``writer`` is the number of the lock's holder. Records of an earlier holder that follow the first record
    of the next one are ignored. Raises ``BrokenJournal`` for a record without the fields of its kind.
    """
    with reading_records("this release"):
        return _folded(records)


def _folded(records: Iterable[Record]) -> ReleaseState:
    first, *rest = of_holders(dropwhile(lambda record: record.get("kind") != BEGIN, records))
    state = _begun(first)
    for record in rest:
        state = after(state, record)
    return state


def of_holders(records: Iterable[Record]) -> Iterator[Record]:
    """The records without those that a holder of the lock wrote after the first one of the next holder."""
    newest = 0
    for record in records:
        if record.get("writer", newest) >= newest:
            newest = record.get("writer", newest)
            yield record


def begun(record: Record) -> ReleaseState:
    """Return the initial state from a ``begin`` record. Raises ``BrokenJournal`` for any other record."""
    with reading_records("this release"):
        return _begun(record)


def _begun(record: Record) -> ReleaseState:
    stable, canary = (int(_checked(weight)) for weight in record["weights"])
    release = Release(**record["release"])
    found_percent = share_percent(stable, canary)
    text = f"{record['object']}: {release.stable} to {release.canary}"
    return ReleaseState(
        change_id=record["change_id"],
        release=release,
        mesh=record["mesh"],
        started_s=_number(record, "at_s"),
        deadline_from_s=_number(record, "at_s"),
        found_percent=found_percent,
        asked_percent=found_percent,
        found_weights=(stable, canary),
        managed_fields=tuple(record["managed_fields"]),
        route=record["route"],
        edges=tuple(record.get("edges") or ()),
        additions=_additions(record.get("additions", {})),
        train=str(record.get("train", "")),
        events=(ReleaseEvent(_number(record, "at_s"), "begin", text, str(record["who"])),),
    )


def _additions(found: Any) -> dict[str, dict[str, Any]]:
    """What a release adds to its route, of which each part is used as it is written here."""
    if not all(isinstance(each["list"], str) and isinstance(each["value"], dict) for each in found.values()):
        raise TypeError("its additions are none")
    return dict(found)


def after(state: ReleaseState, record: Record) -> ReleaseState:
    """Return the state after one more record.

    Records of an unknown kind change nothing, because a newer meshkit may have written them.
    """
    match record.get("kind"):
        case "look":
            return _looked(state, _judged(record))
        case "baseline":
            return replace(state, baseline=Baseline.from_record(record))
        case "weights":
            return _shifted(state, record)
        case "agreed":
            text = _agreement(state, record["measured_percent"], record.get("requests"))
            return _noted(replace(state, agreed_s=_number(record, "at_s")), record, "agreed", text)
        case "command":
            verb = record["verb"]
            if verb == "hold":
                state = _held(state, _number(record, "at_s"))
            elif verb in ("resume", "promote"):
                state = _resumed(state, _number(record, "at_s"))
            wanted = verb if verb in ("promote", "rollback") else state.wanted
            if verb == "promote" and state.frozen and state.step == len(state.release.ladder) - 1:
                wanted = "end"
            if verb != "hold":
                state = replace(state, frozen_s=None)
            state = replace(state, wanted=wanted, last_command=record["command_id"])
            return _noted(state, record, "command", verb, record["who"], verb)
        case waiting.GATE:
            gates = waiting.answered(state.gates, state.release, record)
            state = _clocked(replace(state, gates=gates), _number(record, "at_s"))
            return _noted(state, record, "gate", waiting.event_text(record, gates), record.get("who", ""))
        case "hold":
            return _noted(_held(state, _number(record, "at_s")), record, "note", "held at the deadline")
        case "frozen":
            at_s = _number(record, "at_s")
            text = f"frozen at {state.asked_percent:g} %: a person decides"
            return _noted(_held(replace(state, frozen_s=at_s), at_s), record, "note", text)
        case "decided":
            if record["result"] not in get_args(Ended):
                raise ValueError("its result is none")
            text = f"train {state.train} decided: {record['result'].replace('_', ' ')}"
            return _noted(replace(state, decided=record["result"]), record, "note", text)
        case "taken up":
            return _noted(state, record, "note", TAKEN_UP, record["who"])
        case "note":
            return _noted(state, record, "note", record["text"])
        case "end":
            sentences = tuple(map(str, record["sentences"]))
            if record["result"] not in get_args(Ended):
                raise ValueError("its result is none")
            state = replace(
                state,
                result=record["result"],
                ended_s=_number(record, "at_s"),
                end_sentences=sentences,
                asked_percent=_number(record, "percent"),
            )
            return _noted(state, record, "end", sentences[0])
        case "given back" | "undone":
            return _given_back(state, record)
        case "taken again":
            return _taken_again(state, record)
    return state


def begin_record(state: ReleaseState) -> dict[str, Any]:
    """Return the record that a release began with, from its state."""
    begin = state.events[0]
    return {
        "kind": BEGIN,
        "change_id": state.change_id,
        "release": state.release.model_dump(mode="json"),
        "mesh": state.mesh,
        "object": begin.text.partition(": ")[0],
        "route": dict(state.route),
        "additions": dict(state.additions),
        "weights": list(state.found_weights),
        "managed_fields": [dict(entry) for entry in state.managed_fields],
        "edges": [dict(edge) for edge in state.edges],
        **({"train": state.train} if state.train else {}),
        "at_s": state.started_s,
        "who": begin.who,
    }


def _given_back(state: ReleaseState, record: Record) -> ReleaseState:
    """The weights from before the release were restored after its end."""
    how = "undone" if record["kind"] == "undone" else "rolled back after its end"
    text = f"The release was {how} by {record['who']}: the weights are those from before it."
    at_s = record.get("at_s", state.ended_s or 0.0)
    state = replace(
        state,
        result="rolled_back",
        given_back=state.given_back or state.result,
        asked_percent=state.found_percent,
        end_sentences=(text, *state.end_sentences),
    )
    return _noted(state, {**record, "at_s": at_s}, "note", text, record["who"])


def _taken_again(state: ReleaseState, record: Record) -> ReleaseState:
    """The rollback after the end of the release was undone."""
    text = f"The rollback was undone by {record['who']}."
    state = replace(
        state,
        result=state.given_back,
        given_back=None,
        asked_percent=_number(record, "percent"),
        end_sentences=state.end_sentences[1:],
    )
    return _noted(state, record, "note", text, record["who"])


def _agreement(state: ReleaseState, measured_percent: float, requests: int | None) -> str:
    """Say how the measured share agrees with the one asked for, and if only because little was counted."""
    if state.release.lead_at(state.step):
        return f"{state.release.canary} gets {measured_percent:.1f} % by {stage(state.release, state.step)}"
    beside = f" and {state.beside_percent:.1f} % beside" if state.beside_percent else ""
    text = f"measured {measured_percent:.1f} %, asked {state.asked_percent:g} %{beside}"
    whole = whole_share(state.asked_percent, state.beside_percent)
    near = abs(measured_percent - whole) <= max(AGREEMENT_POINTS, whole * SHOWN_APART)
    if requests is None or near:
        return f"{text}: agrees"
    return f"{text}: no contradiction, but only {requests} requests were counted yet"


def _looked(state: ReleaseState, judged: JudgedWindow) -> ReleaseState:
    look = judged.look
    state = replace(state, looks=(*state.looks, judged))
    if look.step < 0:
        requests, canary = state.requests_before
        both = look.stable.requests + look.canary.requests
        state = replace(state, requests_before=(requests + both, canary + look.canary.requests))
    return _unobserved(state, look) if look.refused else state


def _unobserved(state: ReleaseState, look: SampleWindow) -> ReleaseState:
    """Leave the time of a refused window out of the step's clock and of the warm-up."""
    seconds = look.end_s - look.start_s
    agreed_s = None if state.agreed_s is None else state.agreed_s + seconds
    return replace(state, shifted_s=state.shifted_s + seconds, agreed_s=agreed_s)


def _held(state: ReleaseState, at_s: float) -> ReleaseState:
    return state if state.held else _clocked(replace(state, held_s=at_s), at_s)


def _resumed(state: ReleaseState, at_s: float) -> ReleaseState:
    """Restart the deadline from where it was held; one that had already passed starts again from zero."""
    if state.elapsed_s(at_s) >= state.release.deadline_s:
        state = replace(state, deadline_from_s=at_s if state.stopped_s is None else state.stopped_s)
    return _clocked(replace(state, held_s=None), at_s)


def _clocked(state: ReleaseState, at_s: float) -> ReleaseState:
    """Stop the deadline if the release is held now or waits for a gate; else let it go on from there."""
    stops = state.held or any(gate.answer == "waits" for gate in state.gates)
    if stops == (state.stopped_s is not None):
        return state
    if stops:
        return replace(state, stopped_s=at_s)
    return replace(state, stopped_s=None, deadline_from_s=at_s - state.elapsed_s(at_s))


def _shifted(state: ReleaseState, record: Record) -> ReleaseState:
    before, asked, step = state.asked_percent, _number(record, "asked_percent"), int(record["step"])
    promoted, at_s = step > state.release.deciding_step, _number(record, "at_s")
    asked_by = next((event.who for event in reversed(state.events) if event.verb == "promote"), "")
    state = _clocked(replace(state, gates=waiting.passed(state.gates, at_s, asked_by)), at_s)
    state = replace(
        state,
        step=step,
        asked_percent=asked,
        before_percent=before,
        shifted_s=at_s,
        agreed_s=None,
        deadline_from_s=at_s if promoted else state.deadline_from_s,
        wanted="" if state.wanted == "promote" else state.wanted,
    )
    lead = state.release.lead_at(step)
    text = f"{stage(state.release, step)} begins" if lead else f"{before:g} to {asked:g} %"
    return _noted(state, record, "weights", text)


def _noted(
    state: ReleaseState, record: Record, kind: Any, text: str, who: str = "", verb: str = ""
) -> ReleaseState:
    event = ReleaseEvent(_number(record, "at_s"), kind, str(text), str(who), str(verb))
    return replace(state, events=(*state.events, event))


def _judged(record: Record) -> JudgedWindow:
    look, verdict = record["look"], record["verdict"]
    for name in ("start_s", "end_s", "step", "asked_percent"):
        _number(look, name)
    for arm in (look["stable"], look["canary"]):
        _number(arm, "requests")
        _number(arm, "errors")
    told = [*verdict["sentences"], *(verdict.get(name, "") for name in ("action", "label", "summary"))]
    numbers = [verdict["harm"], verdict["harm_limit"]]
    for name, value, limit, unit, *_ in verdict["conditions"]:
        told += (name, unit)
        numbers += (value, limit)
    if not (all(isinstance(t, str) for t in told) and all(isinstance(n, int | float) for n in numbers)):
        raise TypeError("the verdict of a look is none")
    return JudgedWindow(SampleWindow.from_record(look), Verdict.from_record(verdict))


def _number(record: Record, name: str) -> float:
    return _checked(record[name])


def _checked(found: Any) -> int | float:
    """A number. Raises ``TypeError`` for anything else, and for what can be no time or count."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < _MOST:
        raise TypeError(f"{found!r} is no number")
    return found
