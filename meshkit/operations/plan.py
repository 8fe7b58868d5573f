"""Plans and changes as data, with their text and JSON forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from meshkit.cluster.diff import FieldChange
from meshkit.cluster.journal import Operation
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.facts import ClusterRef, Finding
from meshkit.kube.steps import Step

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.effects import Effects
    from meshkit.operations.progress import OnEvent

R_co = TypeVar("R_co", covariant=True)
PENDING = "application/vnd.meshkit.pending+json"
"""The media type of an output that says how many steps are pending.

The runbook's exit code is derived from it, and programs find it in an executed notebook.
"""
OUTCOME = "application/vnd.meshkit.outcome+json"
"""The media type of an output that says in one sentence how an operation ended.

A runbook's last line, the banner of its report and its JUnit file repeat it.
"""
_FIELDS_SHOWN = 12
_VALUE_CHARS = 60


@dataclass(frozen=True)
class Plan:
    """What a change would do: its steps in order, or none if there is nothing to do.

    Every step was dry-run on the server, or names the step after which it will be. ``unchanged`` counts the
    objects that are already as desired; ``findings`` are warnings. ``what`` is the title; ``operation``,
    ``target`` and ``facts`` are stored in the journal to find the change again.
    """

    what: str
    mesh: str
    context: str
    server: str
    steps: tuple[PlannedStep, ...]
    unchanged: int = 0
    findings: tuple[Finding, ...] = ()
    operation: str = "apply"
    target: str = ""
    facts: Mapping[str, str | bool] = field(default_factory=dict)
    lock: str = ""
    """The Lease held while the plan is applied; empty if concurrent changes are allowed."""
    confirmation: str = ""
    """The name that confirms a disruptive plan; empty if no confirmation is needed."""
    look: Callable[[], Effects] | None = field(default=None, repr=False, compare=False)
    """Reads the cluster to tell which requests the plan changes."""
    wanted: tuple[Step, ...] = field(default=(), repr=False, compare=False)
    """All steps in order, also those whose objects are already as desired."""

    @cached_property
    def effects(self) -> Effects | None:
        """Which requests change, from what to what; None if the plan has no steps or no cluster to read.

        The cluster is read when this is used for the first time.
        """
        return self.look() if self.look is not None and self.steps else None

    @property
    def yaml(self) -> str:
        """All objects of the plan as YAML for a Git repository, without the data of Secrets."""
        from meshkit.operations.export.plan_yaml import plan_yaml

        return plan_yaml(self)

    @property
    def record(self) -> Operation:
        """The operation under which the journal stores this plan's change."""
        return Operation(self.operation, self.mesh, self.target, self.facts)

    @property
    def cluster(self) -> ClusterRef:
        """The cluster that the plan was made for."""
        return ClusterRef(self.context, self.server)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    def __str__(self) -> str:
        lines = [self.heading]
        lines += (f"{f.severity} {f.code} {f.object}: {f.message} {f.remedy}" for f in self.findings)
        for number, planned in enumerate(self.steps, start=1):
            lines.append(f"{number:3}  {planned.action:6}  {planned.step.title}{_note(self.note(planned))}")
            lines += (f"{'':13}{line}" for line in self.changed_fields(planned))
        lines += self.effects.lines if self.effects is not None else ()
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.steps))

    def to_json(self) -> str:
        """The plan as a JSON text, with every changed field."""
        return json.dumps(
            {
                "what": self.what,
                "mesh": self.mesh,
                "cluster": vars(self.cluster),
                "unchanged": self.unchanged,
                "findings": [finding.as_record() for finding in self.findings],
                "steps": [self._step(planned) for planned in self.steps],
                "effects": self.effects.as_record() if self.effects is not None else None,
            },
            indent=2,
        )

    def note(self, one: PlannedStep) -> str:
        """Say when a step is validated and what it waits for."""
        parts = []
        if one.needs is not None:
            maker = next(n for n, other in enumerate(self.steps, start=1) if other.step is one.needs)
            parts.append(f"checked when step {maker} is done")
        if one.step.wait and not one.step.removed:
            parts.append(f"waits until {one.step.wait.condition}, at most {one.step.wait.timeout_s:g} s")
        if one.step.settle_s and one is not self.steps[-1]:
            parts.append(f"proxies get {one.step.settle_s:g} s to learn of it")
        return ", ".join(parts)

    def changed_fields(self, one: PlannedStep) -> list[str]:
        """List the fields that a step changes, one per line; empty if it creates or deletes its object."""
        if one.action != "change":
            return []
        more = len(one.changes) - _FIELDS_SHOWN
        hidden = [f"and {more} more fields"] if more > 0 else []
        return [*map(_field, one.changes[:_FIELDS_SHOWN]), *hidden]

    @property
    def heading(self) -> str:
        """Summarise what the plan does, where, and in how many steps."""
        where = f"{self.mesh} on cluster {self.cluster}"
        same = f"{self.unchanged} {'object is' if self.unchanged == 1 else 'objects are'} unchanged"
        if self.empty:
            return f"{self.what}, {where}: nothing to do, {same}."
        steps = f"{len(self.steps)} step{'s' if len(self.steps) > 1 else ''}"
        return f"{self.what}, {where}: {steps}, {same}."

    def _step(self, one: PlannedStep) -> dict[str, Any]:
        return {
            "action": one.action,
            "object": one.step.title,
            "note": self.note(one),
            "changes": [vars(change) for change in one.changes],
        }


class OperationPlan(Protocol[R_co]):
    """A plan that consists of several changes, or of more than steps; ``mk.apply`` runs it.

    It contains everything random or time-dependent, so that what was shown is what runs. Later changes are
    planned from the state of the cluster at their time.
    """

    @property
    def cluster(self) -> ClusterRef:
        """The cluster that the plan was made for."""
        ...

    @property
    def confirmation(self) -> str:
        """The name that must be repeated to apply the plan; empty if no confirmation is needed."""
        ...

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        ...

    def run(self, cluster: Cluster, *, progress: OnEvent, why: str) -> R_co:
        """Carry it out."""
        ...


@dataclass(frozen=True)
class Change:
    """A change that was made or undone, or, in a dry run, would be.

    ``id`` is its id in the journal, empty if there was nothing to do. ``kept`` has one sentence for each
    object that was to be deleted and deliberately stays.
    """

    id: str
    what: str
    steps: int
    cluster: ClusterRef
    kept: tuple[str, ...] = ()
    dry: bool = False
    told: tuple[str, ...] = ()
    """A sentence for each Gateway API route with what its parents say of it."""

    def __str__(self) -> str:
        if not self.id:
            return f"{self.what} on cluster {self.cluster}: nothing to do."
        how = "would be done" if self.dry else "done"
        steps = f"{self.steps} step{'s' if self.steps != 1 else ''} {how}"
        done = f"{self.what} on cluster {self.cluster}: {steps}, change {self.id}."
        return "\n".join([done, *self.kept, *self.told])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(self.steps) if self.dry else {**pending(0), **outcome(str(self))}


@dataclass(frozen=True)
class Changes:
    """The changes of one operation, oldest first; ``mk.undo`` undoes them together."""

    what: str
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or f"{self.what}: nothing to do."

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return outcome(str(self))


def pending(steps: int) -> dict[str, Any]:
    """Return the part of an output that says how many steps are pending."""
    return {PENDING: {"steps": steps}}


def outcome(text: str) -> dict[str, Any]:
    """Return the part of an output that says how an operation ended."""
    return {OUTCOME: {"text": text}}


def _note(note: str) -> str:
    return f"  ({note})" if note else ""


def _field(change: FieldChange) -> str:
    owned = f"  (owned by {', '.join(change.owners)})" if change.owners else ""
    return f"{change.path}: {_value(change.before)} -> {_value(change.after)}{owned}"


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARS else f"{text[: _VALUE_CHARS - 3]}..."
