"""README and the pages of docs/ do what they say: their code is run on a sandbox, page by page.

The tutorial runs first, from nothing; the other pages find the mesh and the shop that it leaves. About half a
minute in all, most of it the tutorial's mesh, restarts and releases.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshkit.cli.app import main
from meshkit.errors import CHANGES_PENDING
from meshkit.testing import running_sandbox
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
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A sandbox where the tutorial was followed to its end, and a folder of its own to work in."""
    with running_sandbox() as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHKIT_HOME", str(sandbox.home.parent))
        patch.delenv("KUBECONFIG", raising=False)
        patch.chdir(tmp_path_factory.mktemp("docs"))
        for page in TUTORIAL:
            follow(page)
        yield


def test_the_tutorial_leads_to_its_end(world: None) -> None:
    assert TUTORIAL


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_guide_does_what_it_says(page: Path, world: None) -> None:
    follow(page)


def follow(page: Path) -> None:
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


def call(block: Block, line: str) -> None:
    """One command, in this process. Pending changes are no failure."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line)[1:])
    assert ended.value.code in (0, CHANGES_PENDING, None), (
        f"{block.where}: {line}: exit code {ended.value.code}"
    )
