"""The HTML report of the demo: its claims, the load generator's measurements, and a chart of each release."""

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
    from meshkit.operations.release.state.model import ReleaseState


@dataclass(frozen=True)
class Claim:
    """One claim of the demo, its measurement, and whether the measurement confirms it."""

    statement: str
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
    tone, outcome = (
        ("good", "All results are as expected") if good else ("bad", "Not all results are as expected")
    )
    body = Markup("").join(
        (
            Markup(
                '<header class="mk-head"><h1>meshkit demo on {}: from an empty cluster '
                "to two releases</h1>{}</header>"
            ).format(mesh, chip(tone, outcome)),
            verdict_block(
                tone,
                f"{outcome}, in {duration_s:.0f} s.",
                "A good release was promoted and a bad one rolled back, on real Envoys with mutual TLS.",
                "Measured with the load generator's own log of every request, which is independent of the "
                "code that decides about releases.",
            ),
            Markup("<h2>Claims and measurements</h2>{}").format(_claims(claims)),
            *(_episode(episode) for episode in episodes),
            Markup("<h2>Runbooks executed by papermill</h2>{}").format(_runs(runs)),
            Markup("<h2>The demo's margins and times</h2>{}").format(_settings(settings)),
            Markup('<p class="mk-muted">meshkit {} · times are UTC</p>').format(__version__),
        )
    )
    return page(f"meshkit demo: {mesh}", body)


def _claims(claims: Sequence[Claim]) -> Markup:
    rows = [(_truth(claim.true), claim.statement, claim.measured) for claim in claims]
    return table(("", "claim", "measured"), rows)


def _truth(true: bool) -> Markup:
    return Markup('<span class="mk-nowrap">{} {}</span>').format(
        icon("good" if true else "bad"), "ok" if true else "failed"
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
        "are measured, which is enough for wide margins only. The first step is small, so that a version "
        "that fails every request fails less than 1 % of all requests.</p>"
    )
    rows = [(Markup("<code>{}</code>").format(key), value) for key, value in settings.items()]
    return prose + table(("setting", "value"), rows)
