"""Translate Services, Gateway API routes and annotations to the proxy model, as Linkerd does.

Follows Linkerd's policy controller: a route hangs on a Service (producer routes in the Service's namespace
hold for all callers, consumer routes for their own namespace), and versions are Services of their own. What
is the same for all callers is computed once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from meshkit.facts import Kind
from meshkit.meshes.gateway_api.meaning import matches as gateway_api
from meshkit.meshes.gateway_api.meaning import references
from meshkit.meshes.gateway_api.meaning.routes import parents_of
from meshkit.meshes.linkerd.meaning import authorization as linkerd_authorization
from meshkit.meshes.linkerd.meaning import egress, policy_problems, protocols, reliability, services
from meshkit.meshes.linkerd.meaning.authorization import inbound
from meshkit.meshes.linkerd.meaning.port_routes import ANNOTATION_UNREADABLE, EVERYONE, routes_of
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.linkerd.meaning.route_status import statuses
from meshkit.meshes.linkerd.meaning.taken import TakenRoute, taken_routes
from meshkit.meshes.model.hosts import domains_of, host_of
from meshkit.meshes.model.outbound import (
    Cluster,
    Endpoint,
    Object,
    Outbound,
    Outlier,
    Problem,
    VirtualHost,
    cluster_name,
    once,
)
from meshkit.meshes.model.pods import captured_of, service_account
from meshkit.meshes.model.registry import Backing, Registry
from meshkit.meshes.model.translation import Translation

__all__ = ["KINDS", "PROXY", "caller_of", "inbound", "outbound", "route_problems", "statuses"]
KINDS: Mapping[str, Kind] = {
    "pods": Kind("v1", "Pod"),
    "services": Kind("v1", "Service"),
    "endpointslices": Kind("discovery.k8s.io/v1", "EndpointSlice"),
    **gateway_api.KINDS,
    **linkerd_authorization.KINDS,
    **services.PROFILES,
    **egress.KINDS,
}
_LOST = "fail with 500"
_PORT_LOST = "go to the port of that number of its pods"
_Attached = Mapping[tuple[str, str], Sequence[TakenRoute]]
"""The routes on a Service, by its namespace and name, the oldest first."""


class _Told(NamedTuple):
    """The host of a Service port for some callers, and the problems that came up."""

    host: VirtualHost
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Shared:
    """What is the same for every caller, computed once for a registry."""

    names: frozenset[str]
    """The names of all clusters."""
    attached: _Attached
    hosts: Mapping[tuple[str, str], tuple[_Told, ...]]
    """The hosts of each Service as callers of other namespaces have them."""
    problems: tuple[Problem, ...]


def caller_of(registry: Registry, pod: Object) -> str:
    """The caller for a pod, which is its namespace in Linkerd."""
    del registry
    return str(pod["metadata"]["namespace"])


def outbound(registry: Registry, namespace: str) -> Outbound:
    """The outbound configuration of the sidecars of one namespace."""
    shared = _shared_by_all(registry)
    own = {_key(service) for service in registry.of("services", namespace)}
    own |= _apart(registry, shared, namespace)
    told: list[_Told] = []
    for service in registry.of("services"):
        key = _key(service)
        if key in own:
            told += _hosts(Translation(registry, namespace), service, shared.attached, shared.names)
        else:
            told += shared.hosts[key]
    policies = policy_problems.problems(registry)
    beyond = egress.outside(registry, namespace)
    of_hosts = (problem for each in told for problem in each.problems)
    problems = (*policies, *shared.problems, *of_hosts, *beyond.problems)
    hosts = (*(each.host for each in told), *beyond.hosts)
    return Outbound(hosts, (*_clusters(registry), *beyond.clusters), once(problems))


def route_problems(registry: Registry) -> tuple[Problem, ...]:
    """What of the routes, and of the annotations of Services, has no effect, whoever calls."""
    return registry.derived("problems of routes", lambda: _route_problems(registry))


def _route_problems(registry: Registry) -> tuple[Problem, ...]:
    shared = _shared_by_all(registry)
    found = [
        *shared.problems,
        *(p for hosts in shared.hosts.values() for told in hosts for p in told.problems),
    ]
    namespaces = {taken.namespace for routes in shared.attached.values() for taken in routes}
    namespaces |= {item["metadata"]["namespace"] for item in registry.of("serviceprofiles.linkerd")}
    for namespace in sorted(namespaces):
        for home, name in sorted(_apart(registry, shared, namespace)):
            service = registry.find("services", home, name)
            if service and home != namespace:
                work = Translation(registry, namespace)
                hosts = _hosts(work, service, shared.attached, shared.names)
                found += (problem for told in hosts for problem in told.problems)
    return once(found)


def _shared_by_all(registry: Registry) -> _Shared:
    return registry.derived("linkerd", lambda: _shared(registry))


def _shared(registry: Registry) -> _Shared:
    work = Translation(registry, EVERYONE)
    work.problems += references.problems(registry, linkerd_authorization.ROUTES, _LOST, _PORT_LOST)
    names = frozenset(cluster.name for cluster in _clusters(registry))
    for service in registry.of("services"):
        work.problems += _breaker(registry, service)[1]
    attached_to: dict[tuple[str, str], list[TakenRoute]] = defaultdict(list)
    for taken in taken_routes(work):
        for parent in parents_of(taken.item):
            routes = attached_to[(parent.get("namespace") or taken.namespace, parent["name"])]
            if taken not in routes:
                routes.append(taken)
    hosts = {
        _key(service): tuple(_hosts(Translation(registry, EVERYONE), service, attached_to, names))
        for service in registry.of("services")
    }
    return _Shared(names, attached_to, hosts, tuple(work.problems))


def _key(service: Object) -> tuple[str, str]:
    return (service["metadata"]["namespace"], service["metadata"]["name"])


def _apart(registry: Registry, shared: _Shared, namespace: str) -> set[tuple[str, str]]:
    """The Services for which callers of a namespace follow routes or ServiceProfiles of their own."""
    found = {key for key, routes in shared.attached.items() if any(r.namespace == namespace for r in routes)}
    for profile in registry.of("serviceprofiles.linkerd", namespace):
        name, _, rest = profile["metadata"]["name"].partition(".")
        found.add((rest.partition(".")[0], name))
    return found


def _hosts(
    work: Translation, service: Object, attached_to: _Attached, clusters: Container[str]
) -> list[_Told]:
    """The hosts of all ports of a Service for the callers of ``work.namespace``."""
    found = []
    for port in service["spec"].get("ports") or ():
        here = Translation(work.registry, work.namespace)
        number = int(port["port"])
        routes = tuple(routes_of(here, service, port, attached_to.get(_key(service), ()), clusters))
        domains = domains_of(service, number, work.namespace)
        protocol = protocols.of_service(service, port)
        host = VirtualHost(host_of(service), number, domains, routes, protocol)
        found.append(_Told(host, tuple(here.problems)))
    return found


def _clusters(registry: Registry) -> tuple[Cluster, ...]:
    """The clusters of all Service ports, which are the same for every caller.

    A port that a route names and the Service does not have is the port of its pods.
    """

    def make() -> tuple[Cluster, ...]:
        of_ports = [
            _cluster(registry, service, int(port["port"]), registry.backings(service, port))
            for service in registry.of("services")
            for port in service["spec"].get("ports") or ()
        ]
        of_pods = [
            _cluster(registry, service, number, registry.backings_at(service, number))
            for service, number in services.unlisted_ports(registry)
        ]
        return (*of_ports, *of_pods)

    return registry.derived("clusters of linkerd", make)


def _cluster(registry: Registry, service: Object, number: int, backings: Iterable[Backing]) -> Cluster:
    namespace = service["metadata"]["namespace"]
    accounts = sorted({service_account(pod) for pod in registry.pods_of(service)})
    return Cluster(
        name=cluster_name(number, "", host_of(service)),
        endpoints=tuple(
            Endpoint(b.address, b.port, b.pod is not None and bool(captured_of(b.pod, PROXY, {b.port})))
            for b in backings
        ),
        identities=tuple(PROXY.identity(namespace, account) for account in accounts),
        outlier=_breaker(registry, service)[0],
    )


def _breaker(registry: Registry, service: Object) -> tuple[Outlier | None, tuple[Problem, ...]]:
    """Linkerd's failure accrual by consecutive failures. A value that will not parse means none, as there."""
    notes = service["metadata"].get("annotations") or {}
    if reliability.ACCRUAL not in notes:
        return None, ()
    if services.profile_of(registry, service, service["metadata"]["namespace"]):
        return None, ()
    try:
        found = reliability.failure_accrual(notes)
    except ValueError as problem:
        message = f"annotation {problem}; the Service has no circuit breaker."
        return None, (Problem(service, ANNOTATION_UNREADABLE, message),)
    if found is None:
        message = f"annotation {reliability.ACCRUAL}: the sandbox carries out 'consecutive' only."
        return None, (Problem(service, "NotSupported", message),)
    return found, ()
