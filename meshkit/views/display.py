"""The HTML tables that a notebook cell shows for plans, findings and the status of an upgrade.

``install`` registers the tables with IPython by the names of the classes, so that nothing is imported before
the first of them is shown. Outside a notebook each prints as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from meshkit.views.code_link import code_link

if TYPE_CHECKING:
    from meshkit.cluster.steps.dry_run import PlannedStep
    from meshkit.facts import Finding
    from meshkit.operations.effects import Effects
    from meshkit.operations.experiments.comparison import Comparison
    from meshkit.operations.explain import Explanation
    from meshkit.operations.glance.model import Glance
    from meshkit.operations.health import Findings
    from meshkit.operations.plan import Plan
    from meshkit.operations.release.plan import ReleasePlan
    from meshkit.operations.upgrade.report import UpgradeStatus
    from meshkit.operations.upgrade.run import UpgradePlan

_LEFT = Markup(" style='text-align:left'")


def install(formatter: Any = None) -> None:
    """Register the tables with an IPython display formatter, by default that of the running kernel."""
    if formatter is None:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        formatter = shell.display_formatter if shell else None
    if formatter is None:
        return
    html = formatter.formatters["text/html"]
    for (module, name), table in _TABLES.items():
        html.for_type_by_name(module, name, table)
    svg = formatter.formatters["image/svg+xml"]
    svg.for_type_by_name("meshkit.operations.glance.model", "Glance", _glance_picture)


def plan_table(plan: Plan) -> Markup:
    """A plan: its heading, its findings, and a row for each step."""
    rows = [_step_cells(plan, number, planned) for number, planned in enumerate(plan.steps, start=1)]
    table = _table("meshkit-plan", ("#", "", "object", "what changes"), rows) if rows else ""
    effects = effects_table(plan.effects) if plan.effects is not None else ""
    return Markup("<p>{}</p>{}{}{}").format(plan.heading, _findings(plan.findings), table, effects)


def effects_table(effects: Effects) -> Markup:
    """The requests that change, one row for each group of callers, and what was not seen."""
    if not effects.changed:
        return Markup("").join(Markup("<p>{}</p>").format(line) for line in effects.lines)
    rows = [
        (", ".join(e.callers), e.place, e.conditions, "; ".join(e.before) or "-", "; ".join(e.after) or "-")
        for e in effects.changed
    ]
    table = _table("meshkit-effects", ("callers", "host", "requests", "before", "after"), rows)
    return table + (
        Markup("<p>Not seen:</p><ul>{}</ul>").format(_items(effects.not_seen)) if effects.not_seen else ""
    )


def explanation_table(explanation: Explanation) -> Markup:
    """The trace of one way as text, or a row for each of several ways; what is not known stands below."""
    ways = explanation.ways
    if len(ways) < 2:
        return Markup("<pre>{}</pre>").format(explanation)
    rows = [(", ".join(w.callers), w.place, w.conditions, w.rule, w.summary) for w in ways]
    table = _table("meshkit-explanation", ("callers", "host", "requests", "rule", "what happens"), rows)
    open_points = [f"not known: {text}" for way in ways for text in way.not_known]
    open_points += [f"not read: {text}" for text in explanation.not_read]
    return table + Markup("<ul>{}</ul>").format(_items(dict.fromkeys(open_points)))


def comparison_table(comparison: Comparison) -> Markup:
    """Two or more experiments side by side, with intervals."""
    from meshkit.operations.experiments.comparison import HEADINGS

    table = _table("meshkit-comparison", HEADINGS, comparison.table)
    return Markup("<p>{}</p>{}").format(comparison.heading, table)


def _glance_page(glance: Glance) -> Markup:
    """A glance at a mesh: its picture, its findings and its connections."""
    from meshkit.views.glance.glance_html import page

    return page(glance)


def _glance_picture(glance: Glance) -> Markup:
    """The picture of a glance at a mesh, as SVG."""
    from meshkit.views.glance.picture import picture

    return picture(glance)


def upgrade_plan_table(plan: UpgradePlan) -> Markup:
    """The next change of an upgrade, and the changes that follow it."""
    later = _items(plan.later())
    return plan_table(plan.first) + (Markup("<p>Then:</p><ol>{}</ol>").format(later) if later else "")


def release_plan_table(plan: ReleasePlan) -> Markup:
    """The route of a release, its weights, steps and forecast, and when each margin is shown."""
    notes = Markup("").join(Markup("<p>{}</p>").format(note) for note in plan.notes)
    margins = _table("meshkit-release-margins", ("to be shown", "margin", "after"), plan.margins)
    return Markup("<p>{}</p>{}{}{}{}").format(
        plan.heading,
        _findings(plan.all_findings),
        _table("meshkit-release-plan", ("", ""), plan.rows),
        margins if plan.margins else "",
        notes,
    )


def findings_table(findings: Findings) -> Markup:
    """Findings, the worst first."""
    if not findings:
        return Markup("<p>{}</p>").format(findings)
    rows = [(f.severity, code_link(f), f.object, f.message, f.remedy) for f in findings]
    table = _table("meshkit-findings", ("", "code", "object", "what", "what to do"), rows)
    return table + Markup("<p>{}</p>").format(findings.total)


def upgrade_table(status: UpgradeStatus) -> Markup:
    """The control planes, a bar for each namespace, and the next step."""
    rows = Markup("").join(
        Markup("<tr><td{}>{}</td><td style='width:14em'>{}</td><td{}>{}</td></tr>").format(
            _LEFT, space.name, _bar(status.share_moved(space)), _LEFT, status.counted(space)
        )
        for space in status.spaces
    )
    planes = _items(map(status.control_plane, status.installed))
    by_hand = _items(f"by hand: {what}" for what in status.by_hand)
    return Markup("<p>{}</p><ul class='meshkit-upgrade'>{}</ul><table>{}</table>{}<p>{}</p>").format(
        status.heading,
        planes,
        rows,
        Markup("<ul>{}</ul>").format(by_hand) if by_hand else "",
        status.next,
    )


def _step_cells(plan: Plan, number: int, planned: PlannedStep) -> tuple[str, ...]:
    lines = [*plan.changed_fields(planned), plan.note(planned)]
    what = Markup("<br>").join(line for line in lines if line)
    return str(number), planned.action, planned.step.title, what


def _findings(findings: Iterable[Finding]) -> Markup:
    """Findings as paragraphs."""
    return Markup("").join(
        Markup("<p><strong>{}</strong> {}: {} {}</p>").format(code_link(f), f.object, f.message, f.remedy)
        for f in findings
    )


def _items(texts: Iterable[str]) -> Markup:
    return Markup("").join(Markup("<li>{}</li>").format(text) for text in texts)


def _table(name: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table of cells; a cell that is not ``Markup`` is escaped."""
    heads = Markup("").join(Markup("<th{}>{}</th>").format(_LEFT, column) for column in columns)
    body = Markup("").join(Markup("<tr>{}</tr>").format(_cells(row)) for row in rows)
    return Markup("<table class='{}'><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        name, heads, body
    )


def _cells(row: Sequence[str]) -> Markup:
    return Markup("").join(Markup("<td{}>{}</td>").format(_LEFT, cell) for cell in row)


def _bar(share: float) -> Markup:
    inner = Markup("<div style='width:{:.0f}%;height:0.7em;background:#1f77b4'></div>").format(100 * share)
    return Markup("<div style='background:#8883;width:100%'>{}</div>").format(inner)


_TABLES: dict[tuple[str, str], Callable[[Any], Markup]] = {
    ("meshkit.operations.plan", "Plan"): plan_table,
    ("meshkit.operations.experiments.comparison", "Comparison"): comparison_table,
    ("meshkit.operations.explain", "Explanation"): explanation_table,
    ("meshkit.operations.glance.model", "Glance"): _glance_page,
    ("meshkit.operations.health", "Findings"): findings_table,
    ("meshkit.operations.release.plan", "ReleasePlan"): release_plan_table,
    ("meshkit.operations.upgrade.report", "UpgradeStatus"): upgrade_table,
    ("meshkit.operations.upgrade.run", "UpgradePlan"): upgrade_plan_table,
}
