"""00_start_here on an empty sandbox, then in JupyterLab in a real browser, with its live chart and buttons;
02_releases, 03_experiments and 05_notebook_to_git on the same shop, executed and in the browser.

The first run, without a browser, installs the mesh and restarts the shop behind sidecars; the browser's run
changes nothing of that, and a release goes on there until a version that was slowed down is rolled back. Most
take half a minute and more, because they start kernels and JupyterLab. Linkerd is soak.
With ``MESHKIT_PICTURE=docs/images/start_here.png`` the second also saves the README's picture; screenshots of
the others are saved in ``out/screens``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright

import meshkit as mk
from meshkit.cli.local.lab import running_lab
from meshkit.facts import Kind
from meshkit.runbooks.catalogue import shipped_folder
from meshkit.runbooks.execution import RunbookResult, run_runbook
from meshkit.testing import running_sandbox
from tests.browser.accessibility import violations
from tests.browser.lab import ARGUMENTS, KERNEL_READY, SLOW_MS, chromium, run_all_cells

NAME = "00_start_here.ipynb"
SCREENS = Path(__file__).parents[2] / "out" / "screens"
ROUTES = {
    "istio": Kind("networking.istio.io/v1", "VirtualService"),
    "linkerd": Kind("gateway.networking.k8s.io/v1", "HTTPRoute"),
}
RATES = """() => {
  const chart = [...document.querySelectorAll('.mk-panel .mk-live-chart')].at(-1);
  return Object.fromEntries((chart?.data ?? []).map(line => [line.name, line.y?.at(-1)]));
}"""
"""The newest value of each line of the panel's last row, requests a second, by the line's name."""
POINTS = "() => document.querySelector('.mk-live-chart')?.data?.[0]?.x?.length ?? 0"


@pytest.fixture(scope="module", params=["istio", pytest.param("linkerd", marks=pytest.mark.soak)])
def mesh(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def notebooks(mesh: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks for one mesh."""
    folder = tmp_path_factory.mktemp("notebooks") / mesh
    shutil.copytree(shipped_folder("notebooks"), folder)
    for file in folder.glob("*.ipynb"):
        file.write_text(file.read_text().replace('mesh = \\"istio\\"', f'mesh = \\"{mesh}\\"'))
    return folder


@pytest.fixture(scope="module")
def first_run(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunbookResult]:
    """The notebook run once, on a sandbox that was empty and is the one that ``mk.connect()`` finds."""
    with running_sandbox() as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        yield run_runbook(str(notebooks / NAME), out=tmp_path_factory.mktemp("run"), as_name="first")


@pytest.fixture
def page(first_run: RunbookResult, notebooks: Path, tmp_path: Path) -> Iterator[Page]:
    """The notebook, open in JupyterLab with its kernel ready; a copy, because JupyterLab saves by itself."""
    option, browser_path = "--LabApp.expose_app_in_browser=True", chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        folder = shutil.copytree(notebooks, tmp_path / "notebooks")
        experiments = folder / "03_experiments.ipynb"
        experiments.write_text(experiments.read_text().replace("step_s: float = 8.0", "step_s: float = 3.0"))
        with running_lab(folder, theme="JupyterLab Light", options=(option,)) as lab:
            page = browser.new_page(viewport={"width": 1300, "height": 1290})
            page.set_default_timeout(SLOW_MS)
            page.goto(lab.url)
            page.wait_for_function(KERNEL_READY)
            yield page
            browser.close()


def test_it_runs_on_an_empty_sandbox(first_run: RunbookResult) -> None:
    assert first_run.error is None
    assert len(mk.history(mk.connect())) == 3
    panel = nbformat.read(first_run.notebook, as_version=4).cells[-1].outputs[-1]
    assert "application/vnd.jupyter.widget-view+json" in panel.data


def test_experiments_are_compared_and_leave_the_traffic_as_it_was(
    first_run: RunbookResult, mesh: str, notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """03_experiments on the same shop. Its kernel ends while the last experiment goes on."""
    monkeypatch.chdir(tmp_path)
    before = route_of_the_shop(mesh)
    parameters = {"step_s": "3"}
    done = run_runbook(str(notebooks / "03_experiments.ipynb"), parameters, out=tmp_path, as_name="03")
    assert done.error is None
    outputs = [
        cell.outputs[-1].data
        for cell in nbformat.read(done.notebook, as_version=4).cells
        if cell.cell_type == "code" and cell.outputs and "data" in cell.outputs[-1]
    ]
    chart, comparison, panel = outputs[-3:]
    assert "v2: " in chart["text/plain"]
    assert "image/svg+xml" in chart
    assert "p99" in comparison["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in panel
    assert "image/svg+xml" in panel
    recorded = tmp_path / "slow_canary.jsonl"
    again = run_runbook("replay_experiment", {"file": str(recorded), "apply": "true"}, out=tmp_path)
    assert again.error is None
    repeated = mk.load_experiment(tmp_path / "replay.jsonl")
    assert [each.settings for each in repeated.settings] == [
        each.settings for each in mk.load_experiment(recorded).settings
    ]
    assert route_of_the_shop(mesh) == before
    assert mk.stop_experiments(mk.connect()) == []


def test_the_mesh_goes_to_git_and_stays_as_it_was(
    first_run: RunbookResult, mesh: str, notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """05_notebook_to_git on the same shop: files for Git, and what Argo CD would fight over."""
    monkeypatch.chdir(tmp_path)
    before, changes = route_of_the_shop(mesh), mk.history(mk.connect())
    done = run_runbook(str(notebooks / "05_notebook_to_git.ipynb"), out=tmp_path, as_name="05")
    assert done.error is None
    text = "".join(
        str(output.get("text", ""))
        for cell in nbformat.read(done.notebook, as_version=4).cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert f"kind: {ROUTES[mesh].kind}" in text
    assert "PRIVATE KEY" not in text
    assert mk.Injection(namespace="shop") in mk.load_intents("mesh.yaml")
    assert "nothing to do" in text, "the intents that were read back change nothing"
    assert "exit code 5" in text
    assert f"MK2401 {ROUTES[mesh].kind} shop/web: Argo CD (Application shop)" in text
    assert f"MK2402 {ROUTES[mesh].kind} shop/web: Argo CD (Application shop)" in text
    assert (route_of_the_shop(mesh), mk.history(mk.connect())) == (before, changes)
    assert "argocd-controller" not in str(mk.connect().api.list(ROUTES[mesh], "shop"))


def route_of_the_shop(mesh: str) -> object:
    return [found["spec"] for found in mk.connect().api.list(ROUTES[mesh], "shop")]


def test_a_release_in_the_browser(page: Page) -> None:
    errors: list[str] = []
    hosts: set[str | None] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))

    page.evaluate("void window.jupyterapp.commands.execute('application:toggle-left-area')")
    before = mk.history(mk.connect())
    run_all_cells(page)
    page.wait_for_selector(".mk-live-chart .main-svg")
    page.wait_for_function(f"({POINTS})() >= 3")
    assert mk.history(mk.connect()) == before, "a second run changes nothing"

    shift_by_hand(page)
    page.get_by_role("button", name="Start release").click()
    expect(page.locator(".mk-chip")).to_contain_text("step 1 of")
    hold_and_resume(page)
    expect(page.locator(".mk-chip")).to_contain_text("step 2 of")
    points = restart_the_kernel(page)
    expect(page.locator(".mk-chip").last).to_contain_text("step")
    slow_the_canary_down(page)
    expect(page.locator(".mk-verdict").last).to_contain_text("Rolled back")
    take_picture(page)
    assert page.evaluate(POINTS) > points, "the chart goes on after the restart"
    assert mk.release_state("web-v2", mk.connect()).status == "rolled_back"
    assert errors == []
    assert {host for host in hosts if host} == {"127.0.0.1"}


def test_releases_are_listed_joined_and_started_in_the_browser(page: Page) -> None:
    """02_releases on the same shop, where the release of the notebook before has ended."""
    open_notebook(page, "02_releases.ipynb")
    run_all_cells(page)
    choice = page.get_by_label("Release", exact=True)
    choice.wait_for()
    choice.select_option("web-v2")
    expect(page.locator(".mk-panel .mk-verdict")).to_contain_text("Rolled back")
    choice.select_option("web-v2-again")
    expect(page.locator(".mk-panel .mk-chip")).to_contain_text("Not started")
    page.get_by_role("button", name="Start release").click()
    expect(page.locator(".mk-panel .mk-chip")).to_contain_text("step 1 of")
    expect(page.locator("td", has_text="web-v2-again")).to_be_attached()
    page.get_by_role("button", name="Roll back…").click()
    page.get_by_role("button", name="Roll back now").click()
    expect(page.locator(".mk-panel .mk-verdict")).to_contain_text("Rolled back")
    assert [one.name for one in mk.releases(mk.connect())] == ["web-v2-again", "web-v2"]


def test_an_experiment_is_watched_changed_and_put_back_in_the_browser(page: Page, mesh: str) -> None:
    """03_experiments: two presets from code, then the panel, where a slider and two buttons are used."""
    before = route_of_the_shop(mesh)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_notebook(page, "03_experiments.ipynb")
    run_all_cells(page)
    panel = page.locator(".mk-panel")
    panel.locator(".mk-live-chart .main-svg").first.wait_for()
    share = panel.get_by_role("slider").first
    share.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.wait_for_function(f"() => ({RATES})().v2 > 5")
    assert route_of_the_shop(mesh) != before
    take_screenshot(page, f"experiment-{mesh}-shifted")
    assert violations(page, ".mk-panel") == []
    panel.get_by_role("button", name="Stop and put back").click()
    expect(panel.locator(".mk-title")).to_contain_text("over")
    assert route_of_the_shop(mesh) == before
    take_screenshot(page, f"experiment-{mesh}-put-back")
    assert errors == []


def test_the_way_to_git_is_walked_in_the_browser(page: Page, mesh: str) -> None:
    before = route_of_the_shop(mesh)
    open_notebook(page, "05_notebook_to_git.ipynb")
    run_all_cells(page)
    outputs = page.locator(".jp-CodeCell .jp-OutputArea-output")
    expect(outputs.filter(has_text="MK2402").first).to_be_attached()
    expect(outputs.filter(has_text="exit code 5").first).to_be_attached()
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert route_of_the_shop(mesh) == before


def open_notebook(page: Page, name: str) -> None:
    page.evaluate(f"void window.jupyterapp.commands.execute('docmanager:open', {{path: '{name}'}})")
    page.wait_for_function(f"() => window.jupyterapp.shell.currentWidget?.context?.path === '{name}'")
    page.wait_for_function(KERNEL_READY)


def take_screenshot(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    panel = page.locator(".mk-panel")
    panel.evaluate("e => e.scrollIntoView({block: 'start'})")
    panel.screenshot(path=SCREENS / f"{name}.png")


def shift_by_hand(page: Page) -> None:
    """The weight slider moves requests while no release runs, and back."""
    slider = page.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("PageUp")
    expect(page.locator("text=/^Share|measured/").first).to_be_attached()
    page.wait_for_function(
        "() => { const y = document.querySelector('.mk-live-chart').data.at(-2).y; return y.at(-1) > 5; }"
    )
    page.get_by_role("button", name="Roll back…").click()
    page.get_by_role("button", name="Roll back now").click()
    expect(page.get_by_role("button", name="Start release")).to_be_enabled()
    page.wait_for_function("() => document.querySelector('.mk-live-chart').data.at(-3).y.at(-1) === 0")


def hold_and_resume(page: Page) -> None:
    page.get_by_role("button", name="Hold").click()
    expect(page.locator(".mk-chip")).to_contain_text("Held")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".mk-chip")).to_contain_text("Running")


def restart_the_kernel(page: Page) -> int:
    """Restart the kernel and run the cells again; return the number of points in the new chart."""
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel().then(() => undefined)"
    )
    page.wait_for_function(KERNEL_READY)
    run_all_cells(page)
    page.wait_for_function(f"({POINTS})() >= 3")
    return int(page.evaluate(POINTS))


def slow_the_canary_down(page: Page) -> None:
    slider = page.get_by_role("slider").last
    slider.focus()
    for _ in range(4):
        page.keyboard.press("PageUp")


def take_picture(page: Page) -> None:
    """The panel with a part of the notebook above it, when a picture is asked for."""
    target = os.environ.get("MESHKIT_PICTURE")
    if target:
        last = page.locator(".jp-CodeCell").last.locator(".jp-InputArea")
        last.evaluate("cell => cell.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(1_000)
        page.screenshot(path=target)
