"""Write docs/reference/traffic.md, what each mesh carries of traffic intents: ``python -m tools.traffic``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from meshkit.intent.base import Part
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.edges.exposure import Exposure
from meshkit.intent.traffic import Route
from meshkit.meshes import registry
from meshkit.meshes.routing import capabilities

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "traffic.md"
_INTRODUCTION = """\
# What each mesh carries of a Route, DestinationPolicy, Egress or Exposure

A `yes` means that meshkit writes the field for this mesh and API: with Istio to a VirtualService or, with
X, `[]` is any element of a list and `*` any key.
The fields of a part that only one of them can carry are left out.
[Configure routes](../howto/traffic.md) explains the fields.

This page is generated from the code by `python -m tools.traffic`.

## Route
"""


_POLICIES = """\

## DestinationPolicy

`host` may be outside of the mesh with Istio only: Linkerd sends requests to hosts outside as they are.
"""


_EGRESSES = """\

## Egress

With Istio an Egress is a ServiceEntry; with Linkerd HTTPRoutes on the EgressNetwork of the namespace.
[Call hosts outside of the mesh](../howto/egress.md) explains the fields.
"""

_EXPOSURES = """\

## Exposure

With Istio an Exposure is a Gateway and HTTPRoutes of Gateway API.
[Let callers in from outside](../howto/exposure.md) explains the fields.
"""


def page() -> str:
    """The page as Markdown: for each kind of intent a table with a row for each field."""
    rows = [registry.mesh(name) for name in registry.MESHES]
    routes = {f"{row.title}, {kind}": each for row in rows for kind, each in row.planner.limits.items()}
    policies = {row.title: row.planner.policy_limits for row in rows}
    egresses = {row.title: row.planner.egress_limits for row in rows}
    exposures = {row.title: row.planner.exposure_limits for row in rows}
    tables = [
        *_table(Route, routes),
        *(_POLICIES, *_table(DestinationPolicy, policies)),
        *(_EGRESSES, *_table(Egress, egresses)),
        *(_EXPOSURES, *_table(Exposure, exposures)),
    ]
    return "\n".join([_INTRODUCTION, *tables]) + "\n"


def _table(model: type[Part], limits: Mapping[str, capabilities.Limits]) -> Iterator[str]:
    yield "| field | meaning | " + " | ".join(limits) + " |"
    yield "|---|---|" + "---|" * len(limits)
    for place, description in capabilities.places(model):
        if _is_shown(place, list(limits.values())):
            cells = [_cell(each, place) for each in limits.values()]
            yield f"| `{place}` | {description.replace('|', '/')} | {' | '.join(cells)} |"


def _is_shown(place: str, limits: list[capabilities.Limits]) -> bool:
    """A value of a field has a row only where one cannot carry it, a part of it only where two can."""
    if any(place in each for each in limits):
        return True
    return ": " not in place and sum(_cell(each, place) == "yes" for each in limits) > 1


def _cell(limits: capabilities.Limits, place: str) -> str:
    if place in limits:
        return f"no. {limits[place]}"
    within = (place.startswith((f"{limit}.", f"{limit}[]", f"{limit}: ")) for limit in limits)
    return "no" if any(within) else "yes"


if __name__ == "__main__":
    PAGE.write_text(page())
