"""Findings about Istio's objects: each file here has one mistake, and its first line names the codes for it.

``valid_*.yaml`` have none. All of them stand in the mesh of ``mesh.yaml``.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.checks import injection, ports, routes, webhooks
from meshkit.checks.calls import standing
from meshkit.facts import Snapshot
from meshkit.meshes.istio.checks.table import CHECKS
from meshkit.meshes.view import View
from tools.comparison.istioctl import COMPARISON as ISTIOCTL
from tools.comparison.kiali import COMPARISON as KIALI
from tools.comparison.page import Row

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("*.yaml") if path.name != "mesh.yaml")
BAD = [path for path in FILES if not path.name.startswith("valid_")]
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_FIRST = re.compile(r"# meshkit: ([A-Z0-9, ]+)(?: · istioctl: ([A-Z0-9, ]+))?(?: · kiali: ([A-Z0-9, ]+))?$")


def objects_of(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def expected(path: Path) -> set[str]:
    """The codes of meshkit that a file names."""
    said = _FIRST.match(path.read_text().splitlines()[0])
    assert said, f"{path.name} does not say what is found in it"
    return {code.strip() for code in said[1].split(",")}


def found(*objects: dict[str, Any]) -> list[Any]:
    """The findings about objects of the mesh, without those about its installation."""
    view = View(Snapshot((*objects_of(HERE / "mesh.yaml"), *objects)), "istio", NOW)
    checks = [*CHECKS.running, *CHECKS.before, injection.check, routes.check, standing.check, webhooks.check]
    return [
        *(finding for check in checks for finding in check(view)),
        *ports.check(view, CHECKS),
    ]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_the_mistake_is_found_and_nothing_else(path: Path) -> None:
    seen = found(*objects_of(path))
    assert {each.code for each in seen} == expected(path), seen
    assert all(each.message.endswith(".") and each.remedy for each in seen)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path not in BAD] + [HERE / "mesh.yaml"], ids=lambda path: path.stem
)
def test_what_is_valid_has_no_findings(path: Path) -> None:
    objects = objects_of(path) if path.name != "mesh.yaml" else []
    assert found(*objects) == []


def test_a_rule_that_comes_first_by_its_selector_is_not_called_older() -> None:
    (one,) = found(*objects_of(HERE / "policy_of_a_selecting_rule.yaml"))
    assert one.object == "DestinationRule shop/stock-for-all"
    assert "has another and a workloadSelector, and such rules come before those without one" in one.message


def named(path: Path, group: int) -> list[str]:
    """The codes of another program that a file names: of istioctl (2) or of Kiali (3)."""
    said = _FIRST.match(path.read_text().splitlines()[0])
    return said[group].split(", ") if said and said[group] else []


def test_the_table_of_istioctls_messages_names_what_is_found() -> None:
    rows = {row.code: row for row in ISTIOCTL.rows}
    for path in BAD:
        for code in named(path, 2):
            assert rows[code].found, f"{path.name}: {code} has no row"


@pytest.mark.parametrize("row", KIALI.rows, ids=lambda row: row.code)
def test_each_code_for_a_validation_of_kiali_is_found_on_a_file_that_names_it(row: Row) -> None:
    """``test_the_mistake_is_found_and_nothing_else`` holds that the files have these codes."""
    files = [path for path in BAD if row.code in named(path, 3)]
    assert set().union(*map(expected, files)) == set(row.found), [path.name for path in files]


def test_every_file_names_validations_that_kiali_has() -> None:
    known = {row.code for row in KIALI.rows}
    assert {code for path in BAD for code in named(path, 3)} <= known
