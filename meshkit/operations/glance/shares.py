"""The shares of a caller's requests that its routes give to each of several workloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshkit.kube.pods import is_live, workload
from meshkit.meshes.effective import Effective
from meshkit.meshes.model.outbound import Match, Outbound, Route, VirtualHost


@dataclass(frozen=True)
class Division:
    """The requests of ``source`` to one Service port, divided between workloads in percent."""

    source: str
    request: str
    shares: Mapping[str, float]


def divisions(effective: Effective) -> Iterator[Division]:
    """The Services whose general route divides a caller's requests between two or more workloads.

    A share is known only if each backend of the route leads to the pods of one workload.
    """
    by_address = {
        str((pod.get("status") or {}).get("podIP")): workload(pod)
        for pod in effective.registry.of("pods")
        if is_live(pod)
    }
    for caller, pods in effective.callers.items():
        outbound = effective.outbound(caller)
        found = [
            (_request(host), shares)
            for host in outbound.hosts
            if len(shares := _shares(host, outbound, by_address)) > 1
        ]
        for source in sorted({workload(pod) for pod in pods}):
            for request, shares in found:
                yield Division(source, request, shares)


def _shares(host: VirtualHost, outbound: Outbound, by_address: Mapping[str, str]) -> Mapping[str, float]:
    """Workload -> percent; empty if the route does not tell it for each workload."""
    route = _general(host)
    total = sum(each.weight for each in route.backends) if route else 0
    if route is None or len(route.backends) < 2 or not total:
        return {}
    clusters = {each.name: each for each in outbound.clusters}
    shares: dict[str, float] = {}
    for backend in route.backends:
        cluster = clusters.get(backend.cluster or "")
        behind = {by_address.get(each.address, "") for each in cluster.endpoints} if cluster else set()
        if len(behind) > 1 or "" in behind or (not behind and backend.weight):
            return {}
        for name in behind:
            shares[name] = shares.get(name, 0.0) + 100 * backend.weight / total
    return shares


def _general(host: VirtualHost) -> Route | None:
    """The route that takes every request that reaches it."""
    return next((each for each in host.routes if not each.matches or any(map(_any, each.matches))), None)


def _any(match: Match) -> bool:
    """Whether a match holds for every request: it has no condition, or only that of the path ``/``."""
    path = match.path
    every_path = path is None or (path.kind in ("prefix", "segments") and path.value in ("", "/"))
    return every_path and match.method is None and not match.headers and not match.query


def _request(host: VirtualHost) -> str:
    name, namespace = host.service.split(".")[:2]
    return f"{name}.{namespace}:{host.port}"
