"""The pages that people write: their code blocks, and which names, commands and settings they mention.

A code block is a fence with a language. One that the tests do not execute has a line above it that says why:
``<!-- not run: it asks a cluster of yours -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = ("docs/ideas/conformance.md", "docs/ideas/differences.md", "docs/reference/findings.md")
"""Pages of the repository that a program writes."""

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)\s*$")
_NOT_RUN = re.compile(r"<!-- not run: (\S.*?) -->")
_FILE = re.compile(r"# ([\w-]+\.ya?ml)\b")


@dataclass(frozen=True)
class Block:
    """A fenced code block. ``not_run`` is the reason why no test executes it, empty where one does."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    @property
    def where(self) -> str:
        """The place for messages: ``docs/howto/shop.md:26``."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that a YAML block shows, where its first line is a comment with the name."""
        found = _FILE.match(self.text)
        return found.group(1) if found else None

    def commands(self) -> list[str]:
        """The commands of a console block, one a line, without prompts and comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+#\s.*$", "", line).removeprefix("$ ").strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def pages() -> list[Path]:
    """README.md and every page below docs/ that no program writes, the tutorial first."""
    written = {ROOT / name for name in GENERATED}
    found = [page for page in sorted(DOCS.rglob("*.md")) if page not in written]
    return [ROOT / "README.md", *sorted(found, key=lambda page: page.parent.name != "tutorial")]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page in order; directives of MyST (``{toctree}``) are none."""
    lines = page.read_text(encoding="utf-8").splitlines()
    above, number = "", 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            above = lines[number] if lines[number].strip() else above
            number += 1
            continue
        indent, fence, language = opened.groups()
        begin = number + 1
        number = begin
        while number < len(lines) and lines[number].strip() != fence:
            number += 1
        text = "\n".join(line.removeprefix(indent) for line in lines[begin:number])
        reason = _NOT_RUN.fullmatch(above.strip())
        if not language.startswith("{"):
            yield Block(page, begin, language, text, reason.group(1) if reason else "")
        above, number = "", number + 1


def without_blocks(page: Path) -> list[tuple[int, str]]:
    """The numbered lines of a page that stand in no fence."""
    kept, fence = [], ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        opened = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opened:
            fence = opened.group(2)
        else:
            kept.append((number, line))
    return kept


def spans(page: Path) -> list[tuple[int, str]]:
    """The code spans of a page outside its blocks, each with its line."""
    text = "\n".join(line for _, line in _padded(page))
    found = re.finditer(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)", text)
    return [(text[: each.start()].count("\n") + 1, " ".join(each.group(1).split())) for each in found]


def _padded(page: Path) -> list[tuple[int, str]]:
    """All lines of a page, those of blocks empty."""
    kept = dict(without_blocks(page))
    total = page.read_text(encoding="utf-8").count("\n") + 1
    return [(number, kept.get(number, "")) for number in range(1, total + 1)]


@cache
def code_of(page: Path) -> tuple[str, ...]:
    """Everything that a page writes as code: the lines of its blocks, and its code spans."""
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    return (*lines, *(span for _, span in spans(page)))


def names_in(page: Path) -> set[str]:
    """The names NAME that a page mentions as ``mk.NAME``."""
    return {name for text in code_of(page) for name in re.findall(r"\bmk\.([A-Za-z_]\w*)", text)}


def mentioning(word: str) -> list[Path]:
    """The pages that have a word, or several, in their code."""
    wanted = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
    return [page for page in pages() if any(wanted.search(text) for text in code_of(page))]


def title(page: Path) -> str:
    """The heading of a page."""
    return next(line for _, line in without_blocks(page) if line.startswith("# ")).removeprefix("# ")


def links(found: list[Path], *, up: int) -> str:
    """A line that leads from a generated page, ``up`` folders below docs/, to the pages that were found."""
    inside = [page for page in found if page.is_relative_to(DOCS)]
    listed = ", ".join(f"[{title(page)}]({'../' * up}{page.relative_to(DOCS)})" for page in inside)
    return f"In the guides: {listed}.\n" if listed else ""
