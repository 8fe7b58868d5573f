"""Where a share of a route's requests goes, by the clusters of the caller's proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from meshkit.meshes.explain.ways import Destination
from meshkit.meshes.model import words
from meshkit.meshes.model.named_pods import POD
from meshkit.meshes.model.outbound import Backend, Cluster


def destination_of(
    backend: Backend, total: int, clusters: Mapping[str, Cluster], no_endpoints: frozenset[str]
) -> Destination:
    """The destination of one backend, whose share is its weight of ``total``.

    ``no_endpoints`` are the hosts of which the endpoints are not known.
    """
    share = 100.0 * backend.weight / total
    if backend.cluster is None:
        return Destination(share, "an invalid backend", 0, answer="500: the route's backend is not valid")
    _, number, subset, host = [*backend.cluster.split("|"), "", "", ""][:4]
    if subset.startswith(POD):
        subset, host = "", f"{subset.removeprefix(POD)}.{host}"
    edits = words.edits_of(backend)
    there = Destination(share, host or backend.cluster, int(number or 0), subset, settings=edits)
    cluster = clusters.get(backend.cluster)
    if cluster is None:
        what = f"subset {subset} of {host}" if subset else f"{host}:{number}"
        return replace(there, answer=f"503: there is no {what}")
    there = replace(there, settings=(*words.settings(cluster), *edits), source=cluster.source)
    if cluster.endpoints:
        return replace(there, endpoints=len(cluster.endpoints))
    if cluster.as_asked or host in no_endpoints:
        return replace(there, endpoints=None)
    return replace(there, answer="503: no ready endpoint")
