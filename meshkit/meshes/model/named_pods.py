"""Adds the names of single pods, such as ``kv-0.kv``, to what a sidecar can address.

A mesh sends a request for a pod of a headless Service to the address that the application resolved. The
model has the requested name in its place: each name becomes a host with the routes and the policy of the
Service, and a cluster with the one endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from meshkit.meshes.model.hosts import domains_of, host_of
from meshkit.meshes.model.outbound import (
    Cluster,
    Object,
    Outbound,
    Route,
    VirtualHost,
    cluster_name,
)
from meshkit.meshes.model.registry import Backing, Registry

POD = "pod="
"""What stands before the name of a pod in the place of the subset in a cluster's name."""


class NamedPod(NamedTuple):
    """A ready pod that has a name below that of a headless Service, at one port of the Service."""

    service: Object
    port: Mapping[str, Any]
    backing: Backing
    name: str
    """Its name below the Service's: ``kv-0`` of ``kv-0.kv``."""

    @property
    def target(self) -> Object:
        """The Service as if the pod were all of it: its name and hosts are those of the pod."""
        meta = self.service["metadata"]
        return {**self.service, "metadata": {**meta, "name": f"{self.name}.{meta['name']}"}}


def named_pods(registry: Registry) -> Iterator[NamedPod]:
    """The ready pods that headless Services name."""
    for service in registry.of("services"):
        if service["spec"].get("clusterIP") != "None":
            continue
        for port in service["spec"].get("ports") or ():
            for backing in registry.backings(service, port):
                spec = backing.pod["spec"] if backing.pod is not None else {}
                if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
                    yield NamedPod(service, port, backing, str(spec["hostname"]))


def with_named_pods(outbound: Outbound, registry: Registry, namespace: str) -> Outbound:
    """Return the configuration of callers in ``namespace`` with the pods that headless Services name."""
    pods = list(named_pods(registry))
    if not pods:
        return outbound
    hosts = {(host.service, host.port): host for host in outbound.hosts}
    clusters = {cluster.name: cluster for cluster in outbound.clusters}
    named_by = {cluster_name(int(each.port["port"]), "", host_of(each.service)) for each in pods}
    endpoints = {
        (name, each.address, each.port): each
        for name in named_by & clusters.keys()
        for each in clusters[name].endpoints
    }
    taken = {domain for host in outbound.hosts for domain in host.domains}
    more_hosts: list[VirtualHost] = []
    more_clusters: list[Cluster] = []
    for named in pods:
        full, number = host_of(named.service), int(named.port["port"])
        whole = cluster_name(number, "", full)
        host = hosts.get((full, number))
        endpoint = endpoints.get((whole, named.backing.address, named.backing.port))
        if host is None or endpoint is None:
            continue
        domains = tuple(each for each in domains_of(named.target, number, namespace) if each not in taken)
        name = cluster_name(number, f"{POD}{named.name}", full)
        if domains:
            taken.update(domains)
            more_clusters.append(
                replace(clusters[whole], name=name, endpoints=(replace(endpoint, priority=0),))
            )
            more_hosts.append(
                replace(host, domains=domains, routes=tuple(_to(route, full, name) for route in host.routes))
            )
    return replace(
        outbound, hosts=(*more_hosts, *outbound.hosts), clusters=(*outbound.clusters, *more_clusters)
    )


def _to(route: Route, host: str, cluster: str) -> Route:
    """Return the route with the shares of the Service sent to the pod; those of other Services stay."""
    backends = tuple(
        replace(backend, cluster=cluster) if (backend.cluster or "").endswith(f"|{host}") else backend
        for backend in route.backends
    )
    return replace(route, backends=backends)
