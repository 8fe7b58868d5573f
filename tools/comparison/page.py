"""A page that compares the messages of another program with the findings of meshkit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


class Row(NamedTuple):
    """One message of another program: meshkit's codes for it, or none, and what there is to say of that."""

    code: str
    name: str
    found: tuple[str, ...]
    """The codes of meshkit."""
    note: str = ""
    """Where meshkit has codes, when they are given; where it has none, the reason."""

    def text(self) -> str:
        """The row in Markdown."""
        if not self.found:
            return f"| {self.code} {self.name} | none: {self.note} |"
        return f"| {self.code} {self.name} | {', '.join((*self.found, *filter(None, (self.note,))))} |"


def row(code: str, name: str, found: str, note: str = "") -> Row:
    """A row, with meshkit's codes separated by spaces."""
    return Row(code, name, tuple(found.split()), note)


@dataclass(frozen=True)
class Comparison:
    """A page about one program."""

    file: str
    program: str
    introduction: str
    rows: tuple[Row, ...]

    @property
    def path(self) -> Path:
        """The file of the page."""
        return REFERENCE / self.file

    def page(self) -> str:
        """The page as Markdown."""
        lines = (f"| {self.program} | meshkit |", "|---|---|", *(each.text() for each in self.rows))
        return "\n".join((self.introduction, *lines, ""))
