"""The workflow files for CI that ship fit their published schemas, offline, and name runbooks that exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.runbooks.catalogue import load_runbook, shipped_folder

FOLDER = shipped_folder("runbooks") / "ci"
SCHEMAS = {"github-actions.yaml": "vendor.github-workflows", "gitlab-ci.yaml": "vendor.gitlab-ci"}


def test_every_file_has_its_schema() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SCHEMAS)


def check(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    """The file checked by check-jsonschema, which carries the schemas: no network."""
    extra = ["--data-transform", "gitlab-ci"] if "gitlab" in schema else []
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *extra, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_fits_the_published_schema_and_a_misspelt_one_does_not(name: str, tmp_path: Path) -> None:
    good, broken = FOLDER / name, tmp_path / name
    checked = check(SCHEMAS[name], good)
    assert checked.returncode == 0, checked.stdout
    broken.write_text(good.read_text().replace("jobs:", "jbos:").replace("needs: [", "neds: ["))
    assert check(SCHEMAS[name], broken).returncode == 1


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_runs_runbooks_that_have_a_dry_run(name: str) -> None:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    jobs = document.get("jobs")
    if jobs:
        named = jobs["mesh"]["strategy"]["matrix"]["runbook"]
    else:
        named = [job["variables"]["RUNBOOK"] for job in document.values() if "extends" in job]
    assert named
    for runbook in named:
        known = {parameter.name for parameter in load_runbook(runbook).parameters}
        assert {"apply", "kubeconfig", "context"} <= known
