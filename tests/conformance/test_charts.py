"""Istio's own charts on the real API server, by real Helm, with the values that meshkit plans for them.

The charts are those in the source of the istiod that the other tests run. Pods get ready as kwok says; that a
container starts is not proven here. Linkerd's charts can't be had from the module proxy: not proven.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.cluster.api import Api
from meshkit.cluster.connect import connect
from meshkit.facts import Kind
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import ordered
from tests.conformance.cluster import running_cluster
from tests.conformance.parts import module_folder
from tests.unit.meshes.golden_cases import CASES, PLANNERS, SHOP

HELM_TOOL = Path(__file__).parents[2] / "tools" / "helm.py"
NAMESPACE = "istio-system"
IMAGES = ["--set=global.hub=docker.io/istio", "--set=global.tag=1.31.0"]
CHARTS = {
    "istio-base": "base",
    "istio-cni": "istio-cni",
    # Before istiod: its pods ask for injection, and no injector answers here.
    "istio-ingress": "gateway",
    "istiod": "istio-control/istio-discovery",
}
Helm = Callable[..., str]


def planned_values(release: str) -> dict[str, Any]:
    """What meshkit's planner gives to a chart; nothing for a chart that it does not install."""
    for step in ordered(PLANNERS["istio"].plan(CASES["control-plane-all-charts"][1], SHOP)):
        if step.kind == RELEASE and step.name == release:
            return dict(step.object["spec"]["values"])
    return {}


@pytest.fixture(scope="module")
def charts() -> Path:
    return module_folder("istio.io/istio") / "manifests" / "charts"


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of this module's own: another's definitions of Istio would be in the charts' way."""
    with running_cluster(tmp_path_factory.mktemp("charts")) as cluster:
        yield cluster.kubeconfig


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Run Helm without a cluster unless a kubeconfig is given; its output if it succeeds."""
    found = subprocess.run([sys.executable, HELM_TOOL], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    home = tmp_path_factory.mktemp("helm")
    names = ("CACHE", "CONFIG", "DATA")
    environment = {**os.environ, **{f"HELM_{name}_HOME": str(home / name) for name in names}}

    def run(*words: str) -> str:
        command = [found.stdout.strip(), f"--namespace={NAMESPACE}", *words]
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=150, check=False, env=environment
        )
        assert said.returncode == 0, f"helm {' '.join(words)}: {said.stderr}"
        return said.stdout

    return run


@pytest.fixture
def values(tmp_path: Path) -> Callable[[str], str]:
    def written(release: str) -> str:
        path = tmp_path / f"{release}.yaml"
        path.write_text(yaml.safe_dump(planned_values(release)))
        return f"--values={path}"

    return written


@pytest.mark.parametrize("release", CHARTS)
def test_a_chart_renders(helm: Helm, values: Callable[[str], str], charts: Path, release: str) -> None:
    rendered = helm("template", release, str(charts / CHARTS[release]), values(release), *IMAGES)
    assert [each for each in yaml.safe_load_all(rendered) if each]


def test_releases_are_installed_upgraded_rolled_back_and_gone(
    helm: Helm, values: Callable[[str], str], charts: Path, kubeconfig: Path
) -> None:
    """About 30 s: four releases, waited for, and their removal."""
    api = connect(kubeconfig=kubeconfig).api
    to = f"--kubeconfig={kubeconfig}"
    wait = ("--wait", "--timeout=120s")
    for release, chart in CHARTS.items():
        given = (str(charts / chart), values(release), *IMAGES, to, *wait)
        helm("upgrade", "--install", "--create-namespace", release, *given)
    assert replicas(api) == 3

    again = (str(charts / CHARTS["istiod"]), values("istiod"), "--set=replicaCount=2", *IMAGES, to, *wait)
    helm("upgrade", "istiod", *again)
    assert replicas(api) == 2
    helm("rollback", "istiod", "1", to, *wait)
    assert replicas(api) == 3

    for release in reversed(CHARTS):
        made = [each for each in yaml.safe_load_all(helm("get", "manifest", release, to)) if each]
        helm("uninstall", release, to, *wait, "--cascade=foreground")
        for obj in made:
            must_go(api, obj)
    assert helm("list", to, "--short") == ""


def replicas(api: Api) -> int:
    """Replicas of istiod that are available."""
    found = api.get(Kind("apps/v1", "Deployment"), "istiod", NAMESPACE)
    assert found is not None
    return int(found["status"]["availableReplicas"])


def must_go(api: Api, obj: dict[str, Any]) -> None:
    """Wait for an object to be gone: dependents first, so a Deployment outlives Helm's own waiting a little.

    A definition stays, by Istio's own wish.
    """
    kind, meta = Kind(obj["apiVersion"], obj["kind"]), obj["metadata"]
    if (meta.get("annotations") or {}).get("helm.sh/resource-policy") != "keep":
        namespace = meta.get("namespace", NAMESPACE)
        api.wait(kind, meta["name"], namespace, lambda found: found is None, 60, "gone")
