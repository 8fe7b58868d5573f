"""The demo, as a newcomer runs it. It takes one to two minutes for a mesh."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest


@pytest.mark.parametrize("mesh", ["istio", pytest.param("linkerd", marks=pytest.mark.soak)])
def test_all_results_are_as_expected(mesh: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "meshkit", "demo", "--mesh", mesh, "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "All results are as expected" in ended.stdout
    page = (tmp_path / "index.html").read_text()
    assert page.count("<svg xmlns") == 2
    assert not re.search(r"<script|<link|@import|src=|url\(http", page)
    assert "These settings are neither meshkit's defaults nor a recommendation" in page
    notebooks = sorted(tmp_path.glob("*.ipynb"))
    assert len(notebooks) == 5 + ended.stdout.count("v2 is released again")
    for path in notebooks[3:]:
        outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", ())]
        shown = [set(output.data) for output in outputs if "data" in output]
        assert {"application/vnd.plotly.v1+json", "image/svg+xml", "text/plain"} in shown
