"""Read the objects that planners, checks and explanations need, all kinds in parallel."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from meshkit.cluster.api import at_once
from meshkit.cluster.connect import Cluster
from meshkit.errors import Forbidden
from meshkit.facts import Need, Object, Snapshot


def read(cluster: Cluster, needs: Iterable[Need]) -> Snapshot:
    """Read the needed objects, each once. A kind that the cluster does not serve gives none.

    What this account may not read of an optional need is named in ``unread``; any other need raises
    ``Forbidden``.
    """
    parts = at_once(partial(_listed, cluster), dict.fromkeys(needs))
    objects = {
        (obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]): obj
        for found, _ in parts
        for obj in found
    }
    return Snapshot(tuple(objects.values()), tuple(dict.fromkeys(lost for _, lost in parts if lost)))


def _listed(cluster: Cluster, need: Need) -> tuple[list[Object], str]:
    """The objects of a need, and what of it may not be read."""
    try:
        return list(cluster.api.list(need.kind, need.namespace)), ""
    except Forbidden:
        if not need.optional:
            raise
    found: list[Object] = []
    read_in: list[str] = []
    for namespace in need.within:
        try:
            found += cluster.api.list(need.kind, namespace)
            read_in.append(namespace)
        except Forbidden:
            continue
    where = f" in {need.namespace}" if need.namespace else ""
    return (
        found,
        f"{need.kind.kind} outside {' and '.join(read_in)}" if read_in else f"{need.kind.kind}{where}",
    )
