"""The browser, and JupyterLab in it: what the tests of this folder share."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import Page, expect

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

SLOW_MS = 300_000
"""A step takes 5 to 40 s; a busy machine may take much longer, and only a step that never ends is a fault."""

expect.set_options(timeout=SLOW_MS)


def chromium() -> str:
    """The browser of this machine. Without one the test is skipped, in CI it fails."""
    for name in (os.environ.get("CHROMIUM", ""), *BROWSERS):
        if found := name and shutil.which(name):
            return found
    reason = "no chromium on PATH: apt-get install chromium"
    return pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def run_all_cells(page: Page) -> None:
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
