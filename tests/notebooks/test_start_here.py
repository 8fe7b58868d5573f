"""00_start_here runs from its first cell to its last on an empty sandbox, and again without changing
anything.

Takes about half a minute: it installs a mesh, restarts the shop's pods behind sidecars, and starts two
kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import meshkit as mk
from meshkit.runbooks.catalogue import shipped_folder
from meshkit.runbooks.execution import run_runbook
from meshkit.testing import running_sandbox

NOTEBOOK = str(shipped_folder("notebooks") / "00_start_here.ipynb")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[mk.cluster.connect.Cluster]:
    with running_sandbox() as sandbox:
        monkeypatch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        yield mk.connect()


def test_it_runs_and_a_second_run_changes_nothing(
    cluster: mk.cluster.connect.Cluster, tmp_path: Path
) -> None:
    first = run_runbook(NOTEBOOK, out=tmp_path, as_name="first")
    assert first.error is None
    changes = mk.history(cluster)
    assert len(changes) == 3
    second = run_runbook(NOTEBOOK, out=tmp_path, as_name="second")
    assert second.error is None
    assert mk.history(cluster) == changes
    panel = nbformat.read(second.notebook, as_version=4).cells[-1].outputs[-1]
    assert "application/vnd.jupyter.widget-view+json" in panel.data
