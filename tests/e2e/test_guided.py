"""The stages of the guided path headless: as CI runs them, and under the shop's full load.

Takes about a minute on Istio: it installs a mesh, restarts the shop behind sidecars, and watches strict
mutual TLS twice, once taken back by itself and once kept. On Linkerd, as soak, runbooks do all of it; in the
browser, Linkerd is the mesh of the guided path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import meshkit as mk
from meshkit.errors import CHANGES_PENDING, ChangeFailed
from meshkit.facts import Kind
from meshkit.operations import shop
from meshkit.operations.progress import Event, UndoStarted
from meshkit.runbooks.execution import RunbookResult, run_runbook
from meshkit.testing import running_sandbox

RPS = 100.0
VERSIONS = {"v1": shop.QUICK, "v2": shop.QUICK}
BRIEF = {"window_s": "2", "watch_s": "4"}


class Ci:
    """A pipeline: runbooks with parameters, on one sandbox."""

    def __init__(self, kubeconfig: Path, mesh: str, out: Path) -> None:
        self.mesh, self.out = mesh, out
        self.where = {"kubeconfig": str(kubeconfig), "context": "meshkit-sandbox"}
        self.cluster = mk.connect(kubeconfig=kubeconfig)

    def run(self, name: str, **given: str) -> RunbookResult:
        return run_runbook(name, {**self.where, "mesh": self.mesh, **given}, out=self.out)


@pytest.fixture(scope="module", params=["istio"])
def ci(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ci]:
    """The shop and its forgotten caller, without a mesh; the pipeline has the kubeconfig as a secret."""
    with running_sandbox() as sandbox, pytest.MonkeyPatch.context() as patch:
        ci = Ci(sandbox.kubeconfig, request.param, tmp_path_factory.mktemp("out"))
        patch.setenv("CI_KUBECONFIG", sandbox.kubeconfig.read_text())
        ci.where["kubeconfig"] = "secret:env:CI_KUBECONFIG"
        mk.deploy_shop(ci.cluster, rps=RPS, versions=VERSIONS, unmeshed=True)
        yield ci


def changes(ci: Ci) -> int:
    return len(mk.history(ci.cluster))


def test_the_control_plane_is_installed_once(ci: Ci) -> None:
    assert ci.run("preflight").error is None
    once(ci, "install_control_plane")


def test_a_dry_run_changes_nothing_and_apply_does_it_once(ci: Ci) -> None:
    before = changes(ci)
    assert ci.run("onboard_namespace").exit_code == CHANGES_PENDING
    assert changes(ci) == before
    assert ci.run("onboard_namespace", apply="true", at_once="2").error is None
    assert mk.Setup(ci.cluster, ci.mesh, "shop").look().of("injection").state == "done"
    assert changes(ci) == before + 1
    assert ci.run("onboard_namespace", apply="true").error is None
    assert changes(ci) == before + 1


def test_the_forgotten_caller_stops_strict_mode_before_anything_changes(ci: Ci) -> None:
    before = changes(ci)
    stopped = ci.run("enforce_mtls", apply="true", **BRIEF)
    assert stopped.exit_code == 4, stopped.error
    assert stopped.error is not None
    assert "plain text" in stopped.error
    assert "legacy/batch" in stopped.report.read_text()
    assert changes(ci) == before


def test_strict_mode_that_refuses_a_caller_is_taken_back_by_itself(ci: Ci) -> None:
    setup = mk.Setup(ci.cluster, ci.mesh, "shop")
    plan = setup.plan("mutual-tls", mk.MutualTLS(namespace="shop", mode="strict"))
    events: list[Event] = []
    with pytest.raises(ChangeFailed, match="The change was undone"):
        setup.apply("mutual-tls", plan, progress=events.append, watch_s=20)
    assert "permissive" in setup.look().of("mutual-tls").summary
    assert any(isinstance(event, UndoStarted) for event in events)


def test_once_everyone_is_in_strict_mode_loses_no_request(ci: Ci) -> None:
    legacy = ci.run("onboard_namespace", namespace="legacy", apply="true")
    assert legacy.error is None
    since_s = time.time()
    strict = ci.run("enforce_mtls", apply="true", **BRIEF)
    assert strict.error is None
    ledger = shop.read_ledger(ci.cluster, since_s, time.time() - 1)
    assert len(ledger) > 500
    assert ledger.failed == 0
    before = changes(ci)
    assert ci.run("enforce_mtls", apply="true", **BRIEF).error is None
    assert changes(ci) == before


def test_a_change_is_rolled_back_by_its_runbook(ci: Ci) -> None:
    assert ci.run("set_traffic_policy", apply="true").error is None
    assert mk.Setup(ci.cluster, ci.mesh, "shop").look().of("routes").state == "done"
    undone = run_runbook("rollback", {**ci.where, "apply": "true"}, out=ci.out)
    assert undone.error is None
    assert mk.Setup(ci.cluster, ci.mesh, "shop").look().of("routes").state == "ready"


def test_a_service_that_only_one_account_may_call_is_opened_again_by_the_rollback(ci: Ci) -> None:
    grant_access_and_roll_back(ci)


def test_no_file_or_journal_contains_the_token(ci: Ci) -> None:
    assert holding_token(ci) == []


@pytest.mark.soak
def test_linkerd_by_runbooks_alone_with_the_kubeconfig_as_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set up a service that only one account may call, and undo it; no file or journal contains the token."""
    with running_sandbox() as sandbox:
        ci = Ci(sandbox.kubeconfig, "linkerd", tmp_path / "out")
        monkeypatch.setenv("CI_KUBECONFIG", sandbox.kubeconfig.read_text())
        ci.where["kubeconfig"] = "secret:env:CI_KUBECONFIG"
        mk.deploy_shop(ci.cluster, rps=40, versions=VERSIONS)
        assert ci.run("preflight").error is None
        once(ci, "install_control_plane")
        assert ci.run("onboard_namespace", apply="true").error is None
        assert ci.run("enforce_mtls", apply="true", **BRIEF).error is None
        grant_access_and_roll_back(ci)
        assert holding_token(ci) == []


def once(ci: Ci, runbook: str) -> None:
    """A dry run has changes pending and makes none, apply makes them, and then nothing is left to do."""
    before = changes(ci)
    assert ci.run(runbook).exit_code == CHANGES_PENDING
    assert changes(ci) == before
    assert ci.run(runbook, apply="true").error is None
    assert changes(ci) == before + 1
    assert ci.run(runbook).exit_code == 0


def grant_access_and_roll_back(ci: Ci) -> None:
    stopped = ci.run("grant_access", service="web", callers="shop/stock", apply="true")
    assert stopped.exit_code == 4, stopped.error  # the shop's own caller would be refused
    brief = {"watch_s": "2", "force": "true"}
    granted = ci.run("grant_access", service="web", callers="shop/stock", apply="true", **brief)
    assert granted.error is None
    assert wait_for_status(ci, 403)
    assert run_runbook("rollback", {**ci.where, "apply": "true"}, out=ci.out).error is None
    assert wait_for_status(ci, 200)


def holding_token(ci: Ci) -> list[str]:
    """The files of the runs, and the ConfigMaps of the journal, that hold the pipeline's token."""
    secret = yaml.safe_load(os.environ["CI_KUBECONFIG"])["users"][0]["user"]["token"]
    left = {path.name: path.read_text() for path in ci.out.iterdir()}
    journal = ci.cluster.api.list(Kind("v1", "ConfigMap"), "meshkit-system")
    left |= {each["metadata"]["name"]: str(each) for each in journal}
    assert len(left) > 10
    return [name for name, text in left.items() if secret in text]


def wait_for_status(ci: Ci, status: int) -> bool:
    """Whether every request of the shop's caller is answered so in one of the next seconds."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        now_s = time.time()
        time.sleep(2)
        answered = shop.read_ledger(ci.cluster, now_s, now_s + 1).status
        if answered and set(answered) == {status}:
            return True
    return False
