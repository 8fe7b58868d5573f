"""Read the objects that planners and checks need, all kinds in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from meshkit.cluster.connect import Cluster
from meshkit.errors import Forbidden
from meshkit.facts import Need, Object, Snapshot

_THREADS = 8


def read(cluster: Cluster, needs: Iterable[Need]) -> Snapshot:
    """Read the needed objects. A kind that the cluster does not serve gives none.

    Raises ``Forbidden`` for a need that is not optional.
    """
    distinct = list(dict.fromkeys(needs))
    with ThreadPoolExecutor(_THREADS) as pool:
        lists = list(pool.map(lambda need: _listed(cluster, need), distinct))
        objects = {
            (obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]): obj
            for found, _ in lists
            for obj in found
        }
    return Snapshot(tuple(objects.values()), tuple(dict.fromkeys(missing for _, missing in lists if missing)))


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
