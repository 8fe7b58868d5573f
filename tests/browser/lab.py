"""Objects and helpers that tests of this folder share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from meshkit.cli.local.lab import running_lab
from meshkit.runbooks.catalogue import shipped_folder
from meshkit.testing import running_sandbox

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
KERNEL_READY = """() => {
  const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.status === 'idle' && kernel.connectionStatus === 'connected';
}"""


def chromium() -> str:
    """The browser of this machine. Without one the test is skipped, in CI it fails."""
    for name in (os.environ.get("CHROMIUM", ""), *BROWSERS):
        if found := name and shutil.which(name):
            return found
    reason = "no chromium on PATH: apt-get install chromium"
    return pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Page]:
    """The notebook, open in JupyterLab with its kernel ready; a copy, because JupyterLab saves by itself."""
    option, browser_path = "--LabApp.expose_app_in_browser=True", chromium()
    with running_sandbox() as sandbox, sync_playwright() as playwright:
        monkeypatch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        folder = shutil.copytree(shipped_folder("notebooks"), tmp_path / "notebooks")
        with running_lab(folder, theme="JupyterLab Light", options=(option,)) as lab:
            page = browser.new_page(viewport={"width": 1300, "height": 1290})
            page.set_default_timeout(60_000)
            page.goto(lab.url)
            page.wait_for_function(KERNEL_READY)
            yield page
            browser.close()


def run_all_cells(page: Page) -> None:
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
