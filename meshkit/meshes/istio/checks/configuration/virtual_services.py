"""Checks for competing VirtualServices of one host, and for hosts that nobody registers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshkit import codes
from meshkit.facts import Finding, Object, Severity
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.perspective import Perspective
from meshkit.meshes.istio.meaning.virtual_services import of_the_mesh
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.model.registry import age_of

_KINDS = ("http", "tcp", "tls")


def check(world: World) -> Iterator[Finding]:
    """Find VirtualServices without effect for a host, and hosts that do not exist."""
    for host, items in of_the_mesh(world.registry).items():
        if len(items) > 1:
            yield from _rivals(world, host)
    yield from _unknown_hosts(world)


def _rivals(world: World, host: str) -> Iterator[Finding]:
    """Find the VirtualServices of one host that others keep from all their callers, or from some."""
    effective: set[int] = set()
    kept: dict[int, tuple[Object, Object, list[str]]] = {}
    for perspective in world.perspectives(host):
        ruling: dict[str, Object] = {}
        for item in perspective.services.naming(host):
            mine = [kind for kind in _KINDS if _rules(perspective, host, item, kind)]
            if any(kind not in ruling for kind in mine):
                effective.add(id(item))
            elif mine:
                first = ruling[mine[0]]
                kept.setdefault(id(item), (item, first, []))[2].append(perspective.caller.namespace)
            ruling = {**dict.fromkeys(mine, item), **ruling}
    for number, (item, first, namespaces) in kept.items():
        yield _without_effect(host, item, first, list(dict.fromkeys(namespaces)), number in effective)


def _rules(perspective: Perspective, host: str, item: Object, kind: str) -> bool:
    """Whether a VirtualService has a route of this kind for a caller of the host."""
    if kind != "http" or not item["spec"].get("http"):
        return bool(item["spec"].get(kind))
    known = perspective.hosts.get(host)
    ports = [port.number for port in known.ports] if known else [80]
    return any(perspective.routing.applies(item, port) for port in ports)


def _without_effect(host: str, item: Object, first: Object, namespaces: list[str], partly: bool) -> Finding:
    why = "is older" if age_of(first) < age_of(item) else "is exported to fewer namespaces"
    where = f" for callers in namespace {', '.join(namespaces)}" if partly else ""
    message = f"it has no effect for {host}{where}: {title(first)} {why}, and they do not merge."
    severity: Severity = "info" if partly else "warning"
    return codes.finding(codes.SHADOWED_VIRTUAL_SERVICE, title(item), message, severity=severity)


def _unknown_hosts(world: World) -> Iterator[Finding]:
    """Find hosts that no Service and no ServiceEntry registers for any caller."""
    known = _known(world)
    for host, items in of_the_mesh(world.registry).items():
        if host in known or any(covers(pattern, host) for pattern in known if pattern.startswith("*")):
            continue
        if host.startswith("*") and any(covers(host, name) for name in known):
            continue
        for item in items:
            message = f"no Service and no ServiceEntry has host {host}: sidecars follow it on port 80 only."
            yield codes.finding(codes.ROUTE_FOR_UNKNOWN_HOST, title(item), message)


def _known(world: World) -> Mapping[str, None]:
    return {name: None for each in world.perspectives() for name in each.hosts}
