"""The release panel in JupyterLab without a cluster: nothing moves while it lives, and its end is said.

The cell shows a release that is read from memory, two samples a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from meshkit.cli.local.lab import running_lab
from tests.browser.accessibility import violations
from tests.browser.lab import ARGUMENTS, KERNEL_READY, SLOW_MS, chromium, run_all_cells

SCREENS = Path(__file__).parents[2] / "out" / "screens"
CELL = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.unit.views_panel.shown import growing_panel
growing_panel()
"""
BLOCKS = """() => {
  const parts = '.mk-panel > *, .mk-panel .mk-live-chart, .mk-panel .js-plotly-plot';
  return [...document.querySelectorAll(parts)].map(e => {
    const box = e.getBoundingClientRect();
    return [e.className.split(' ').slice(0, 2).join('.'), box.top, box.height];
  });
}"""
WATCH = f"""async () => {{
  const blocks = {BLOCKS}, chart = document.querySelector('.mk-live-chart'), seen = new Map();
  const first = chart.data[0].x.length, end = Date.now() + 60000;
  while (chart.data[0].x.length < first + UPDATES && Date.now() < end) {{
    seen.set(JSON.stringify(blocks()), true);
    await new Promise(done => setTimeout(done, 15));
  }}
  return [...seen.keys()].map(each => JSON.parse(each));
}}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "00_start_here.ipynb")
    option, path = "--LabApp.expose_app_in_browser=True", chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        with running_lab(folder, theme="JupyterLab Light", options=(option,)) as lab:
            page = browser.new_page(viewport={"width": 1400, "height": 1600})
            page.set_default_timeout(SLOW_MS)
            page.goto(lab.url)
            page.wait_for_function(KERNEL_READY)
            page.evaluate("void window.jupyterapp.commands.execute('application:toggle-left-area')")
            run_all_cells(page)
            page.wait_for_function("() => document.querySelector('.mk-live-chart')?.data?.[0]?.x?.length > 3")
            yield page
            browser.close()


def moved(page: Page, updates: int) -> list[Any]:
    """The blocks whose top or height changed while the chart was updated so many times."""
    states = page.evaluate(WATCH.replace("UPDATES", str(updates)))
    return [(a, b) for state in states[1:] for a, b in zip(states[0], state, strict=True) if a != b]


@pytest.mark.parametrize(("theme", "width", "updates"), [("Light", 1400, 60), ("Dark", 900, 15)])
def test_no_block_moves_while_the_chart_grows(page: Page, theme: str, width: int, updates: int) -> None:
    page.evaluate(
        f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})"
    )
    page.set_viewport_size({"width": width, "height": 1600})
    page.wait_for_timeout(1_500)
    assert moved(page, updates) == []
    height = page.locator(".mk-live-chart .main-svg").first.evaluate("e => e.getBoundingClientRect().height")
    assert height == page.locator(".mk-live-chart").evaluate("e => e.getBoundingClientRect().height") > 300
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.locator(".mk-panel").screenshot(path=SCREENS / f"panel-{theme.lower()}-{width}.png")
    assert violations(page, ".mk-panel") == []


def test_the_chart_is_written_in_the_font_of_the_page(page: Page) -> None:
    font = "getComputedStyle(document.querySelector('{}')).fontFamily"
    title, label = (
        page.evaluate(f"() => {font.format(where)}")  # at once: each update replaces the elements
        for where in (".mk-panel .mk-title", ".mk-live-chart svg text")
    )
    assert title.replace('"', "") == label.replace('"', "") != ""


def test_a_view_whose_kernel_was_restarted_says_so_and_offers_nothing(page: Page) -> None:
    expect(page.get_by_role("button", name="Hold")).to_be_visible()
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel().then(() => undefined)"
    )
    panel = page.locator(".mk-panel")
    said = "getComputedStyle(document.querySelector('.mk-panel'), '::before').content"
    page.wait_for_function(f"() => {said}.includes('no longer live')")
    expect(panel.get_by_role("button", name="Hold")).to_be_hidden()
    broken = "() => [...document.querySelectorAll('.mk-panel .jupyter-widgets-disconnected')].filter("
    broken += "e => getComputedStyle(e, '::before').display !== 'none').length"
    assert page.evaluate(broken) == 0
    panel.screenshot(path=SCREENS / "panel-kernel-gone.png")


def test_a_view_whose_kernel_was_shut_down_says_that_no_answer_comes(page: Page) -> None:
    """Lab marks no widget then; the chart asks every 3 s and waits for 12 s."""
    page.wait_for_function(KERNEL_READY)
    run_all_cells(page)
    expect(page.get_by_role("button", name="Hold")).to_be_visible()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    said = "getComputedStyle(document.querySelector('.mk-panel'), '::before').content"
    page.wait_for_function(f"() => {said}.includes('No answer from the kernel')")
    expect(page.locator(".mk-panel").get_by_role("button", name="Hold")).to_be_hidden()
