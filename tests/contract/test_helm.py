"""Helm 4 installs, upgrades, rolls back and uninstalls a chart, by server-side and client-side apply."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.facts import Kind, Object
from tests.contract.kubectl import WITHIN

CHART = Path(__file__).with_name("chart")
SERVER_SIDE = pytest.mark.parametrize("server_side", ["true", "false"])
SECRET, DEPLOYMENT = Kind("v1", "Secret"), Kind("apps/v1", "Deployment")
SERVICE, CONFIGMAP = Kind("v1", "Service"), Kind("v1", "ConfigMap")
JOB, POD, GREETING = Kind("batch/v1", "Job"), Kind("v1", "Pod"), Kind("chart.example.com/v1", "Greeting")


@dataclass(frozen=True)
class Helm:
    """helm for one release in one namespace. ``home`` keeps it off the user's own repositories and cache."""

    program: str
    kubeconfig: Path
    namespace: str
    home: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {
            f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")
        }
        command = [
            self.program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *words
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, env=env)

    def __call__(self, *words: str) -> str:
        """The output of a command that must succeed."""
        result = self.run(*words)
        assert result.returncode == 0, f"helm {' '.join(words)}: {result.stderr}"
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--output=json"))


@pytest.fixture
def helm(helm_program: str, kubeconfig: Path, namespace: str, tmp_path: Path) -> Helm:
    # Its definition stays, as Helm leaves it: removed and made again at once it is not served yet.
    return Helm(helm_program, kubeconfig, namespace, tmp_path)


def shown_version(cluster: Cluster, namespace: str) -> str:
    found = cluster.api.get(CONFIGMAP, "hi-settings", namespace)
    return str(found["data"]["version"]) if found else ""


def left_in_the_end(cluster: Cluster, kind: Kind, namespace: str) -> list[Object]:
    """What is left once the garbage collector was there: Kubernetes' learns of a new kind only within 30 s,
    and until then foreground deletion of its objects waits.
    """
    until_s = time.monotonic() + 60
    while (left := cluster.api.list(kind, namespace)) and time.monotonic() < until_s:
        time.sleep(0.2)
    return left


@SERVER_SIDE
def test_a_release_is_installed_upgraded_rolled_back_and_gone(
    helm: Helm, cluster: Cluster, namespace: str, server_side: str
) -> None:
    """Takes up to 40 s on Kubernetes, whose garbage collector learns of the chart's kind only within 30 s."""
    way = ("--wait", WITHIN)
    helm("install", "hi", str(CHART), *way, f"--server-side={server_side}")
    assert cluster.api.list(DEPLOYMENT, namespace)[0]["status"]["availableReplicas"] == 1

    helm("upgrade", "hi", str(CHART), *way, "--set=version=v2,replicas=2", f"--server-side={server_side}")
    assert shown_version(cluster, namespace) == "v2"
    assert cluster.api.list(DEPLOYMENT, namespace)[0]["status"]["availableReplicas"] == 2

    helm("rollback", "hi", "1", *way, f"--server-side={server_side}")
    assert shown_version(cluster, namespace) == "v1"
    assert [each["status"] for each in helm.json("history", "hi")] == ["superseded", "superseded", "deployed"]
    assert helm.json("status", "hi")["info"]["status"] == "deployed"
    (listed,) = helm.json("list")
    assert (listed["name"], listed["revision"], listed["chart"]) == ("hi", "3", "greeter-1.0.0")

    helm("uninstall", "hi", *way, "--cascade=foreground")
    assert helm.json("list") == []
    for kind in (DEPLOYMENT, POD, JOB, SERVICE, GREETING, SECRET):
        assert left_in_the_end(cluster, kind, namespace) == []
    assert cluster.api.get(CONFIGMAP, "hi-settings", namespace) is None


def test_an_upgrade_that_never_gets_ready_goes_back_by_itself(
    helm: Helm, cluster: Cluster, namespace: str
) -> None:
    helm("install", "hi", str(CHART), "--wait", WITHIN)
    failed = helm.run(
        "upgrade",
        "hi",
        str(CHART),
        "--rollback-on-failure",
        "--timeout=3s",
        "--set=version=v2,node=none-of-this-name",
    )
    assert failed.returncode != 0
    assert "rolled back" in failed.stderr
    assert shown_version(cluster, namespace) == "v1"
    assert helm.json("status", "hi")["info"]["status"] == "deployed"


@pytest.mark.usefixtures("sandbox_images")
def test_a_hook_that_fails_keeps_the_release_from_being_touched(
    helm: Helm, cluster: Cluster, namespace: str
) -> None:
    helm("install", "hi", str(CHART), "--wait", WITHIN)
    assert cluster.api.list(JOB, namespace) == []  # hook-succeeded: gone once it has done its work
    failed = helm.run("upgrade", "hi", str(CHART), WITHIN, "--set=version=v2,hookExitCode=1")
    assert failed.returncode != 0
    assert "pre-upgrade hooks failed" in failed.stderr
    assert shown_version(cluster, namespace) == "v1"
