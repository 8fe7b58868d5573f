"""Run the code blocks of README and docs/ on a sandbox, page by page.

The tutorial runs first, from nothing; the other pages find the mesh and the shop that it leaves. It takes
about 45 seconds: the tutorial installs a mesh, restarts the shop in it and runs two releases.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import meshkit as mk
from meshkit.cli.app import main
from meshkit.errors import CHANGES_PENDING, MeshkitError
from meshkit.operations import shop
from meshkit.testing import running_sandbox
from tests.e2e.ledgers import had_no_cpu
from tools.docs import pages
from tools.docs.pages import DOCS, ROOT, Block

RUN = {"python", "console", "yaml"}
TUTORIAL = [page for page in pages.pages() if page.parent == DOCS / "tutorial"]
GUIDES = [
    page
    for page in pages.pages()
    if page not in TUTORIAL and any(b.language in RUN and not b.not_run for b in pages.blocks(page))
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """A sandbox where the tutorial was followed to its end: page of it -> the names that its code made."""
    with running_sandbox() as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        patch.delenv("KUBECONFIG", raising=False)
        patch.chdir(tmp_path_factory.mktemp("docs"))
        made = {
            page.stem: (follow_with_cpu if page.stem == "first-release" else follow)(page)
            for page in TUTORIAL
        }
        shop.set_load(mk.connect(), 20)
        yield made


def test_the_tutorial_comes_out_as_it_says(world: dict[str, dict[str, Any]]) -> None:
    found = [finding.message for finding in world["first-mesh"]["look"].of("mutual-tls").findings]
    assert any("plain text" in message for message in found)
    assert world["first-release"]["outcome"].result == "rolled_back"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_guide_does_what_it_says(page: Path, world: object) -> None:
    follow(page)


def follow_with_cpu(page: Path) -> dict[str, Any]:
    """Follow a page of the tutorial, once more where its good version was not good: its pods had no CPU."""
    for _ in range(2):
        since_s = time.time()
        try:
            return follow(page)
        except MeshkitError:
            if not had_no_cpu(mk.connect(), "v2", "v1", since_s):
                raise
    return follow(page)


def follow(page: Path) -> dict[str, Any]:
    """Run the blocks of a page in order; Python's share their names, as the cells of a notebook do."""
    names: dict[str, Any] = {}
    for block in pages.blocks(page):
        if block.not_run or block.language not in RUN:
            continue
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), names)
        elif block.language == "console":
            for line in block.commands():
                call(block, line)
        elif block.file:
            Path(block.file).write_text(block.text)
    return names


def call(block: Block, line: str) -> None:
    """One command, in this process. Pending changes are no failure."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line)[1:])
    assert ended.value.code in (0, CHANGES_PENDING, None), (
        f"{block.where}: {line}: exit code {ended.value.code}"
    )
