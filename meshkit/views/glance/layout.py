"""Where each workload of a glance stands: columns by call depth, ordered so that few calls cross.

The graph's algorithms are networkx's. The result depends on the graph alone, so a live view stands still
while the same workloads call each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

MOST_COLUMNS = 8
"""With longer chains of calls, a column is the shortest distance from a caller that nobody calls."""
_SWEEPS = 6


@dataclass(frozen=True)
class Layout:
    """The columns from left to right, each from top to bottom, and the workloads without any call.

    A column may also hold places that a long call passes, so that it crosses no box: ``passes`` has them for
    each such call, from its source to its end.
    """

    columns: tuple[tuple[str, ...], ...]
    silent: tuple[str, ...] = ()
    passes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def layout(
    names: Sequence[str], calls: Sequence[tuple[str, str]], most_rows: int, *, around: bool = True
) -> Layout:
    """Place the workloads. A column with more than ``most_rows`` is split into several.

    With ``around``, long calls are led around the boxes of the columns that they pass.
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted(names))
    graph.add_edges_from(sorted((source, end) for source, end in calls if source != end))
    silent = tuple(sorted(nx.isolates(graph)))
    graph.remove_nodes_from(silent)
    layers = _layers(graph)
    passes = _with_passes(graph, layers) if around else {}
    ordered = _ordered(graph, layers)
    split = [
        column[first : first + most_rows] for column in ordered for first in range(0, len(column), most_rows)
    ]
    return Layout(tuple(map(tuple, split)), silent, passes)


def _layers(graph: nx.DiGraph) -> list[list[str]]:
    """The columns, not yet ordered: by the longest chain of calls, or if that is long, by the shortest."""
    if not graph:
        return []
    distance = _distances(graph)
    longest = [sorted(each) for each in nx.topological_generations(_without_cycles(graph, distance))]
    if len(longest) <= MOST_COLUMNS:
        return _near_their_ends(graph, longest)
    nearest: list[list[str]] = [[] for _ in range(max(distance.values()) + 1)]
    for name, depth in distance.items():
        nearest[depth].append(name)
    return nearest


def _near_their_ends(graph: nx.DiGraph, layers: list[list[str]]) -> list[list[str]]:
    """Move callers that nobody calls to the column before the first workload that they call."""
    column_of = {name: number for number, layer in enumerate(layers) for name in layer}
    for name in layers[0]:
        later = [column_of[end] for end in graph.successors(name) if column_of[end] > 0]
        column_of[name] = min(later, default=1) - 1
    moved: list[list[str]] = [[] for _ in layers]
    for name in sorted(column_of):
        moved[column_of[name]].append(name)
    return [layer for layer in moved if layer]


def _with_passes(graph: nx.DiGraph, layers: list[list[str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Replace each call over several columns by a chain through places of its own in these columns."""
    column_of = {name: number for number, layer in enumerate(layers) for name in layer}
    passes: dict[tuple[str, str], tuple[str, ...]] = {}
    for source, end in sorted(graph.edges):
        between = range(column_of[source] + 1, column_of[end])
        if between:
            chain = tuple(f"{source} > {end} #{number}" for number in between)
            graph.remove_edge(source, end)
            nx.add_path(graph, (source, *chain, end))
            for number, name in zip(between, chain, strict=True):
                layers[number].append(name)
            passes[source, end] = chain
    return passes


def _distances(graph: nx.DiGraph) -> dict[str, int]:
    """The least number of calls that lead to each workload, from the callers that nobody calls.

    In a group of workloads that only call each other, the one that calls most is taken for the first.
    """
    found: dict[str, int] = {}
    starts = [name for name in graph if not graph.in_degree(name)]
    while len(found) < len(graph):
        left = [name for name in graph if name not in found]
        starts = starts or [min(left, key=lambda name: (-graph.out_degree(name), name))]
        for depth, layer in enumerate(nx.bfs_layers(graph.subgraph(left), starts)):
            found |= dict.fromkeys(sorted(layer), depth)
        starts = []
    return found


def _without_cycles(graph: nx.DiGraph, distance: Mapping[str, int]) -> nx.DiGraph:
    """The graph without the calls back, within groups of workloads that call each other in circles."""
    place = {name: number for number, name in enumerate(distance)}
    group = {
        name: number
        for number, members in enumerate(nx.strongly_connected_components(graph))
        for name in members
    }
    back = [(a, b) for a, b in graph.edges if group[a] == group[b] and place[a] > place[b]]
    forward = graph.copy()
    forward.remove_edges_from(back)
    return forward


def _ordered(graph: nx.DiGraph, layers: list[list[str]]) -> list[list[str]]:
    """Order each column by the mean height of the neighbours in other columns, to and fro."""
    columns = [list(layer) for layer in layers]
    column_of = {name: number for number, column in enumerate(columns) for name in column}
    for sweep in range(_SWEEPS):
        heights = {name: _height(i, column) for column in columns for i, name in enumerate(column)}
        forward = sweep % 2 == 0
        for number in range(len(columns)) if forward else reversed(range(len(columns))):
            near = {
                name: [
                    heights[other]
                    for other in (graph.predecessors(name) if forward else graph.successors(name))
                    if column_of[other] != number
                ]
                for name in columns[number]
            }
            columns[number].sort(key=lambda n, near=near: (_mean(near[n], heights[n]), n))  # type: ignore[misc]
            heights |= {name: _height(i, columns[number]) for i, name in enumerate(columns[number])}
    return columns


def _height(index: int, column: Sequence[str]) -> float:
    """The height of a place in a column whose middle is 0."""
    return index - (len(column) - 1) / 2


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
