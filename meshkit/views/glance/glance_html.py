"""A glance as HTML: figures, findings, certificates, versions, and the connections as a table."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from meshkit.decide.formatting import percent, rate
from meshkit.facts import Finding
from meshkit.operations.glance.model import Connection, Glance, left, measured, running
from meshkit.views.code_link import code_link
from meshkit.views.glance.picture import figures, picture, tone, track_share
from meshkit.views.icons import icon
from meshkit.views.report import STYLE, chip, table

_ICONS = {"error": "bad", "warning": "warn", "info": "note"}
_MOST = 8
"""Findings that are shown; the others are folded."""
_COLUMNS = ("caller", "called", "lock", "requests/s", "failed", "p50", "p99", "asked", "measured")


def page(glance: Glance) -> Markup:
    """The glance for readers without a kernel: the picture, and the same facts as text."""
    return Markup('<div class="mk">{}{}<div class="mk-card">{}</div>{}{}</div>').format(
        STYLE, head(glance), picture(glance), findings(glance.findings), connections(glance)
    )


def head(glance: Glance, note: str = "") -> Markup:
    """What was looked at and when, and how many problems there are."""
    errors, warnings = glance.errors, glance.warnings
    worst = "bad" if errors else "warn" if warnings else "good"
    said = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    where = f"{glance.mesh} on {glance.cluster}" if glance.cluster else glance.mesh
    spaces = f" · namespace {', '.join(glance.namespaces)}" if glance.namespaces else ""
    return Markup(
        '<div class="mk-head"><div><h1>Mesh at a glance</h1><div class="mk-muted">{}{} · {}</div></div>'
        "<div>{}</div></div>"
    ).format(where, spaces, note or f"read {glance.taken:%Y-%m-%d %H:%M:%S} UTC", chip(worst, said))


def figure_row(glance: Glance) -> Markup:
    """The five figures side by side."""
    cells = Markup("").join(
        Markup('<div><span class="mk-muted">{}</span><strong>{}</strong></div>').format(name, value)
        for name, value in figures(glance)
    )
    return Markup('<div class="mk-figures">{}</div>').format(cells)


def legend() -> Markup:
    """What the marks of the graph mean."""
    return Markup(
        '<div class="mk-head"><h2>Who calls whom</h2><div class="mk-muted">'
        "closed lock: mutual TLS · open lock, dashed: plain text · ring, dotted: not known · "
        "on a line: requests, failed, p99, measured of asked share</div></div>"
    )


def findings(found: Sequence[Finding]) -> Markup:
    """The findings and what to do about each, the worst first."""
    if not found:
        rows = Markup('<p class="mk-row">{} Nothing was found.</p>').format(icon("good"))
    else:
        rows = Markup("").join(map(_finding, found[:_MOST]))
    rest = found[_MOST:]
    if rest:
        rows += Markup("<details><summary>{} more</summary>{}</details>").format(
            len(rest), Markup("").join(map(_finding, rest))
        )
    return Markup(
        '<div class="mk-card"><div class="mk-head"><h2>Findings</h2>'
        '<span class="mk-muted">worst first</span></div>{}</div>'
    ).format(rows)


def _finding(finding: Finding) -> Markup:
    return Markup(
        '<div class="mk-finding">{}<div><strong>{}</strong> {}<div class="mk-muted">{}</div></div>'
        "<span>{}</span></div>"
    ).format(
        icon(_ICONS[finding.severity]), finding.object, finding.message, finding.remedy, code_link(finding)
    )


def certificates(glance: Glance) -> Markup:
    """The certificates by their end, as bars on one axis of time, and the versions that run."""
    rows = Markup("").join(
        Markup(
            '<div class="mk-condition"><div class="mk-head"><span>{} {} <span class="mk-muted">{}</span>'
            '</span><span>{}</span></div><div class="mk-track"><i style="width:{:.0f}%;'
            'background:var(--mk-{})"></i></div></div>'
        ).format(
            icon(tone(each, glance)),
            each.what,
            each.where,
            left(each, glance.taken),
            100 * track_share(each, glance),
            tone(each, glance),
        )
        for each in glance.certificates
    )
    versions = Markup("").join(
        Markup('<div class="mk-condition">{}: {}</div>').format(each.what.capitalize(), running(each))
        for each in glance.versions
    )
    return Markup(
        '<div class="mk-card"><div class="mk-head"><h2>Certificates, time left</h2>'
        '<span class="mk-muted">next first · log scale, 1 h to 10 y</span></div>{}<h2>Versions</h2>{}</div>'
    ).format(rows or Markup('<p class="mk-muted">No certificate was read.</p>'), versions)


def connections(glance: Glance) -> Markup:
    """The connections as a folded table, plain text first."""
    rows = [_row(each) for each in glance.connections]
    shown = table(_COLUMNS, rows, numbers=(3, 4, 5, 6, 7, 8)) if rows else Markup("")
    missing = Markup("").join(
        Markup('<p class="mk-muted">Not read: {}.</p>').format(each) for each in glance.not_read
    )
    return Markup(
        "<details><summary>Show the {} connections as a table</summary>{}</details>"
        '<p class="mk-muted">{}</p>{}'
    ).format(len(rows), shown, glance.looked_at, missing)


def _row(each: Connection) -> tuple[str, ...]:
    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.0f} ms"

    failed = "–" if each.error_percent is None else percent(round(each.error_percent, 2))
    divided = each.asked_percent is not None
    return (
        each.source,
        each.destination,
        each.lock,
        rate(each.requests_per_s),
        failed,
        ms(each.p50_ms),
        ms(each.p99_ms),
        percent(each.asked_percent) if each.asked_percent is not None else "–",
        measured(each) if divided else "–",
    )
