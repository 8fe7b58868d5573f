"""04_mesh_at_a_glance in a real browser: an empty sandbox, a shop, and a live view that explains a call.

One test for each mesh, because setup takes most of a minute; Linkerd with a dark theme, Istio, as soak, with
a light one. Screenshots are saved in ``out/screens``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from meshkit.cli.local.lab import running_lab
from meshkit.runbooks.catalogue import shipped_folder
from meshkit.testing import running_sandbox
from tests.browser.accessibility import violations
from tests.browser.lab import ARGUMENTS, KERNEL_READY, SLOW_MS, chromium, run_all_cells

SCREENS = Path(__file__).parents[2] / "out" / "screens"
THEMES = {"istio": "Light", "linkerd": "Dark"}
HEIGHTS = "() => [...document.querySelectorAll('.mk-glance > *')].map(e => e.getBoundingClientRect().height)"
POINT = """([source, end]) => {
  const chart = document.querySelector('.mk-glance .mk-live-chart');
  const targets = chart.data.at(-1);
  const at = targets.customdata.findIndex(d => d.source === source && d.destination === end);
  if (at < 0) return null;
  const box = chart.getBoundingClientRect();
  return [box.x + targets.x[at], box.y + targets.y[at]];
}"""


@pytest.fixture(params=[pytest.param("istio", marks=pytest.mark.soak), "linkerd"])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Page]:
    """The notebook, a copy of it, open in JupyterLab with all its cells run."""
    mesh, browser_path = request.param, chromium()
    text = (shipped_folder("notebooks") / "04_mesh_at_a_glance.ipynb").read_text()
    (tmp_path / "00_start_here.ipynb").write_text(text.replace('mesh = \\"istio\\"', f'mesh = \\"{mesh}\\"'))
    option = "--LabApp.expose_app_in_browser=True"
    with running_sandbox() as sandbox, sync_playwright() as playwright:
        monkeypatch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        with running_lab(tmp_path, theme=f"JupyterLab {THEMES[mesh]}", options=(option,)) as lab:
            page = browser.new_page(viewport={"width": 1400, "height": 2400})
            page.set_default_timeout(SLOW_MS)
            yield open_in(page, lab.url)
            browser.close()


def open_in(page: Page, url: str) -> Page:
    page.goto(url)
    page.wait_for_function(KERNEL_READY)
    page.evaluate("void window.jupyterapp.commands.execute('application:toggle-left-area')")
    return page


def test_a_mesh_is_seen_filtered_and_explained(page: Page, request: pytest.FixtureRequest) -> None:
    errors: list[str] = []
    hosts: set[str | None] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda asked: hosts.add(urlsplit(asked.url).hostname))
    run_all_cells(page)
    page.wait_for_selector(".mk-glance .mk-live-chart .main-svg")
    view = page.locator(".mk-glance")
    expect(view.locator(".mk-figures")).to_contain_text("req/s")
    expect(view.locator("svg text", has_text="no sidecar")).to_be_attached()
    take_picture(page, request, "live")

    first = page.locator(".mk-glance .mk-head .mk-muted").first.inner_text()
    before = page.evaluate(HEIGHTS)
    expect(view.locator(".mk-head .mk-muted").first).not_to_have_text(first)
    assert page.evaluate(HEIGHTS)[:4] == before[:4], "nothing moves between two readings"

    explain_a_call(page)
    take_picture(page, request, "explained")
    assert violations(page, ".mk-glance") == []
    view.get_by_label("Namespace").select_option("shop")
    view.get_by_label("Calls of").select_option("shop/stock")
    expect(view.locator("svg text", has_text="no sidecar")).to_have_count(0)
    assert errors == []
    assert {host for host in hosts if host} == {"127.0.0.1"}


def explain_a_call(page: Page) -> None:
    """Click the call of the client to v1, where its lock is, and read which rule decides about it."""
    page.locator(".mk-glance .mk-graph").evaluate("e => e.scrollIntoView({block: 'center'})")
    at = page.evaluate(POINT, ["shop/client", "shop/web-v1"])
    assert at, "the client calls v1"
    page.mouse.move(*at)
    page.mouse.click(*at)
    told = page.locator(".mk-glance-told")
    expect(told).to_contain_text("rule: ")
    expect(told).to_contain_text("shop/client")


def take_picture(page: Page, request: pytest.FixtureRequest, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    mesh = request.node.callspec.params["page"]
    page.locator(".mk-glance").evaluate("e => e.scrollIntoView({block: 'start'})")
    page.locator(".mk-glance").screenshot(path=SCREENS / f"glance-{mesh}-{name}.png")
