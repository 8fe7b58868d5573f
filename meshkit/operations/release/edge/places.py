"""The rules at gateways that a release moves: their records, and how they were before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from meshkit.cluster.journal import reading_records
from meshkit.decide.ladder import share_percent
from meshkit.errors import BadInput
from meshkit.kube.steps import RELEASE_MANAGER
from meshkit.operations.release.route import owners, record_of, route_of, weights_of
from meshkit.operations.release.weights import same_percent

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute


@dataclass(frozen=True)
class Place:
    """A rule at a gateway whose weights a release moves, as it was before the release."""

    route: WeightedRoute
    weights: tuple[int, int]
    managed_fields: tuple[Mapping[str, Any], ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The place as a JSON-ready mapping; ``place_of`` is its inverse."""
        fields = [dict(entry) for entry in self.managed_fields]
        return {"route": record_of(self.route), "weights": list(self.weights), "managed_fields": fields}


def place_of(record: Mapping[str, Any]) -> Place:
    """The place from the record of a journal. Raises ``BrokenJournal`` if it is none."""
    with reading_records("this release"):
        stable, canary = (int(weight) for weight in record["weights"])
        return Place(route_of(record["route"]), (stable, canary), tuple(record["managed_fields"]))


def place_now(route: WeightedRoute, release: Release, cluster: Cluster) -> Place:
    """The place as it is. Raises ``BadInput`` if the object is gone, or does not match the release."""
    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None:
        raise BadInput("release.route", f"{route} is gone.", remedy="Restore it, or plan the release again.")
    fields = tuple(obj["metadata"].get("managedFields") or ())
    return Place(route, weights_of(obj, route, release).pair, fields)


def require_same_share(
    edges: Iterable[Place], route: WeightedRoute, percent_inside: float, release: Release
) -> None:
    """Raise ``BadInput`` for a rule at a gateway that gives the canary another share than the route does."""
    for edge in edges:
        share = share_percent(*edge.weights)
        if not same_percent(share, percent_inside):
            raise BadInput(
                "release.route",
                f"{edge.route} at the edge gives {release.canary} {share:g} % of the requests, and {route}"
                f" {percent_inside:g} %: a release moves both together.",
                remedy=f"Give {release.canary} the same share in both, such as 0.",
            )


def moved_edges(routes: Iterable[WeightedRoute], release: Release, cluster: Cluster) -> list[Place]:
    """The rules at gateways that a release without records has moved, with all weight for the stable."""
    places = (place_now(each, release, cluster) for each in routes)
    return [
        replace(each, weights=(100, 0))
        for each in places
        if RELEASE_MANAGER in owners({"metadata": {"managedFields": each.managed_fields}}, each.route)
    ]


@dataclass(frozen=True)
class EdgeRollback:
    """A rule at a gateway as it is, the weights that a rollback restores, and whom the fields go back to."""

    now: Place
    wanted: tuple[int, int]
    managed_fields: tuple[Mapping[str, Any], ...] | None
    """None: those at the time of the rollback."""


def described(release: Release, route: WeightedRoute, now: tuple[int, int], then: tuple[int, int]) -> str:
    """Both weights of a rule now and after a change, in one line."""
    versions = zip((release.stable, release.canary), now, then, strict=True)
    return f"{route}: {', '.join(f'{name} {before} -> {after}' for name, before, after in versions)}"
