"""Handling of requests for hosts that are not registered.

Istio lets them pass (ALLOW_ANY, its PassthroughCluster) or answers 502 (REGISTRY_ONLY), by the mesh config.
The sandbox's applications send requests to their proxy by name, and no request leaves loopback: an address on
127.0.0.0/8 is called as it stands, in plaintext; for any other name there is no DNS to ask, and the answer
says so. A VirtualService may name hosts that are not registered: those hold on port 80, as in Istio.
"""

from __future__ import annotations

from meshkit.meshes.istio.meaning.routes import Routing
from meshkit.meshes.model.outbound import (
    OUTBOUND_PORT,
    Backend,
    Cluster,
    DirectResponse,
    Match,
    NamedMatch,
    Object,
    Problem,
    Route,
    StringMatch,
    VirtualHost,
)

PASSTHROUGH, BLACK_HOLE = "PassthroughCluster", "BlackHoleCluster"
_ADDRESS = r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}:\d{1,5}"
_REFUSED = (
    "meshkit sandbox: no Service and no ServiceEntry has this name, and no request leaves 127.0.0.0/8 here.\n"
)


def elsewhere(routing: Routing) -> tuple[list[VirtualHost], list[Cluster]]:
    """The virtual hosts of names that are not registered, and the clusters that they need."""
    hosts = _named(routing)
    if routing.mesh.registry_only:
        refused = Route("block_all", (Match(),), direct=DirectResponse(502))
        return [*hosts, VirtualHost(BLACK_HOLE, 0, ("*",), (refused,))], []
    any_host = VirtualHost(PASSTHROUGH, 0, ("*",), (_loop(), _loopback(), _beyond()))
    return [*hosts, any_host], [Cluster(PASSTHROUGH, (), tls="never", as_asked=True)]


def _named(routing: Routing) -> list[VirtualHost]:
    found = []
    for host, items in sorted(routing.services.elsewhere(routing.hosts).items()):
        routes = routing.of_virtual_services(items, 80)
        if routes and host != "*":
            found.append(VirtualHost(host, 80, (host, f"{host}:80", f"{host}.", f"{host}.:80"), routes))
        routing.work.problems += [_unregistered(item, host) for item in items]
    return found


def _unregistered(item: Object, host: str) -> Problem:
    message = (
        f"spec.hosts: no Service or ServiceEntry has the name {host}: "
        f"the route applies to http://{host}/ on port 80 only."
    )
    return Problem(item, "UnknownHost", message)


def _loop() -> Route:
    """A route that rejects requests to the proxy's own address, which would loop."""
    match = Match(headers=(_authority(rf"127\.\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}}:{OUTBOUND_PORT}"),))
    return Route("block_loop", (match,), direct=DirectResponse(502))


def _loopback() -> Route:
    return Route("allow_any", (Match(headers=(_authority(_ADDRESS),)),), (Backend(PASSTHROUGH, 1),))


def _beyond() -> Route:
    return Route("allow_any", (Match(),), direct=DirectResponse(503, _REFUSED))


def _authority(pattern: str) -> NamedMatch:
    return NamedMatch(":authority", StringMatch("regex", pattern))
