"""Write docs/reference/traffic.md, what each mesh carries of traffic intents: ``python -m tools.traffic``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from meshkit.intent.base import Part
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.traffic import Route
from meshkit.meshes import registry
from meshkit.meshes.routing import capabilities

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "traffic.md"
_INTRODUCTION = """\
# What each mesh carries of a Route or DestinationPolicy

A `yes` means that meshkit writes the field for this mesh: with Istio to a VirtualService or DestinationRule,
with Linkerd to an HTTPRoute, the Services of the versions, or annotations. Everything else is refused before
anything is changed, and the refusal says what the table says here. In a field's place, `[]` is any element of
a list and `*` any key. The fields of a part that one mesh cannot carry are left out.
[Configure routes](../howto/traffic.md) explains the fields.

This page is generated from the code by `python -m tools.traffic`.

## Route
"""


_POLICIES = """\

## DestinationPolicy

`host` may be outside of the mesh with Istio only: Linkerd sends requests to hosts outside as they are.
"""


def page() -> str:
    """The page as Markdown: for each kind of intent a table with a row for each field."""
    rows = [registry.mesh(name) for name in registry.MESHES]
    titles = [row.title for row in rows]
    routes = _table(Route, titles, [row.planner.limits for row in rows])
    policies = _table(DestinationPolicy, titles, [row.planner.policy_limits for row in rows])
    return "\n".join([_INTRODUCTION, *routes, _POLICIES, *policies]) + "\n"


def _table(model: type[Part], titles: Sequence[str], limits: list[capabilities.Limits]) -> Iterator[str]:
    yield "| field | meaning | " + " | ".join(titles) + " |"
    yield "|---|---|" + "---|" * len(titles)
    for place, description in capabilities.places(model):
        if _is_shown(place, limits):
            cells = [_cell(each, place) for each in limits]
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
