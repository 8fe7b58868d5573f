"""Write docs/reference/traffic.md, what each mesh can carry of a Route: ``python -m tools.traffic``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from meshkit.meshes import registry
from meshkit.meshes.routing import capabilities

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "traffic.md"
_INTRODUCTION = """\
# What each mesh carries of a Route

A `yes` means that meshkit writes the field for this mesh: with Istio to a VirtualService or DestinationRule,
with Linkerd to an HTTPRoute, the Services of the versions, or annotations. Everything else is refused before
anything is changed, and the refusal says what the table says here. In a field's place, `[]` is any element of
a list and `*` any key. The fields of a part that one mesh cannot carry are left out.
[Configure routes](../howto/traffic.md) explains the fields.

This page is generated from the code by `python -m tools.traffic`.
"""


def page() -> str:
    """The page as Markdown: a table with a row for each field."""
    return "\n".join([_INTRODUCTION, *_table()]) + "\n"


def _table() -> Iterator[str]:
    rows = [registry.mesh(name) for name in registry.MESHES]
    yield "| field | meaning | " + " | ".join(row.title for row in rows) + " |"
    yield "|---|---|" + "---|" * len(rows)
    for place, description in capabilities.places():
        if _is_shown(place, [row.planner.limits for row in rows]):
            cells = [_cell(row.planner.limits, place) for row in rows]
            yield f"| `{place}` | {description.replace('|', '/')} | {' | '.join(cells)} |"


def _is_shown(place: str, limits: list[capabilities.Limits]) -> bool:
    """A value of a field has a row only where a mesh cannot carry it, a part of a refused one none."""
    if any(place in each for each in limits):
        return True
    return ": " not in place and all(_cell(each, place) == "yes" for each in limits)


def _cell(limits: capabilities.Limits, place: str) -> str:
    for limit, instead in limits.items():
        if place == limit or place.startswith((f"{limit}.", f"{limit}[]", f"{limit}: ")):
            return f"no. {instead}"
    return "yes"


if __name__ == "__main__":
    PAGE.write_text(page())
