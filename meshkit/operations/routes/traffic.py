"""Hold routes against the traffic that sidecars count: what ``mk.check`` adds with ``traffic_s``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from meshkit import codes
from meshkit.checks.calls import along
from meshkit.checks.calls.hops import Call, hops_of
from meshkit.checks.calls.standing import needs_traffic
from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput
from meshkit.facts import ArmCounts, Finding
from meshkit.kube.metadata import group_of
from meshkit.meshes import registry
from meshkit.meshes.view import View
from meshkit.observe.graph import Edge, ServiceGraph, service_graph
from meshkit.operations.explain import explainer_of

_PLACE = "Traffic"
_SHORTEST_S, _LONGEST_S = 1, 600
_UNSEEN = "whether retries multiply, limits are too low or timeouts too long was not checked"


def require_window(traffic_s: float | None) -> None:
    """Raise ``BadInput`` for a window that is too short to see traffic, or longer than anybody waits."""
    if traffic_s is not None and not _SHORTEST_S <= traffic_s <= _LONGEST_S:
        problem = f"{traffic_s:g} is not a number of seconds from {_SHORTEST_S} to {_LONGEST_S}."
        raise BadInput("traffic_s", problem, remedy="Use 10, or 60 where requests are rare.")


def findings_of_traffic(cluster: Cluster, view: View, window_s: float) -> tuple[Finding, ...]:
    """Read the traffic for ``window_s`` seconds and find what routes do to it."""
    explainer, not_read = explainer_of(cluster, registry.mesh(view.mesh))
    graph = service_graph(cluster, window_s=window_s)
    hops = hops_of(explainer.effective, calls_of(graph))
    return (*along.check(hops), *_not_seen(graph, not_read))


def not_read(view: View) -> Iterator[Finding]:
    """Say that traffic was not read, where routes have something to hold against it."""
    kinds = {(kind.group, kind.kind) for kind in registry.mesh(view.mesh).meaning.KINDS.values()}
    own = (item for item in view.snapshot.objects if (group_of(item), item["kind"]) in kinds)
    if any(map(needs_traffic, own)):
        yield codes.finding(codes.TRAFFIC_NOT_SEEN, _PLACE, f"it was not read: {_UNSEEN}.")


def calls_of(graph: ServiceGraph) -> tuple[Call, ...]:
    """The calls between workloads with a sidecar, whatever their protocol and security."""
    joined: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        if edge.source and edge.counts.requests:
            joined[edge.source, edge.destination].append(edge)
    return tuple(_call(*ends, edges, graph.seconds) for ends, edges in joined.items())


def mean_s(counts: Iterable[ArmCounts]) -> float | None:
    """The average time of an answer, from the middles of the histogram's buckets; None without answers."""
    total_ms, answers = 0.0, 0
    for each in counts:
        low_ms, seen = 0.0, 0
        for edge_ms, count in each.latency_ms:
            middle_ms = low_ms if math.isinf(edge_ms) else (low_ms + edge_ms) / 2
            total_ms += middle_ms * (count - seen)
            low_ms, seen = (low_ms if math.isinf(edge_ms) else edge_ms), count
        answers += seen
    return total_ms / answers / 1000 if answers else None


def _call(source: str, destination: str, edges: Iterable[Edge], seconds: float) -> Call:
    counts = [edge.counts for edge in edges]
    rate = sum(each.requests for each in counts) / seconds if seconds else 0.0
    return Call(source, destination, rate, mean_s(counts))


def _not_seen(graph: ServiceGraph, not_read: tuple[str, ...]) -> Iterator[Finding]:
    """What of the traffic could not be seen."""
    if graph.unread:
        message = f"{graph.unread} sidecars did not answer: what they call was not checked."
        remedy = "Let the account get pods/proxy in their namespaces, and run the check again."
        yield codes.finding(codes.TRAFFIC_NOT_SEEN, _PLACE, message, remedy)
    if not_read:
        message = f"this account may not read {', '.join(not_read)}: their routes were not checked."
        remedy = "Ask for the right, and run the check again."
        yield codes.finding(codes.TRAFFIC_NOT_SEEN, _PLACE, message, remedy)
    if not any(edge.source for edge in graph.edges):
        message = f"no request between sidecars was seen in {graph.seconds:.0f} s: {_UNSEEN}."
        remedy = "Run the check while there is traffic, or for longer."
        yield codes.finding(codes.TRAFFIC_NOT_SEEN, _PLACE, message, remedy)
