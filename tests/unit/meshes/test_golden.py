"""What each mesh's planner makes of each intent, to the byte. ``UPDATE_GOLDEN=1`` rewrites the files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.kube.steps import Step, ordered
from tests.unit.meshes.golden_cases import (
    CASES,
    PLANNERS,
    SHOP,
)

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("mesh", "case"), [(mesh, case) for case, (meshes, _) in CASES.items() for mesh in meshes]
)
def test_plan_is_golden(mesh: str, case: str) -> None:
    steps = ordered(PLANNERS[mesh].plan(CASES[case][1], SHOP))
    text = yaml.safe_dump_all([written(step) for step in steps], sort_keys=False, width=110)
    path = GOLDEN / f"{mesh}-{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def written(step: Step) -> dict[str, Any]:
    """A step in the form of a golden file; for a CRD, only its name."""
    obj: Any = step.object
    if step.kind.kind == "CustomResourceDefinition":
        obj = {"kind": "CustomResourceDefinition", "metadata": {"name": step.name}}
    wait = f"{step.wait.condition} in {step.wait.timeout_s:g} s" if step.wait else None
    return {"manager": step.manager, "partial": step.partial, "wait": wait, "object": obj}


def test_every_golden_file_has_its_case() -> None:
    wanted = {f"{mesh}-{case}.yaml" for case, (meshes, _) in CASES.items() for mesh in meshes}
    assert {path.name for path in GOLDEN.iterdir()} == wanted
