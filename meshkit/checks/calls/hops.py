"""The calls that were observed, with the rules and the limits that the callers' proxies have for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.kube.pods import workload
from meshkit.meshes.effective import Effective
from meshkit.meshes.model.outbound import Cluster, Outbound, Route


@dataclass(frozen=True)
class Call:
    """The requests from one workload (``namespace/name``) to another that were observed.

    ``seconds_each`` is how long one takes on average; None if no answer was seen.
    """

    source: str
    destination: str
    requests_per_s: float
    seconds_each: float | None = None


@dataclass(frozen=True)
class Hop:
    """A call with the rules of its ``pods`` callers that can lead there, and the clusters of these."""

    call: Call
    pods: int
    rules: tuple[Route, ...]
    clusters: tuple[Cluster, ...]

    def __str__(self) -> str:
        return f"{self.call.source} -> {self.call.destination}"


def hops_of(effective: Effective, calls: Iterable[Call]) -> tuple[Hop, ...]:
    """The calls of pods with a proxy to workloads that their proxies have rules for, busiest first."""
    places = {
        str((pod.get("status") or {}).get("podIP")): workload(pod)
        for pod in effective.registry.of("pods")
        if (pod.get("status") or {}).get("podIP")
    }
    callers: dict[str, dict[Any, int]] = {}
    for caller, pods in effective.callers.items():
        for pod in pods:
            found = callers.setdefault(workload(pod), {})
            found[caller] = found.get(caller, 0) + 1
    reached: dict[Any, Mapping[str, frozenset[str]]] = {}
    hops = []
    for call in sorted(calls, key=lambda each: -each.requests_per_s):
        own = callers.get(call.source)
        if not own:
            continue
        caller = next(iter(own))
        outbound = effective.outbound(caller)
        if caller not in reached:
            reached[caller] = _reached(outbound, places)
        hop = _hop(call, sum(own.values()), outbound, reached[caller])
        if hop.rules:
            hops.append(hop)
    return tuple(hops)


def _reached(outbound: Outbound, places: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """The workloads behind each cluster of a proxy."""
    return {
        cluster.name: frozenset(
            places[endpoint.address] for endpoint in cluster.endpoints if endpoint.address in places
        )
        for cluster in outbound.clusters
    }


def _hop(call: Call, pods: int, outbound: Outbound, reached: Mapping[str, frozenset[str]]) -> Hop:
    names = {name for name, workloads in reached.items() if call.destination in workloads}
    rules: dict[Route, None] = {}
    used: set[str] = set()
    for host in outbound.hosts:
        if not host.port or host.protocol != "http":
            continue
        for route in host.routes:
            there = {backend.cluster for backend in route.backends if backend.weight} & names
            if there:
                rules[route] = None
                used |= {name for name in there if name}
    clusters = tuple(cluster for cluster in outbound.clusters if cluster.name in used)
    return Hop(call, pods, tuple(rules), clusters)


def place_of(rules: Sequence[Route], otherwise: str) -> str:
    """The object of the first rule that stands in one, else the words for it."""
    return next((rule.ruler for rule in rules if rule.ruler), otherwise)
