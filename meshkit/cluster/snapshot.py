"""Read the objects that planners, checks and explanations need, all kinds in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from meshkit.cluster.connect import Cluster
from meshkit.cluster.transport.parallel import at_once
from meshkit.errors import Forbidden
from meshkit.facts import Kind, Need, Object, Snapshot


class _Listed(NamedTuple):
    """The objects of a need, what of it may not be read, and whether all that it asks for was read."""

    objects: list[Object]
    unread: str = ""
    whole: bool = True


def read(cluster: Cluster, needs: Iterable[Need]) -> Snapshot:
    """Read the needed objects, each once. A kind that the cluster does not serve gives none.

    However many needs ask for a kind of the whole cluster, it is listed once, and its namespaces only where
    that is refused. What this account may not read of an optional need is named in ``unread``; any other need
    raises ``Forbidden``.
    """
    wanted = tuple(dict.fromkeys(needs))
    wide = {need.kind: need for need in _merged(wanted)}
    within = [need for need in wanted if need.namespace is not None]
    first = [*wide.values(), *(need for need in within if need.kind not in wide)]
    parts = [*at_once(partial(_listed, cluster), first)]
    refused = {need.kind for need, part in zip(first, parts, strict=True) if not part.whole}
    more = [need for need in within if need.kind in wide and need.kind in refused]
    parts += at_once(partial(_listed, cluster), more)
    objects = {
        (obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]): obj
        for part in parts
        for obj in part.objects
    }
    return Snapshot(
        tuple(objects.values()), tuple(dict.fromkeys(part.unread for part in parts if part.unread))
    )


def _merged(needs: Sequence[Need]) -> Iterator[Need]:
    """One need for each kind of which the whole cluster is asked for, optional only if all of them are."""
    by_kind: dict[Kind, list[Need]] = {}
    for need in needs:
        if need.namespace is None:
            by_kind.setdefault(need.kind, []).append(need)
    for kind, same in by_kind.items():
        within = tuple(dict.fromkeys(name for need in same for name in need.within))
        yield Need(kind, within=within, optional=all(need.optional for need in same))


def _listed(cluster: Cluster, need: Need) -> _Listed:
    try:
        return _Listed(list(cluster.api.list(need.kind, need.namespace)))
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
    if read_in:
        where = f" outside {' and '.join(read_in)}"
    return _Listed(found, f"{need.kind.kind}{where}", whole=False)
