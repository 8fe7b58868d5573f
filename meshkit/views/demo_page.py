"""The demo's one page: what was promised, what the caller's own ledger says, and both releases with their
charts.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.version import __version__
from meshkit.views.icons import icon
from meshkit.views.release import release_html
from meshkit.views.release.chart import release_chart
from meshkit.views.report import chip, page, table, verdict_block

if TYPE_CHECKING:
    from meshkit.operations.release.state import ReleaseState


@dataclass(frozen=True)
class Claim:
    """One promise of the demo: what was promised, what was measured, and whether it came true."""

    promised: str
    measured: str
    true: bool


@dataclass(frozen=True)
class Episode:
    """One release of the demo."""

    title: str
    state: ReleaseState


@dataclass(frozen=True)
class Run:
    """One executed runbook, with the names of its files beside the page."""

    name: str
    duration_s: float
    exit_code: int
    notebook: str
    report: str


def demo_page(
    *,
    mesh: str,
    claims: Sequence[Claim],
    episodes: Sequence[Episode],
    runs: Sequence[Run],
    settings: Mapping[str, str],
    duration_s: float,
) -> str:
    """The page as one self-contained HTML document; ``duration_s`` is the whole demo without installation."""
    good = all(claim.true for claim in claims)
    tone, said = ("good", "All of it came true") if good else ("bad", "Not all of it came true")
    body = (
        f'<header class="mk-head"><h1>meshkit demo on {html.escape(mesh)}: from an empty cluster '
        f"to two releases</h1>{chip(tone, said)}</header>"
        + verdict_block(
            tone,
            f"{said}, in {duration_s:.0f} s.",
            "A good release was promoted and a bad one rolled back, on real Envoy proxies with mutual TLS.",
            "Judged by the load generator's own record of every request: no part that decides can write it.",
        )
        + f"<h2>What was promised, and what was measured</h2>{_claims(claims)}"
        + "".join(_episode(episode) for episode in episodes)
        + f"<h2>Runbooks, executed by papermill</h2>{_runs(runs)}"
        + f"<h2>The demo's own margins and times</h2>{_settings(settings)}"
        + f'<p class="mk-muted">meshkit {__version__} · times are UTC</p>'
    )
    return page(f"meshkit demo: {mesh}", body)


def _claims(claims: Sequence[Claim]) -> str:
    rows = [(_truth(c.true), html.escape(c.promised), html.escape(c.measured)) for c in claims]
    return table(("", "promised", "measured"), rows)


def _truth(true: bool) -> str:
    return f'<span class="mk-nowrap">{icon("good" if true else "bad")} {"true" if true else "false"}</span>'


def _episode(episode: Episode) -> str:
    state = episode.state
    title = f"{episode.title}: {state.release.stable} → {state.release.canary}"
    return (
        f"<h2>{html.escape(title[0].upper() + title[1:])}</h2>"
        + release_html.ladder(state.release, state)
        + release_html.verdict(state)
        + f'<div class="mk-card mk-chart">{release_chart(state).svg}</div>'
        + release_html.journal(state, lines=None)
    )


def _runs(runs: Sequence[Run]) -> str:
    rows = [
        (
            html.escape(run.name),
            f"{run.duration_s:.1f} s",
            str(run.exit_code),
            f'<a href="{html.escape(run.notebook)}">notebook</a> · '
            f'<a href="{html.escape(run.report)}">report</a>',
        )
        for run in runs
    ]
    return table(("runbook", "time", "exit code", "files"), rows, numbers=(1, 2))


def _settings(settings: Mapping[str, str]) -> str:
    prose = (
        "<p>These are not meshkit's defaults and no advice. A real release takes minutes a step and "
        "tolerates far less; the demo has to end while someone watches, so its steps last seconds, and "
        "its margins are as wide as so few requests can decide. The first step is small, so that a "
        "version which harms every request harms fewer than 1 % of all.</p>"
    )
    rows = [(f"<code>{html.escape(key)}</code>", html.escape(value)) for key, value in settings.items()]
    return prose + table(("setting", "value"), rows)
