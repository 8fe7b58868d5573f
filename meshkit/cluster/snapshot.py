"""Read the objects that planners and checks need, all kinds in parallel."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from meshkit.cluster.connect import Cluster
from meshkit.facts import Need, Snapshot

_THREADS = 8


def read(cluster: Cluster, needs: Iterable[Need]) -> Snapshot:
    """Read the needed objects. A kind that the cluster does not serve gives none."""
    distinct = list(dict.fromkeys(needs))
    with ThreadPoolExecutor(_THREADS) as pool:
        lists = pool.map(lambda need: cluster.api.list(need.kind, need.namespace), distinct)
        objects = {
            (obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]): obj
            for found in lists
            for obj in found
        }
    return Snapshot(tuple(objects.values()))
