"""Render a cluster for a terminal of 80 columns: nodes, control planes, workloads and the service graph.

The functions are pure: they turn objects and a ServiceGraph into text. Colours are ANSI codes and optional;
without them the arrows distinguish encrypted (``==>``), plaintext (``-->``) and refused (``--x``) calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from meshkit.facts import Object
from meshkit.kube.kinds import ZONE
from meshkit.kube.pods import is_ready, workload
from meshkit.meshes.registry import MESHES
from meshkit.observe.graph import Edge, ServiceGraph
from meshkit.observe.unmeshed_workloads import control_plane_of, unmeshed_workloads, without_sidecar

_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_HEALTHY_PERCENT = 99.0
"""A success rate below this is red."""


def cluster_text(
    nodes: Sequence[Object],
    pods: Sequence[Object],
    namespaces: Sequence[Object] = (),
    *,
    color: bool = False,
) -> str:
    """The nodes, control planes and workloads, one line each."""
    sidecarless = without_sidecar(pods, namespaces)
    ended = ("Succeeded", "Failed")
    pods = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ended]
    zone_of = {name(node): (node["metadata"].get("labels") or {}).get(ZONE, "") for node in nodes}
    lines = [_paint("Nodes", _BOLD, color)]
    for node in sorted(nodes, key=lambda node: (zone_of[name(node)], name(node))):
        ready, here = is_ready(node), sum(pod["spec"].get("nodeName") == name(node) for pod in pods)
        state = _paint(f"{'Ready' if ready else 'NotReady':<9}", _GREEN if ready else _RED, color)
        away = "  cordoned" if (node.get("spec") or {}).get("unschedulable") else ""
        lines.append(f"  {zone_of[name(node)]:<10}{name(node):<16}{state}{here:>3} pods{away}")
    planes = {key: group for key, group in workloads(pods).items() if _control_plane(group[0])}
    others = {key: group for key, group in workloads(pods).items() if key not in planes}
    lines += ["", _paint("Control plane", _BOLD, color)]
    if not planes:
        lines.append("  none: no mesh is installed. `meshkit setup apply control-plane --mesh istio`")
    for key, group in planes.items():
        lines.append(_workload_line(key, group, zone_of, _control_plane(group[0]), color))
    if others:
        lines += ["", _paint("Workloads", _BOLD, color)]
    for key, group in others.items():
        meshed = "sidecar" if all(map(has_sidecar, group)) else "no sidecar"
        meshed = "ambient" if all(id(pod) in sidecarless for pod in group) else meshed
        lines.append(_workload_line(key, group, zone_of, meshed, color))
    return "\n".join(lines)


def graph_text(
    graph: ServiceGraph,
    pods: Sequence[Object],
    namespaces: Sequence[Object] = (),
    *,
    color: bool = False,
) -> str:
    """The service graph: one line for each edge, grouped by caller, with rate, success and latency."""
    title = f"Service graph ({graph.seconds:.1f} s)"
    head = f"{title:<33}{'over':<14}{'rate':>9}{'ok':>8}{'p50':>8}{'p99':>8}"
    lines = [_paint(head, _BOLD, color)]
    callers = sorted(graph.edges, key=lambda edge: (edge.source == "", edge.source))
    for source, edges in groupby(callers, key=lambda edge: edge.source):
        lines.append(source or _paint("callers without a sidecar", _YELLOW, color))
        lines += [_edge_line(edge, graph.seconds, color) for edge in edges]
    if not graph.edges:
        lines.append("  no requests between sidecars were counted")
    if any(not edge.source for edge in graph.edges):
        among = ", ".join(unmeshed_workloads(pods, None, namespaces)) or "programs outside the cluster"
        lines.append(_paint(f"  They are among: {_cut(among, 60)}", _DIM, color))
    if graph.unread:
        lines.append(_paint(f"  {graph.unread} sidecars did not answer.", _RED, color))
    return "\n".join(lines)


def workloads(pods: Iterable[Object]) -> dict[str, list[Object]]:
    """Pods by ``namespace/workload``."""
    grouped: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=workload):
        grouped.setdefault(workload(pod), []).append(pod)
    return grouped


def name(obj: Object) -> str:
    """The name of an object."""
    return str(obj["metadata"]["name"])


def has_sidecar(pod: Object) -> bool:
    """Whether a pod has the proxy of a mesh."""
    return any(row.injection.runs_sidecar(pod) for row in MESHES.values())


def _control_plane(pod: Object) -> str:
    """The title of the mesh whose control plane the pod belongs to; empty if there is none."""
    mesh = control_plane_of(pod)
    return MESHES[mesh].title if mesh else ""


def _workload_line(
    key: str, group: Sequence[Object], zone_of: Mapping[str, str], what: str, color: bool
) -> str:
    ready = sum(map(is_ready, group))
    count = f"{ready}/{len(group)}"
    zones = sorted({zone_of.get(pod["spec"].get("nodeName", ""), "") for pod in group} - {""})
    painted = _paint(f"{count:<7}", _GREEN if ready == len(group) else _RED, color)
    return f"  {_cut(key, 34):<36}{painted}{what:<12}{' '.join(zones)}"


def _edge_line(edge: Edge, seconds: float, color: bool) -> str:
    counts, success = edge.counts, edge.success_percent
    if not counts.requests and edge.refused:
        refused = f"refused {edge.refused / seconds:.1f}/s: no mesh identity"
        return f"  {_paint('--x', _RED, color)} {_cut(edge.destination, 26):<27}{refused}"
    arrow = _paint("==>", _GREEN, color) if edge.security == "mTLS" else _paint("-->", _YELLOW, color)
    over = f"{edge.security} {edge.protocol}"
    ok = f"{'-' if success is None else f'{success:.1f} %':>8}"
    if success is not None and success < _HEALTHY_PERCENT:
        ok = _paint(ok, _RED, color)
    p50, p99 = (_latency(counts.quantile_ms(q)) for q in (0.5, 0.99))
    rate = f"{counts.requests / seconds:.1f}/s"
    return f"  {arrow} {_cut(edge.destination, 26):<27}{over:<14}{rate:>9}{ok}{p50:>8}{p99:>8}"


def _latency(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.0f} ms"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _paint(text: str, code: str, color: bool) -> str:
    return f"\033[{code}m{text}\033[0m" if color else text
