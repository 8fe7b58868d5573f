"""Check for Services that have VirtualServices and Gateway API routes, of which only one kind holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.gateway_api.meaning.matches import KINDS
from meshkit.meshes.gateway_api.meaning.routes import attached, parents_of
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.gateway_routes import routes_of
from meshkit.meshes.istio.meaning.hosts import Host
from meshkit.meshes.istio.meaning.perspective import Perspective
from meshkit.meshes.istio.meaning.virtual_services import of_the_mesh
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN


def check(world: World) -> Iterator[Finding]:
    """Find the objects of one API that have no effect for some callers beside one of the other API."""
    parents = {
        f"{parent['name']}.{parent.get('namespace') or item['metadata']['namespace']}.svc.{CLUSTER_DOMAIN}"
        for resource in KINDS
        for item in world.registry.of(resource)
        for parent in parents_of(item)
    }
    for host in sorted(parents & of_the_mesh(world.registry).keys()):
        yield from _of_host(world, host)


def _of_host(world: World, name: str) -> Iterator[Finding]:
    void: dict[tuple[str, str], set[tuple[str, int]]] = {}
    everybody = set()
    for perspective in world.perspectives(name):
        host = perspective.hosts.get(name)
        if host is None:
            continue
        namespace = perspective.caller.namespace
        everybody.add(namespace)
        for port in host.ports:
            if port.read_as != "tcp":
                for ruler, other in _without_effect(perspective, host, port.number):
                    void.setdefault((ruler, other), set()).add((namespace, port.number))
    for (ruler, other), places in void.items():
        ports = ", ".join(map(str, sorted({port for _, port in places})))
        callers = sorted({namespace for namespace, _ in places})
        whose = "" if len(callers) == len(everybody) else f" for callers in namespace {', '.join(callers)}"
        message = f"it has no effect for {name}:{ports}{whose}: {ruler} rules it, and they do not merge."
        yield codes.finding(codes.ROUTED_BY_TWO_APIS, other, message)


def _without_effect(perspective: Perspective, host: Host, port: int) -> Iterator[tuple[str, str]]:
    """The object that rules a port, with each object of the other API that would rule it."""
    routing = perspective.routing
    virtual = perspective.services.of(host.name)
    here = list(_attached(perspective, host, port))
    if not virtual or not here:
        return
    ruling = {route.ruler for route in routes_of(routing, host, port)}
    if not ruling:
        yield from ((title(virtual[0]), title(item)) for item in here)
        return
    first = next(title(item) for item in here if title(item) in ruling)
    yield from ((first, title(item)) for item in virtual if routing.applies(item, port))


def _attached(perspective: Perspective, host: Host, port: int) -> Iterable[Object]:
    """The routes of Gateway API for a port that a caller can follow."""
    for resource in KINDS:
        for item in perspective.registry.of(resource):
            near = item["metadata"]["namespace"] in (perspective.caller.namespace, host.namespace)
            if near and attached(item, host.item, port):
                yield item
