"""A plan as a table of fields: sign, path, value before and after, and present owner; the YAML is folded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from meshkit.cluster.diff import FieldChange
from meshkit.decide.formatting import count
from meshkit.views.display import effects_table
from meshkit.views.icons import icon

if TYPE_CHECKING:
    from meshkit.cluster.steps.dry_run import PlannedStep
    from meshkit.operations.plan import Plan
    from meshkit.operations.setup.status import StageStatus

SHOWN_FIELDS = 12
"""Fields shown for each object; the rest is in its YAML."""
YAML_LINES = 150
_VALUE_CHARS = 60
_TOGETHER = 3
"""From this many new objects of one kind in a row, they are shown as one line."""
_LONG = 8
"""In a plan of more steps the fields of new objects are folded, so that changes of existing objects show."""
_NAMED = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
_SIGNS = {"+": "added", "~": "changed", "−": "removed"}


def plan_card(plan: Plan) -> Markup:
    """The plan as a card: its objects in order, each with its fields."""
    title = f"Plan for cluster {plan.cluster}"
    if plan.empty:
        same = (
            "1 object is as it should"
            if plan.unchanged == 1
            else f"{plan.unchanged} objects are as they should"
        )
        return card(title, "", Markup('<p class="mk-muted">Nothing to do: {} be.</p>').format(same))
    rows, number, fold = [], 0, len(plan.steps) > _LONG
    for _, group in groupby(plan.steps, key=_group):
        steps = list(group)
        if len(steps) >= _TOGETHER and steps[0].action == "create":
            rows.append(_together(steps, number))
        else:
            for n, one in enumerate(steps, start=1):
                rows.append(_object_rows(one, number + n, plan.note(one), fold=fold))
        number += len(steps)
    head = Markup('<tr class="mk-plan-head"><td></td><td colspan="2"></td><td>owner now</td></tr>')
    columns = Markup("").join(
        Markup('<col class="mk-col-{}">').format(name) for name in ("sign", "path", "values", "owner")
    )
    table = Markup('<table class="mk-plan"><colgroup>{}</colgroup><tbody>{}{}</tbody></table>').format(
        columns, head, Markup("").join(rows)
    )
    body = table + Markup("").join(_foreign_words(plan)) + _effects(plan)
    return card(title, f"in this order: {_sums(plan)}", body)


def _effects(plan: Plan) -> Markup:
    """The requests that change, if they were looked at: a view makes no request itself."""
    seen = vars(plan).get("effects")
    if not seen:
        return Markup("")
    # A table wider than its card is scrolled, which the keyboard can do only where the focus can be.
    return Markup(
        '<div class="mk-effects" tabindex="0" role="region" aria-label="Requests that change">{}</div>'
    ).format(effects_table(seen))


def no_plan_card(status: StageStatus, proposed: bool) -> Markup:
    """The card that says why there is no plan."""
    words = {
        "blocked": f"Comes {status.summary}.",
        "done": "Done. Change the settings to plan again.",
    }
    otherwise = "Asking the server what would change…" if proposed else "Nothing can be proposed yet."
    reason = words.get(status.state, otherwise)
    return card("Plan", "", Markup('<p class="mk-muted">{}</p>').format(reason))


def card(title: str, note: str, body: Markup) -> Markup:
    """A card with a heading and a remark at its right."""
    return Markup(
        '<section class="mk-card"><div class="mk-head"><h3>{}</h3><span class="mk-muted">{}</span></div>'
        "{}</section>"
    ).format(title, note, body)


def _group(one: PlannedStep) -> tuple[str, str]:
    return one.action, one.step.kind.kind


def _sums(plan: Plan) -> str:
    counts = dict.fromkeys(_SIGNS, 0)
    for one in plan.steps:
        for change in _leaves(one):
            counts[_sign(change)] += 1
    found = (f"{sign} {count(n)} {_SIGNS[sign]}" for sign, n in counts.items() if n)
    return ", ".join(found)


def _together(steps: Sequence[PlannedStep], number: int) -> Markup:
    names = Markup("").join(
        Markup("<details><summary>{}</summary>{}</details>").format(one.step.name, _yaml(one))
        for one in steps
    )
    title = f"{number + 1}–{number + len(steps)}. {len(steps)} {steps[0].step.kind.kind}s, new"
    return _title_row(title, "", names, "names")


def _title_row(title: str, note: str, body: Markup, what: str) -> Markup:
    """The line of an object, whose details unfold below it."""
    notes = Markup(' <span class="mk-muted">{}</span>').format(note) if note else ""
    return Markup(
        '<tr class="mk-plan-object"><td></td><td colspan="3"><details>'
        '<summary><span>{}{}</span><span class="mk-fold">{}</span></summary>{}</details></td></tr>'
    ).format(title, notes, what, body)


def _object_rows(one: PlannedStep, number: int, note: str, *, fold: bool) -> Markup:
    leaves = list(_leaves(one))
    title = f"{number}. {one.step.title}{', new' if one.action == 'create' else ''}"
    shown = [] if fold and one.action == "create" else leaves[:SHOWN_FIELDS]
    hidden = len(leaves) - len(shown)
    what = f"{hidden} {'more ' if shown else ''}field{'' if hidden == 1 else 's'}, YAML" if hidden else "YAML"
    return _title_row(title, note, _yaml(one), what) + Markup("").join(map(_field_row, shown))


def _field_row(change: FieldChange) -> Markup:
    sign = _sign(change)
    kind = {"+": "added", "~": "changed", "−": "removed"}[sign]
    before = Markup("<del>{}</del>").format(_value(change.before)) if change.before is not None else ""
    after = Markup("<ins>{}</ins>").format(_value(change.after)) if change.after is not None else ""
    arrow = " → " if before and after else ""
    owner = escape(", ".join(change.owners) or "nobody")
    marked = Markup("{} {}").format(icon("warn"), owner) if foreign(change) else owner
    path = escape(change.path).replace(".", Markup(".<wbr>")).replace("[", Markup("<wbr>["))
    return Markup(
        '<tr><td class="mk-{}"><b aria-label="{}">{}</b></td><td class="mk-path">{}'
        '<div class="mk-owner-below" aria-hidden="true">owner: {}</div></td>'
        '<td class="mk-values">{}{}{}</td><td class="mk-owner">{}</td></tr>'
    ).format(kind, kind, sign, path, marked, before, arrow, after, marked)


def foreign(change: FieldChange) -> bool:
    """Whether a field manager other than meshkit owns the field."""
    return any(not owner.startswith("meshkit") for owner in change.owners)


def _foreign_words(plan: Plan) -> Iterator[Markup]:
    for one in plan.steps:
        for change in one.changes:
            if foreign(change):
                yield Markup(
                    '<p class="mk-foreign">{} <code>{}</code> of {} belongs to <code>{}</code>. '
                    "meshkit becomes its owner; undo gives it back.</p>"
                ).format(icon("warn"), change.path, one.step.title, ", ".join(change.owners))


def _leaves(one: PlannedStep) -> Iterator[FieldChange]:
    """Every field that differs, new mappings field by field, without the fields that name the object."""
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
    """The parts of a mapping or of a list of mappings, each with its path."""
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


def _yaml(one: PlannedStep) -> Markup:
    """The object that will be applied, as YAML: the fields that meshkit will own. A Secret is not shown."""
    import yaml

    if one.step.kind.kind == "Secret":
        return Markup('<p class="mk-muted">A Secret is not shown.</p>')
    lines = yaml.safe_dump(json.loads(json.dumps(one.step.object)), sort_keys=False).splitlines()
    rest = len(lines) - YAML_LINES
    tail = [f"# {count(rest)} more lines"] if rest > 0 else []
    return Markup("<pre>{}</pre>").format("\n".join(lines[:YAML_LINES] + tail))
