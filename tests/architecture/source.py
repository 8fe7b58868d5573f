"""The modules of meshkit as text and syntax trees, each read once."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "meshkit"


def modules(*under: str) -> list[Path]:
    """Return the modules below the given folders of the package, or all of them."""
    return sorted(path for folder in under or ("",) for path in (PACKAGE / folder).rglob("*.py"))


def name(path: Path) -> str:
    """Return the path of a module from the root of the repository."""
    return str(path.relative_to(ROOT))


@functools.cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path))
