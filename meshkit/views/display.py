"""How plans, findings and an upgrade's status show themselves in a notebook cell: as tables in HTML.

``install`` registers them with IPython by the names of their classes, so nothing is imported before the first
of them is shown. Outside a notebook each is its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from meshkit import codes, settings

if TYPE_CHECKING:
    from meshkit.cluster.executor import PlannedStep
    from meshkit.operations.health import Findings
    from meshkit.operations.plan import Plan
    from meshkit.operations.upgrade.report import UpgradeStatus
    from meshkit.operations.upgrade.run import UpgradePlan

_LEFT = " style='text-align:left'"


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


def plan_table(plan: Plan) -> str:
    """A plan: its heading, its findings, and a row for each step."""
    rows = [_step_cells(plan, number, one) for number, one in enumerate(plan.steps, start=1)]
    docs = settings.docs()
    notes = "".join(
        f"<p><strong>{codes.html_link(f, docs)}</strong> {escape(f'{f.object}: {f.message} {f.remedy}')}</p>"
        for f in plan.findings
    )
    table = _table("meshkit-plan", ("#", "", "object", "what changes"), rows) if rows else ""
    return f"<p>{escape(plan.heading)}</p>{notes}{table}"


def upgrade_plan_table(plan: UpgradePlan) -> str:
    """The next change of an upgrade, and what follows it."""
    later = "".join(f"<li>{escape(one)}</li>" for one in plan.later())
    return plan_table(plan.first) + (f"<p>Then:</p><ol>{later}</ol>" if later else "")


def findings_table(findings: Findings) -> str:
    """Findings, the worst first."""
    if not findings:
        return f"<p>{escape(str(findings))}</p>"
    docs = settings.docs()
    rows = [
        [one.severity, codes.html_link(one, docs), *map(escape, (one.object, one.message, one.remedy))]
        for one in findings
    ]
    table = _table("meshkit-findings", ("", "code", "object", "what", "what to do"), rows)
    return f"{table}<p>{escape(findings.total)}</p>"


def upgrade_table(status: UpgradeStatus) -> str:
    """The control planes, a bar for each namespace, and what comes next."""
    rows = "".join(
        f"<tr><td{_LEFT}>{escape(one.name)}</td><td style='width:14em'>{_bar(status.share_moved(one))}</td>"
        f"<td{_LEFT}>{escape(status.counted(one))}</td></tr>"
        for one in status.spaces
    )
    planes = "".join(f"<li>{escape(status.control_plane(one))}</li>" for one in status.installed)
    by_hand = "".join(f"<li>by hand: {escape(what)}</li>" for one in status.spaces for what in one.by_hand)
    return (
        f"<p>{escape(status.heading)}</p><ul class='meshkit-upgrade'>{planes}</ul><table>{rows}</table>"
        f"{f'<ul>{by_hand}</ul>' if by_hand else ''}<p>{escape(status.next)}</p>"
    )


def _step_cells(plan: Plan, number: int, one: PlannedStep) -> list[str]:
    lines = [*plan.changed_fields(one), plan.note(one)]
    what = "<br>".join(escape(line) for line in lines if line)
    return [str(number), one.action, escape(one.step.title), what]


def _table(name: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    heads = "".join(f"<th{_LEFT}>{column}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td{_LEFT}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table class='{name}'><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _bar(share: float) -> str:
    inner = f"<div style='width:{100 * share:.0f}%;height:0.7em;background:#1f77b4'></div>"
    return f"<div style='background:#8883;width:100%'>{inner}</div>"


_TABLES: dict[tuple[str, str], Callable[[Any], str]] = {
    ("meshkit.operations.plan", "Plan"): plan_table,
    ("meshkit.operations.health", "Findings"): findings_table,
    ("meshkit.operations.upgrade.report", "UpgradeStatus"): upgrade_table,
    ("meshkit.operations.upgrade.run", "UpgradePlan"): upgrade_plan_table,
}
