"""A release in a process of its own runs on the cluster that was chosen, measured as was asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import ReleaseNotStarted
from meshkit.intent.release import Release
from meshkit.operations.release.unattended.detached import run_detached, runs
from tests.unit.release.stage import Stage

PATIENCE_S = 150.0
"""How long its process may take to start and to give up; it is short only where the machine is idle."""
RELEASE = Release(name="web-v2", namespace="shop", service="web", port=8080, stable="v1", canary="v2")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose context and address stand in two files; nothing answers there."""
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path))
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(yaml.safe_dump({"contexts": [{"name": "prod", "context": {"cluster": "c"}}]}))
    two.write_text(
        yaml.safe_dump({"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}]})
    )
    monkeypatch.setenv("KUBECONFIG", f"{one}:{two}")
    return connect("prod")


def test_it_meets_the_cluster_that_was_chosen(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    with pytest.raises(ReleaseNotStarted, match=r"https://127\.0\.0\.1:9 does not answer"):
        run_detached(RELEASE, cluster, mesh="istio", grace_s=PATIENCE_S)


def test_it_is_measured_by_the_prometheus_that_was_named(cluster: Cluster) -> None:
    with pytest.raises(ReleaseNotStarted, match="not the URL of a Prometheus") as told:
        run_detached(RELEASE, cluster, mesh="istio", prometheus="ftp://measured.example", grace_s=PATIENCE_S)
    assert told.value.message.startswith("release web-v2 did not start: prometheus: ")
    assert told.value.exit_code == 2


def test_a_process_is_known_to_run_a_release_by_its_lock() -> None:
    stage, seen = Stage(), set[bool]()
    stage.run(lambda state: seen.add(runs(os.getpid(), stage.release, stage.cluster)))
    assert True in seen
    assert not runs(os.getpid(), stage.release, stage.cluster)
    assert not runs(1, stage.release, stage.cluster)
