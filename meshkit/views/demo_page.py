"""The page that the demo writes: what was promised, what the load generator measured, and a chart of each
release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from meshkit.version import __version__
from meshkit.views.icons import icon
from meshkit.views.release import release_html
from meshkit.views.release.chart import release_chart
from meshkit.views.report import chip, page, table, verdict_block

if TYPE_CHECKING:
    from meshkit.operations.release.state import ReleaseState


@dataclass(frozen=True)
class Claim:
    """One promise of the demo, what was measured, and whether the promise was kept."""

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
) -> Markup:
    """The page as one self-contained HTML document; ``duration_s`` is the whole demo without installation."""
    good = all(claim.true for claim in claims)
    tone, said = ("good", "All of it came true") if good else ("bad", "Not all of it came true")
    body = Markup("").join(
        (
            Markup(
                '<header class="mk-head"><h1>meshkit demo on {}: from an empty cluster '
                "to two releases</h1>{}</header>"
            ).format(mesh, chip(tone, said)),
            verdict_block(
                tone,
                f"{said}, in {duration_s:.0f} s.",
                "A good release was promoted and a bad one rolled back, on real Envoys with mutual TLS.",
                "Measured by the load generator's own record of every request, which no part that decides "
                "can write.",
            ),
            Markup("<h2>What was promised, and what was measured</h2>{}").format(_claims(claims)),
            *(_episode(episode) for episode in episodes),
            Markup("<h2>Runbooks, executed by papermill</h2>{}").format(_runs(runs)),
            Markup("<h2>The demo's own margins and times</h2>{}").format(_settings(settings)),
            Markup('<p class="mk-muted">meshkit {} · times are UTC</p>').format(__version__),
        )
    )
    return page(f"meshkit demo: {mesh}", body)


def _claims(claims: Sequence[Claim]) -> Markup:
    rows = [(_truth(claim.true), claim.promised, claim.measured) for claim in claims]
    return table(("", "promised", "measured"), rows)


def _truth(true: bool) -> Markup:
    return Markup('<span class="mk-nowrap">{} {}</span>').format(
        icon("good" if true else "bad"), "true" if true else "false"
    )


def _episode(episode: Episode) -> Markup:
    state = episode.state
    title = f"{episode.title}: {state.release.stable} → {state.release.canary}"
    return Markup('<h2>{}</h2>{}{}<div class="mk-card mk-chart">{}</div>{}').format(
        title[0].upper() + title[1:],
        release_html.ladder(state.release, state),
        release_html.verdict(state),
        release_chart(state).svg,
        release_html.journal(state, lines=None),
    )


def _runs(runs: Sequence[Run]) -> Markup:
    rows = [
        (
            run.name,
            f"{run.duration_s:.1f} s",
            str(run.exit_code),
            Markup('<a href="{}">notebook</a> · <a href="{}">report</a>').format(run.notebook, run.report),
        )
        for run in runs
    ]
    return table(("runbook", "time", "exit code", "files"), rows, numbers=(1, 2))


def _settings(settings: Mapping[str, str]) -> Markup:
    prose = Markup(
        "<p>These settings are neither meshkit's defaults nor a recommendation. A step of a real release "
        "takes minutes and its margins are far narrower. A step of the demo lasts seconds, so few requests "
        "are measured, and only wide margins can be decided on. The first step is small: a version that "
        "fails every request fails less than 1 % of all requests.</p>"
    )
    rows = [(Markup("<code>{}</code>").format(key), value) for key, value in settings.items()]
    return prose + table(("setting", "value"), rows)
