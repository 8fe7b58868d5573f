"""01_guided_rollout in a real browser, from the first click to a shop in the mesh.

One test for each mesh, because setup is slow: it takes about 90 s to install the mesh, restart the shop with
sidecars, find the caller without one, and watch strict mutual TLS. Linkerd is tested with a dark theme and a
narrow page; Istio, as soak, with a light theme and a wide page. Screenshots are saved in ``out/screens``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

import meshkit as mk
from meshkit.cli.local.lab import running_lab
from meshkit.operations import shop
from meshkit.runbooks.catalogue import shipped_folder
from meshkit.testing import running_sandbox
from tests.browser.accessibility import violations
from tests.browser.lab import ARGUMENTS, KERNEL_READY, SLOW_MS, chromium, run_all_cells

SCREENS = Path(__file__).parents[2] / "out" / "screens"
STRICT = {"istio": "STRICT", "linkerd": "all-authenticated"}
LOOKS = {"istio": ("Light", 1500), "linkerd": ("Dark", 1240)}
TOO_WIDE = """() => [...document.querySelectorAll('.mk-wizard, .mk-wizard *')].filter(e =>
  e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'auto' && e.clientWidth > 1
  && getComputedStyle(e).display !== 'inline' && !e.closest('.mk-stage-pick')).map(e => e.className)"""


@dataclass
class Walk:
    """A person with a browser, and what went wrong behind the page."""

    page: Page
    mesh: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str | None] = field(default_factory=set)

    @property
    def wizard(self) -> Locator:
        return self.page.locator(".mk-wizard").last

    def button(self, name: str) -> Locator:
        return self.wizard.get_by_role("button", name=name)

    def see(self, stage: str) -> None:
        """Keep a picture; nothing may stick out of the wizard."""
        self.wizard.evaluate("e => e.scrollIntoView({block: 'start'})")
        self.page.wait_for_timeout(300)
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.wizard.screenshot(path=SCREENS / f"guided-{self.mesh}-{stage}.png")
        assert self.page.evaluate(TOO_WIDE) == []
        assert violations(self.page, ".mk-wizard") == []

    def choose(self, title: str) -> None:
        self.button(title).click()
        expect(self.wizard.locator(".mk-stage-title")).to_contain_text(title)

    def apply(self, stage: str, *, during: bool = False) -> None:
        """Press Apply by the keyboard once the plan is there, and wait until the stage is done."""
        ready = self.wizard.locator(".mk-primary:not(:disabled)")
        expect(ready).to_be_visible()
        self.see(f"{stage}-ready")
        ready.focus()
        self.page.keyboard.press("Enter")
        if during:
            expect(self.button("Applying…")).to_be_visible()
            self.see(f"{stage}-applying")
        expect(self.wizard.locator(".mk-stage-now .mk-icon")).to_be_attached()
        expect(self.button("Undo…")).to_be_enabled()
        expect(self.button("Next"), self.wizard.inner_text()).to_be_enabled()

    def next(self, title: str) -> None:
        self.button("Next").click()
        expect(self.wizard.locator(".mk-stage-title")).to_contain_text(title)


@pytest.fixture(params=[pytest.param("istio", marks=pytest.mark.soak), "linkerd"])
def walk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Walk]:
    """The notebook, a copy of it, open in JupyterLab with its kernel ready and its first cells run."""
    mesh, browser_path = request.param, chromium()
    theme, width = LOOKS[mesh]
    text = (shipped_folder("notebooks") / "01_guided_rollout.ipynb").read_text()
    (tmp_path / "00_start_here.ipynb").write_text(text.replace('mesh = \\"istio\\"', f'mesh = \\"{mesh}\\"'))
    option = "--LabApp.expose_app_in_browser=True"
    with running_sandbox() as sandbox, sync_playwright() as playwright:
        monkeypatch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        browser = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        with running_lab(tmp_path, theme=f"JupyterLab {theme}", options=(option,)) as lab:
            page = browser.new_page(viewport={"width": width, "height": 2600})
            page.set_default_timeout(SLOW_MS)
            walk = Walk(page, mesh)
            page.on("pageerror", lambda error: walk.errors.append(str(error)))
            page.on("request", lambda asked: walk.hosts.add(urlsplit(asked.url).hostname))
            page.goto(lab.url)
            page.wait_for_function(KERNEL_READY)
            page.evaluate("void window.jupyterapp.commands.execute('application:toggle-left-area')")
            run_all_cells(page)
            expect(walk.wizard).to_be_visible()
            yield walk
            browser.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_from_the_first_click_to_a_meshed_shop(walk: Walk) -> None:
    cluster = mk.connect()
    walk.apply("2-control-plane")
    walk.next("Sidecar injection")
    walk.apply("3-injection", during=True)
    walk.next("Mutual TLS")
    find_and_bring_in_the_forgotten_caller(walk, cluster)

    since_s = time.time()
    expect(walk.wizard.locator(".mk-plan")).to_contain_text(STRICT[walk.mesh])
    walk.apply("4-mutual-tls", during=True)
    assert lost_requests(cluster, since_s) == 0
    walk.choose("Routes and limits")
    walk.apply("6-routes")
    walk.next("Verify")
    expect(walk.wizard.locator(".mk-stage-now")).to_contain_text(", 0 failed")
    walk.see("7-verify")

    restart_shows_the_same(walk)
    undo_a_stage(walk)
    assert walk.errors == []
    assert {host for host in walk.hosts if host} == {"127.0.0.1"}
    assert mk.Setup(cluster, walk.mesh, "shop").watch(3).of("mutual-tls").state == "done"


def find_and_bring_in_the_forgotten_caller(walk: Walk, cluster: mk.Cluster) -> None:
    """It is named before strict mode could refuse it, and strict is proposed only once it has a sidecar."""
    findings = walk.wizard.locator(".mk-findings")
    expect(findings).to_contain_text("legacy/batch")
    expect(walk.wizard.locator(".mk-plan")).not_to_contain_text(STRICT[walk.mesh])
    walk.see("4-plain-text-found")
    mk.apply(mk.plan([mk.Injection(namespace="legacy")], cluster, mesh=walk.mesh), cluster)
    while any("deletionTimestamp" in pod["metadata"] for pod in cluster.api.list(shop.POD, "legacy")):
        time.sleep(0.5)  # the pod that is replaced sends plain text until it has ended


def lost_requests(cluster: mk.Cluster, since_s: float) -> int:
    """Requests of the shop's caller without an answer, or with an error that no version makes on purpose."""
    ledger = shop.read_ledger(cluster, since_s, time.time() - 1)
    assert len(ledger) > 1000
    rows = zip(ledger.status, ledger.version, strict=True)
    return sum(1 for status, version in rows if status == 0 or (status >= 500 and version != "v3"))


def restart_shows_the_same(walk: Walk) -> None:
    """A new kernel has no state; the wizard reads the state of the stages from the cluster."""
    walk.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel().then(() => undefined)"
    )
    walk.page.wait_for_function(KERNEL_READY)
    run_all_cells(walk.page)
    expect(walk.wizard.locator(".mk-stage-row").nth(3)).to_contain_text("Mutual TLS")
    expect(walk.button("4. Mutual TLS: done")).to_be_attached()


def undo_a_stage(walk: Walk) -> None:
    walk.choose("Routes and limits")
    expect(walk.button("Undo…")).to_be_enabled()
    walk.button("Undo…").click()
    walk.button("Undo now").click()
    expect(walk.button("6. Routes and limits: ready")).to_be_attached()
    walk.see("8-undone")
