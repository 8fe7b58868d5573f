"""docs/ideas/conformance.md lists every case of the conformance suite."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conformance.page import CLUSTER, PAGE, SUITE, results, row_of


def test_no_case_lies_elsewhere() -> None:
    tests = PAGE.parents[2] / "tests"
    marked = [path for path in tests.rglob("*.py") if "pytest.mark.conformance" in path.read_text()]
    assert {f"tests/{path.relative_to(tests).parts[0]}" for path in marked} <= {*SUITE, "tests/architecture"}


def test_the_page_names_every_case() -> None:
    options = ("--collect-only", "-q", "-m", "conformance or cluster", "-p", "no:xdist")
    command = [sys.executable, "-m", "pytest", *options, *SUITE, *CLUSTER]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    said = subprocess.run(
        command, cwd=PAGE.parents[2], env=inherited, capture_output=True, text=True, timeout=120, check=False
    )
    collected = {row_of(line) for line in said.stdout.splitlines() if "::" in line}
    assert collected, said.stdout + said.stderr
    assert set(results()) == collected, "run: make conformance, make cluster"
