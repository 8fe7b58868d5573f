"""The panel's HTML: what runs, the latest figures by version and caller, and what was set and happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from markupsafe import Markup

from meshkit.decide.experiments.comparison import summed
from meshkit.operations.experiments.recording import NO_VERSION, ExperimentRun, Measured
from meshkit.views.report import chip, table

if TYPE_CHECKING:
    from meshkit.operations.experiments.experiment import Experiment

Group = tuple[str, str, str]
"""A service, a version and a caller."""
RECENT_S = 10.0
_ROWS = 8


def head(experiment: Experiment) -> Markup:
    """The title, where it runs, and whether it goes on."""
    run, over = experiment.run, experiment.over
    tone, state = ("note", "over") if over else ("running", "running")
    return Markup(
        '<div class="mk-head mk-title"><div><h1>Experiment with {}</h1>'
        '<div class="mk-muted">{}</div></div>{}</div>'
    ).format(
        experiment.target,
        f"{run.mesh} on {run.cluster} · {run.id} · {run.duration_s:.0f} s",
        chip(tone, state),
    )


def figures(run: ExperimentRun) -> Markup:
    """The last RECENT_S seconds of each service, version and caller."""
    end_s = run.samples[-1].at_s if run.samples else 0.0
    recent = [each for each in run.samples if each.at_s > end_s - RECENT_S]
    groups: dict[Group, list[Measured]] = {}
    for sample in recent:
        groups.setdefault((sample.service, sample.version, sample.caller), []).append(sample)
    rows = []
    for (service, version, caller), samples in sorted(groups.items(), key=_order(run)):
        counts = summed(each.counts for each in samples)
        seconds = sum({each.at_s: each.seconds for each in recent if each.service == service}.values())
        name = service if version == service else f"{service} {version or 'no version'}"
        p50, p99 = (counts.quantile_ms(q) for q in (0.5, 0.99))
        rows.append(
            (
                _nowrap(name),
                _nowrap(caller.partition("/")[2] or caller),
                f"{counts.requests / seconds:.0f}/s",
                f"{100 * (counts.error_share or 0):.1f} %",
                _ms(p50),
                _ms(p99),
            )
        )
    columns = ("to", "from", "rate", "failed", "p50", "p99")
    body = table(columns, rows, numbers=(2, 3, 4, 5)) if rows else Markup("<p>No samples yet.</p>")
    title = Markup("<h2>Last {:.0f} s by version and caller</h2>").format(RECENT_S)
    return Markup('<div class="mk-side"><div class="mk-card">{}{}</div></div>').format(title, body)


def story(run: ExperimentRun) -> Markup:
    """The settings with their numbers in the chart, and the events that are no settings, newest first."""
    numbered = {str(change.settings): number for number, change in enumerate(run.settings)}
    rows = []
    for event in reversed(run.events[-_ROWS:]):
        number = numbered.get(event.event)
        rows.append((f"{event.at_s:.0f} s", "" if number is None else str(number), event.event))
    body = table(("at", "no.", "what"), rows, numbers=(0,)) if rows else Markup("<p>Nothing was set yet.</p>")
    return Markup('<div class="mk-card"><h2>Settings and events</h2>{}</div>').format(body)


def _order(run: ExperimentRun) -> Callable[[tuple[Group, list[Measured]]], tuple[bool, str, bool, str, str]]:
    own = run.route.service

    def order(item: tuple[Group, list[Measured]]) -> tuple[bool, str, bool, str, str]:
        service, version, caller = item[0]
        return service != own, service, version == NO_VERSION, version, caller

    return order


def _nowrap(text: str) -> Markup:
    return Markup('<span class="mk-nowrap">{}</span>').format(text)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"
