"""A plan as a table of fields: sign, path, value before and after, who owns it now; the YAML a click away."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from meshkit.cluster.diff import FieldChange
from meshkit.views.icons import icon

if TYPE_CHECKING:
    from meshkit.cluster.executor import PlannedStep
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.status import StageStatus

SHOWN_FIELDS = 12
"""Fields of one object that are shown at once; the rest is in its YAML."""
YAML_LINES = 150
_VALUE_CHARS = 60
_TOGETHER = 3
"""So many new objects of one kind in a row are shown as one line."""
_LONG = 8
"""In a plan of more steps the fields of new objects are folded: what changes in old ones stays in sight."""
_NAMED = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
_SIGNS = {"+": "added", "~": "changed", "−": "removed"}


def plan_card(plan: Plan) -> str:
    """The plan as a card: objects in order, each with its fields."""
    title = f"Plan for cluster {plan.cluster}"
    if plan.empty:
        same = (
            "1 object is as it should"
            if plan.unchanged == 1
            else f"{plan.unchanged} objects are as they should"
        )
        return card(title, "", f'<p class="mk-muted">Nothing to do: {same} be.</p>')
    rows, number, fold = [], 0, len(plan.steps) > _LONG
    for _, group in groupby(plan.steps, key=_group):
        steps = list(group)
        if len(steps) >= _TOGETHER and steps[0].action == "create":
            rows.append(_together(steps, number))
        else:
            for n, one in enumerate(steps, start=1):
                rows.append(_object_rows(one, number + n, plan.note(one), fold=fold))
        number += len(steps)
    head = '<tr class="mk-plan-head"><td></td><td colspan="2"></td><td>owner now</td></tr>'
    columns = "".join(f'<col class="mk-col-{name}">' for name in ("sign", "path", "values", "owner"))
    table = (
        f'<table class="mk-plan"><colgroup>{columns}</colgroup><tbody>{head}{"".join(rows)}</tbody></table>'
    )
    return card(title, f"in this order: {_sums(plan)}", table + "".join(_foreign_words(plan)))


def no_plan_card(standing: StageStatus, proposed: bool) -> str:
    """The card while there is no plan, and why."""
    words = {
        "blocked": f"Comes {standing.summary}.",
        "done": "Done. Change the settings to plan again.",
    }
    otherwise = "Asking the server what would change…" if proposed else "Nothing can be proposed yet."
    told = html.escape(words.get(standing.state, otherwise))
    return card("Plan", "", f'<p class="mk-muted">{told}</p>')


def card(title: str, note: str, body: str, more: str = "") -> str:
    """A card with a heading and a remark at its right."""
    remark = f'<span class="mk-muted">{html.escape(note)}</span>'
    return (
        f'<section class="mk-card{more}"><div class="mk-head"><h3>{html.escape(title)}</h3>{remark}</div>'
        f"{body}</section>"
    )


def _group(one: PlannedStep) -> tuple[str, str]:
    return one.action, one.step.kind.kind


def _sums(plan: Plan) -> str:
    counts = dict.fromkeys(_SIGNS, 0)
    for one in plan.steps:
        for change in _leaves(one):
            counts[_sign(change)] += 1
    found = (f"{sign} {n:,} {_SIGNS[sign]}" for sign, n in counts.items() if n)
    return ", ".join(found)


def _together(steps: Sequence[PlannedStep], number: int) -> str:
    names = "".join(
        f"<details><summary>{html.escape(one.step.name)}</summary>{_yaml(one)}</details>" for one in steps
    )
    title = f"{number + 1}–{number + len(steps)}. {len(steps)} {steps[0].step.kind.kind}s, new"
    return _title_row(title, "", names, "names")


def _title_row(title: str, note: str, body: str, what: str) -> str:
    """An object's line; what it holds unfolds below it."""
    notes = f' <span class="mk-muted">{html.escape(note)}</span>' if note else ""
    summary = (
        f'<summary><span>{html.escape(title)}{notes}</span><span class="mk-fold">{what}</span></summary>'
    )
    return f'<tr class="mk-plan-object"><td></td><td colspan="3"><details>{summary}{body}</details></td></tr>'


def _object_rows(one: PlannedStep, number: int, note: str, *, fold: bool) -> str:
    leaves = list(_leaves(one))
    title = f"{number}. {one.step.title}{', new' if one.action == 'create' else ''}"
    shown = [] if fold and one.action == "create" else leaves[:SHOWN_FIELDS]
    hidden = len(leaves) - len(shown)
    what = f"{hidden} {'more ' if shown else ''}field{'' if hidden == 1 else 's'}, YAML" if hidden else "YAML"
    return _title_row(title, note, _yaml(one), what) + "".join(map(_field_row, shown))


def _field_row(change: FieldChange) -> str:
    sign = _sign(change)
    kind = {"+": "added", "~": "changed", "−": "removed"}[sign]
    before = f"<del>{html.escape(_value(change.before))}</del>" if change.before is not None else ""
    after = f"<ins>{html.escape(_value(change.after))}</ins>" if change.after is not None else ""
    arrow = " → " if before and after else ""
    mark = f"{icon('warn')} " if foreign(change) else ""
    owner = html.escape(", ".join(change.owners) or "nobody")
    path = html.escape(change.path).replace(".", ".<wbr>").replace("[", "<wbr>[")
    return (
        f'<tr><td class="mk-{kind}"><b aria-label="{kind}">{sign}</b></td><td class="mk-path">{path}'
        f'<div class="mk-owner-below" aria-hidden="true">owner: {mark}{owner}</div></td>'
        f'<td class="mk-values">{before}{arrow}{after}</td><td class="mk-owner">{mark}{owner}</td></tr>'
    )


def foreign(change: FieldChange) -> bool:
    """Whether somebody else than meshkit wrote the field."""
    return any(not owner.startswith("meshkit") for owner in change.owners)


def _foreign_words(plan: Plan) -> Iterator[str]:
    for one in plan.steps:
        for change in one.changes:
            if foreign(change):
                owners = html.escape(", ".join(change.owners))
                yield (
                    f'<p class="mk-foreign">{icon("warn")} <code>{html.escape(change.path)}</code> of '
                    f"{html.escape(one.step.title)} belongs to <code>{owners}</code>. "
                    "meshkit becomes its owner; undo gives it back.</p>"
                )


def _leaves(one: PlannedStep) -> Iterator[FieldChange]:
    """Every field that differs, new parts taken apart; what only names the object is left out."""
    for change in one.changes:
        for leaf in _flat(change):
            if leaf.path not in _NAMED:
                yield leaf


def _flat(change: FieldChange) -> Iterator[FieldChange]:
    value = change.after if change.after is not None else change.before
    inside = list(_inside(value)) if change.before is None or change.after is None else []
    if inside:
        for step, inner in inside:
            before, after = (None, inner) if change.before is None else (inner, None)
            yield from _flat(FieldChange(f"{change.path}{step}", before, after, change.owners))
    else:
        yield change


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a mapping, and of a list of mappings, with the way to each."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"[{key}]" if "." in key or "/" in key else f".{key}", inner
    elif isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        for number, inner in enumerate(value):
            yield f"[{number}]", inner


def _sign(change: FieldChange) -> str:
    if change.before is None:
        return "+"
    return "−" if change.after is None else "~"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_CHARS else f"{text[: _VALUE_CHARS - 1]}…"


def _yaml(one: PlannedStep) -> str:
    """What will be applied, as YAML: only the fields that meshkit will own. A Secret's values stay out."""
    import yaml

    if one.step.kind.kind == "Secret":
        return '<p class="mk-muted">A Secret is not shown.</p>'
    lines = yaml.safe_dump(json.loads(json.dumps(one.step.object)), sort_keys=False).splitlines()
    rest = len(lines) - YAML_LINES
    tail = [f"# {rest:,} more lines"] if rest > 0 else []
    return f"<pre>{html.escape(chr(10).join(lines[:YAML_LINES] + tail))}</pre>"
