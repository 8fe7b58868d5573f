"""Adds the names of single pods, such as ``kv-0.kv``, to what a sidecar can address.

A mesh sends a request for a pod of a headless Service to the address that the application resolved. The
sandbox's applications resolve nothing, so a proxy finds the pod by the requested name: each name becomes a
host with the routes and the policy of the Service, and a cluster with the one endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from meshkit.meshes.model.hosts import domains_of, host_of
from meshkit.meshes.model.outbound import (
    Cluster,
    Endpoint,
    Object,
    Outbound,
    Route,
    VirtualHost,
    cluster_name,
)
from meshkit.meshes.model.registry import Registry


def with_named_pods(outbound: Outbound, registry: Registry, namespace: str) -> Outbound:
    """Return the configuration of callers in ``namespace`` with the pods that headless Services name."""
    hosts = {(host.service, host.port): host for host in outbound.hosts}
    clusters = {cluster.name: cluster for cluster in outbound.clusters}
    taken = {domain for host in outbound.hosts for domain in host.domains}
    more_hosts: list[VirtualHost] = []
    more_clusters: list[Cluster] = []
    for service, port in _headless_ports(registry):
        full, number = host_of(service), int(port["port"])
        host, whole = hosts.get((full, number)), clusters.get(cluster_name(number, "", full))
        if host is None or whole is None:
            continue
        for name, endpoint in _named(registry, service, port, whole):
            target = {**service, "metadata": {**service["metadata"], "name": f"{name}.{_name(service)}"}}
            domains = tuple(each for each in domains_of(target, number, namespace) if each not in taken)
            cluster = replace(whole, name=cluster_name(number, f"pod={name}", full), endpoints=(endpoint,))
            routes = tuple(_to(route, full, cluster.name) for route in host.routes)
            if domains:
                taken.update(domains)
                more_clusters.append(cluster)
                more_hosts.append(replace(host, domains=domains, routes=routes))
    if not more_hosts:
        return outbound
    return replace(
        outbound, hosts=(*more_hosts, *outbound.hosts), clusters=(*outbound.clusters, *more_clusters)
    )


def _headless_ports(registry: Registry) -> Iterator[tuple[Object, Any]]:
    for service in registry.of("services"):
        if service["spec"].get("clusterIP") == "None":
            for port in service["spec"].get("ports") or ():
                yield service, port


def _named(registry: Registry, service: Object, port: Any, whole: Cluster) -> Iterator[tuple[str, Endpoint]]:
    """Yield the name below the Service's and the endpoint of each pod that has one."""
    at = {(endpoint.address, endpoint.port): endpoint for endpoint in whole.endpoints}
    for backing in registry.backings(service, port):
        spec = backing.pod["spec"] if backing.pod is not None else {}
        endpoint = at.get((backing.address, backing.port))
        if endpoint is not None and spec.get("hostname") and spec.get("subdomain") == _name(service):
            yield spec["hostname"], replace(endpoint, priority=0)


def _to(route: Route, host: str, cluster: str) -> Route:
    """Return the route with the shares of the Service sent to the pod; those of other Services stay."""
    backends = tuple(
        replace(backend, cluster=cluster) if (backend.cluster or "").endswith(f"|{host}") else backend
        for backend in route.backends
    )
    return replace(route, backends=backends)


def _name(service: Object) -> str:
    return str(service["metadata"]["name"])
