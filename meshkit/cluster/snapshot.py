"""Read the objects that planners and checks need, all kinds in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from meshkit.cluster.connect import Cluster
from meshkit.errors import Forbidden
from meshkit.facts import Need, Object, Snapshot

_THREADS = 8


def read(cluster: Cluster, needs: Iterable[Need]) -> Snapshot:
    """Read the needed objects. A kind that the cluster does not serve gives none.

    Raises ``Forbidden`` for a need that is not optional.
    """
    objects, missing = _together(needs, partial(_listed, cluster))
    return Snapshot(objects, missing)


def _listed(cluster: Cluster, need: Need) -> tuple[Sequence[Object], str]:
    """The objects of a need, and what of it may not be read."""
    try:
        return cluster.api.list(need.kind, need.namespace), ""
    except Forbidden:
        if not need.optional:
            raise
    where = f" in {need.namespace}" if need.namespace else ""
    if need.within:
        try:
            return cluster.api.list(need.kind, need.within), f"{need.kind.kind} outside {need.within}"
        except Forbidden:
            pass
    return (), f"{need.kind.kind}{where}"


def read_permitted(
    cluster: Cluster, needs: Iterable[Need], namespaces: Sequence[str]
) -> tuple[Snapshot, tuple[str, ...]]:
    """Read what this account may read, and tell what it may not (``Pod: only namespace shop was read``).

    A kind that may not be listed in the whole cluster is listed in each of ``namespaces``.
    """
    objects, missing = _together(needs, lambda need: _permitted(cluster, need, namespaces))
    return Snapshot(objects), missing


def _together(
    needs: Iterable[Need], look: Callable[[Need], tuple[Sequence[Object], str]]
) -> tuple[tuple[Object, ...], tuple[str, ...]]:
    """The objects of all needs, each once, and what of them may not be read."""
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = list(pool.map(look, dict.fromkeys(needs)))
    objects = {
        (obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]): obj
        for found, _ in parts
        for obj in found
    }
    return tuple(objects.values()), tuple(dict.fromkeys(missing for _, missing in parts if missing))


def _permitted(cluster: Cluster, need: Need, namespaces: Sequence[str]) -> tuple[list[Object], str]:
    try:
        return list(cluster.api.list(need.kind, need.namespace)), ""
    except Forbidden:
        if need.namespace is not None:
            return [], f"{need.kind.kind}: namespace {need.namespace} was not read"
    found: list[Object] = []
    read: list[str] = []
    for namespace in namespaces:
        try:
            found += cluster.api.list(need.kind, namespace)
            read.append(namespace)
        except Forbidden:
            continue
    where = f"only namespace {', '.join(read)} was read" if read else "not read"
    return found, f"{need.kind.kind}: {where}"
