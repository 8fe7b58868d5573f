"""Istio's own charts on the sandbox: their Deployment is its control plane, their webhooks inject."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.cluster.helm import installed
from meshkit.facts import Kind
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane, Quota
from meshkit.meshes.injection import proxies, proxy_origin
from meshkit.operations.change import apply, plan
from meshkit.operations.health import check
from meshkit.operations.shop import deploy_shop
from meshkit.operations.traffic_gate import TrafficGateOptions
from meshkit.operations.undo import undo
from meshkit.operations.uninstall import plan_uninstall
from meshkit.operations.upgrade.rollback import upgrade_back
from meshkit.operations.upgrade.run import plan_retirement, plan_upgrade, upgrade_status
from meshkit.testing import running_sandbox
from tests.cluster import inventory

MODULE = Path(__file__).parents[1] / "conformance"
DEPLOYMENT, POD = Kind("apps/v1", "Deployment"), Kind("v1", "Pod")
pytestmark = pytest.mark.conformance


@pytest.fixture
def charts() -> str:
    """Where Go keeps the charts of the Istio that the conformance tests are made with."""
    asked = ["go", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio"]
    found = subprocess.run(asked, cwd=MODULE, capture_output=True, text=True, check=True)
    return str(Path(found.stdout.strip(), "manifests", "charts"))


@pytest.fixture
def cluster(helm_program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    monkeypatch.setenv("MESHKIT_HELM", helm_program)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{name}_HOME", str(tmp_path / name.lower()))
    with running_sandbox() as running:
        yield connect(kubeconfig=running.kubeconfig)


def replicas(cluster: Cluster) -> int:
    istiod = cluster.api.get(DEPLOYMENT, "istiod", "istio-system")
    return int(istiod["status"]["availableReplicas"]) if istiod else 0


@pytest.mark.timeout(1200)
def test_istios_charts_install_upgrade_go_back_and_leave(cluster: Cluster, charts: str) -> None:
    """Four Helm changes on real processes take one to two minutes. A source tree's charts have no version."""
    wanted = {"charts": charts, "untested": True, "quota": Quota(cpu="8", memory="16Gi")}
    installed = apply(plan(ControlPlane(**wanted), cluster, mesh="istio"), cluster)
    assert replicas(cluster) == 3
    assert plan(ControlPlane(**wanted), cluster, mesh="istio").empty

    deploy_shop(cluster, rps=20)
    injected = apply(plan(Injection(namespace="shop"), cluster, mesh="istio"), cluster)
    assert [one for one in check(cluster, mesh="istio") if one.severity != "info"] == []

    assert inventory.differences(inventory.written(cluster)) == []

    smaller = plan(ControlPlane(replicas=2, zones=2, **wanted), cluster, mesh="istio")
    shown = {field.path: field.after for one in smaller.steps for field in one.changes}
    assert shown["spec.objects[Deployment istio-system/istiod].spec.replicas"] == 2
    upgraded = apply(smaller, cluster)
    assert replicas(cluster) == 2
    undo(upgraded.id, cluster)
    assert replicas(cluster) == 3

    undo(injected.id, cluster)
    undo(installed.id, cluster)
    assert cluster.api.get(DEPLOYMENT, "istiod", "istio-system") is None
    deploy_shop(cluster)
    assert not any(pod["spec"].get("initContainers") for pod in cluster.api.list(POD, "shop"))


@pytest.mark.timeout(1200)
def test_a_revision_by_istios_charts_takes_over_and_all_of_it_goes(cluster: Cluster, charts: str) -> None:
    """Three to five minutes: two releases on real processes, a shop that moves, and the way back."""
    old, new = (
        ControlPlane(charts=charts, untested=True, version="1.30.5"),
        ControlPlane(charts=charts, untested=True, version="1.31.4", revision="1-31-4", tags=("default",)),
    )
    apply(plan(old, cluster, mesh="istio"), cluster)
    deploy_shop(cluster, rps=20)
    apply(plan(Injection(namespace="shop"), cluster, mesh="istio"), cluster)

    gate = TrafficGateOptions(watch_s=4)
    apply(plan_upgrade(new, cluster, mesh="istio", at_once=4, gate=gate), cluster)
    assert revisions(cluster) == {("1-31-4", "1.31.4")}
    retirement = plan_retirement(new, cluster, mesh="istio")
    assert [step.step.title for step in retirement.steps if step.action == "remove"] == [
        "Release istio-system/istiod"
    ]
    apply(retirement, cluster)
    status = upgrade_status(new, cluster, mesh="istio")
    assert [one.revision for one in status.installed] == ["1-31-4"]
    assert plan_upgrade(new, cluster, mesh="istio").empty, "what validates Istio's objects asks the new one"
    assert [one for one in check(cluster, mesh="istio") if one.severity != "info"] == []

    upgrade_back(cluster)
    assert revisions(cluster) == {("default", "1.30.5")}
    assert plan(old, cluster, mesh="istio").empty

    going = plan_uninstall(cluster, mesh="istio", crds=True, force=True)
    gone = apply(going, cluster, confirm=cluster.context)
    assert plan_uninstall(cluster, mesh="istio", crds=True, force=True).empty
    assert installed(cluster) == []
    undo(gone.id, cluster)
    assert plan(old, cluster, mesh="istio").empty


def revisions(cluster: Cluster) -> set[tuple[str, str]]:
    """What made the proxies of the shop."""
    return {proxy_origin(pod, "istio") for pod in proxies(cluster.api.list(POD, "shop"), "istio")}
