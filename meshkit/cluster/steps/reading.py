"""Read many objects by few requests: by a list, where a namespace has few others of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from meshkit.cluster.connect import Cluster
from meshkit.cluster.helm import client_for
from meshkit.cluster.transport.parallel import at_once
from meshkit.errors import Forbidden
from meshkit.facts import Kind
from meshkit.kube.helm import RELEASE

_WORTH_A_LIST = 6
"""The number of objects of a kind and namespace from which a list is cheaper than to read them one by one."""
_OTHERS = 3
"""A list may have so many objects for each that is wanted."""


class Place(NamedTuple):
    """The kind, namespace and name of an object."""

    kind: Kind
    namespace: str | None
    name: str


def read(cluster: Cluster, places: Sequence[Place]) -> list[dict[str, Any] | None]:
    """The present objects at these places, in the same order; None where there is none."""
    wanted: dict[tuple[Kind, str | None], set[str]] = {}
    for place in places:
        wanted.setdefault((place.kind, place.namespace), set()).add(place.name)
    groups = [group for group, names in wanted.items() if len(names) >= _WORTH_A_LIST and group[0] != RELEASE]
    found: dict[tuple[Kind, str | None], dict[str, dict[str, Any]]] = {}
    lists = at_once(lambda group: _listed(cluster, group[0], group[1], len(wanted[group])), groups)
    for group, listed in zip(groups, lists, strict=True):
        if listed is not None:
            found[group] = {obj["metadata"]["name"]: obj for obj in listed}
    alone = [place for place in places if (place.kind, place.namespace) not in found]
    gotten = iter(at_once(lambda place: _get(cluster, place), alone))
    return [
        found[place.kind, place.namespace].get(place.name)
        if (place.kind, place.namespace) in found
        else next(gotten)
        for place in places
    ]


def _get(cluster: Cluster, place: Place) -> dict[str, Any] | None:
    return client_for(cluster, place.kind).get(place.kind, place.name, place.namespace)


def _listed(cluster: Cluster, kind: Kind, namespace: str | None, count: int) -> list[dict[str, Any]] | None:
    """The objects of a kind in a namespace; None if they are far too many or may not be listed."""
    try:
        return cluster.api.list_few(kind, namespace, at_most=(1 + _OTHERS) * count)
    except Forbidden:
        return None
