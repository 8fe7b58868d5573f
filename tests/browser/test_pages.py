"""The pages that open offline, and the pieces of the views: accessible in a light and in a dark theme."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from markupsafe import Markup
from playwright.sync_api import Page, sync_playwright

from meshkit.views.charts.chart import Chart
from meshkit.views.experiments.chart import experiment_chart
from meshkit.views.release import release_html
from meshkit.views.release.chart import release_chart
from meshkit.views.release.chooser import listed
from meshkit.views.report import page as page_of
from tests.browser.accessibility import violations
from tests.browser.lab import ARGUMENTS, chromium
from tests.unit.experiments.runs import run
from tests.unit.views_panel.releases import LINE, RELEASE, STARTED_S, release_after


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 1200, "height": 1200})
        browser.close()


def release() -> Markup:
    state = release_after(60, canary_ms=330.0, error_share=0.3)
    return Markup("").join(
        (
            release_html.head(RELEASE, "istio on prod", state),
            release_html.ladder(RELEASE, state),
            release_html.verdict(state),
            picture(release_chart(state)),
            release_html.against_stable(RELEASE, state),
            release_html.evidence(state),
            release_html.journal(state),
            listed([LINE], STARTED_S),
        )
    )


def picture(chart: Chart) -> Markup:
    return Markup('<div class="mk-card">{}</div>').format(chart.svg)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("body", [release, lambda: picture(experiment_chart(run()))])
def test_a_page_is_accessible(page: Page, body: Callable[[], Markup], theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_content(page_of("A page", body()))
    assert violations(page) == []
