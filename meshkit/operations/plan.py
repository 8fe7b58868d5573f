"""A plan as data, and how it reads: as text, as HTML in a notebook, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from meshkit import codes, settings
from meshkit.cluster.diff import FieldChange
from meshkit.cluster.executor import PlannedStep
from meshkit.facts import ClusterRef, Finding

PENDING = "application/vnd.meshkit.pending+json"
"""The media type by which an output says how many steps wait to be applied: the runbook's exit code is made
from it, and a program that reads an executed notebook finds it there.
"""
_FIELDS_SHOWN = 12
_VALUE_CHARS = 60
_LEFT = " style='text-align:left'"


@dataclass(frozen=True)
class Plan:
    """What a change would do: steps in order, none when there is nothing to do.

    Every step was dry-run on the server, or says after which step it will be. ``unchanged`` counts objects
    that are as they should be; ``findings`` are warnings.
    """

    what: str
    mesh: str
    context: str
    server: str
    steps: tuple[PlannedStep, ...]
    unchanged: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def cluster(self) -> ClusterRef:
        """The cluster that it was made for."""
        return ClusterRef(self.context, self.server)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    def __str__(self) -> str:
        lines = [self._heading()]
        lines += (f"warning {f.code} {f.object}: {f.message} {f.remedy}" for f in self.findings)
        for number, one in enumerate(self.steps, start=1):
            lines.append(f"{number:3}  {one.action:6}  {one.step.title}{_note(self.note(one))}")
            if one.action == "change":
                lines += (f"{'':13}{_field(change)}" for change in _shown(one))
                lines += [f"{'':13}{hidden}" for hidden in _hidden(one)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.steps))

    def _repr_html_(self) -> str:
        rows = "".join(self._row(number, one) for number, one in enumerate(self.steps, start=1))
        notes = "".join(
            f"<p><strong>{codes.html_link(finding, settings.docs())}</strong> "
            f"{escape(f'{finding.object}: {finding.message} {finding.remedy}')}</p>"
            for finding in self.findings
        )
        heads = "".join(f"<th{_LEFT}>{head}</th>" for head in ("#", "", "object", "what changes"))
        table = f"<table class='meshkit-plan'><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return f"<p>{escape(self._heading())}</p>{notes}{table if rows else ''}"

    def to_json(self) -> str:
        """The plan as a JSON text, with every changed field."""
        return json.dumps(
            {
                "what": self.what,
                "mesh": self.mesh,
                "cluster": vars(self.cluster),
                "unchanged": self.unchanged,
                "findings": [finding.as_record() for finding in self.findings],
                "steps": [self._step(one) for one in self.steps],
            },
            indent=2,
        )

    def note(self, one: PlannedStep) -> str:
        """What is special about a step: when it is checked, what it waits for."""
        parts = []
        if one.needs is not None:
            maker = next(n for n, other in enumerate(self.steps, start=1) if other.step is one.needs)
            parts.append(f"checked when step {maker} is done")
        if one.step.wait and not one.step.removed:
            parts.append(f"waits until {one.step.wait.condition}, at most {one.step.wait.timeout_s:g} s")
        return ", ".join(parts)

    def _heading(self) -> str:
        where = f"{self.mesh} on cluster {self.cluster}"
        same = f"{self.unchanged} objects are as they should be"
        if self.empty:
            return f"{self.what}, {where}: nothing to do, {same}."
        steps = f"{len(self.steps)} step{'s' if len(self.steps) > 1 else ''}"
        return f"{self.what}, {where}: {steps}, {same}."

    def _row(self, number: int, one: PlannedStep) -> str:
        lines = [_field(change) for change in _shown(one)] if one.action == "change" else []
        lines += [*_hidden(one), self.note(one)]
        cell = "<br>".join(escape(line) for line in lines if line)
        cells = (str(number), one.action, escape(one.step.title), cell)
        return f"<tr>{''.join(f'<td{_LEFT}>{text}</td>' for text in cells)}</tr>"

    def _step(self, one: PlannedStep) -> dict[str, Any]:
        return {
            "action": one.action,
            "object": one.step.title,
            "note": self.note(one),
            "changes": [vars(change) for change in one.changes],
        }


@dataclass(frozen=True)
class Change:
    """A change that was made or taken back, or, in a dry run, would be.

    ``id`` names it in the journal, empty when there was nothing to do. ``kept`` has a sentence for each
    object that was to go and stays on purpose.
    """

    id: str
    what: str
    steps: int
    cluster: ClusterRef
    kept: tuple[str, ...] = ()
    dry: bool = False

    def __str__(self) -> str:
        if not self.id:
            return f"{self.what} on cluster {self.cluster}: nothing to do."
        how = "would be done" if self.dry else "done"
        steps = f"{self.steps} step{'s' if self.steps != 1 else ''} {how}"
        done = f"{self.what} on cluster {self.cluster}: {steps}, change {self.id}."
        return "\n".join([done, *self.kept])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(self.steps if self.dry else 0)


def pending(steps: int) -> dict[str, Any]:
    """The part of an output that says how many steps wait."""
    return {PENDING: {"steps": steps}}


def _note(note: str) -> str:
    return f"  ({note})" if note else ""


def _shown(one: PlannedStep) -> Iterator[FieldChange]:
    yield from one.changes[:_FIELDS_SHOWN]


def _hidden(one: PlannedStep) -> Iterator[str]:
    more = len(one.changes) - _FIELDS_SHOWN
    if one.action == "change" and more > 0:
        yield f"and {more} more fields"


def _field(change: FieldChange) -> str:
    owned = f"  (owned by {', '.join(change.owners)})" if change.owners else ""
    return f"{change.path}: {_value(change.before)} -> {_value(change.after)}{owned}"


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARS else f"{text[: _VALUE_CHARS - 3]}..."
