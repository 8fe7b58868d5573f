"""Checks of the hosts that Sidecars import: what is not imported, their pods do not see."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.virtual_services import hosts_of
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.model.hosts import host_of


def check(world: World) -> Iterator[Finding]:
    """Find imports of hosts that the named namespace does not have."""
    sidecars = world.registry.of("sidecars")
    known = _known(world) if sidecars else {}
    for item in sidecars:
        for number, listener in enumerate((item.get("spec") or {}).get("egress") or ()):
            for place, written in enumerate(listener.get("hosts") or ()):
                if problem := _unknown(world, known, written, item["metadata"]["namespace"]):
                    message = f"spec.egress[{number}].hosts[{place}]: {problem}."
                    yield codes.finding(codes.SIDECAR_HOST_UNKNOWN, title(item), message)


def _unknown(world: World, known: dict[str, set[str]], written: str, own: str) -> str:
    """What is wrong with an import (``namespace/host``), as a clause; empty if nothing is."""
    namespace, _, host = written.partition("/")
    namespace = own if namespace == "." else namespace
    if namespace == "~":
        return ""
    if namespace != "*" and namespace not in world.namespaces:
        return f"there is no namespace {namespace}"
    places = known.values() if namespace == "*" else (known.get(namespace, set()),)
    if host == "*" or any(covers(host, name) or covers(name, host) for names in places for name in names):
        return ""
    where = "any namespace" if namespace == "*" else f"namespace {namespace}"
    return f"no Service, ServiceEntry or VirtualService of {where} has host {host}"


def _known(world: World) -> dict[str, set[str]]:
    """Namespace -> the hosts of its objects."""
    found: dict[str, set[str]] = {}
    for service in world.registry.of("services"):
        found.setdefault(service["metadata"]["namespace"], set()).add(host_of(service))
    for resource in ("serviceentries", "virtualservices"):
        for item in world.registry.of(resource):
            found.setdefault(item["metadata"]["namespace"], set()).update(hosts_of(item))
    return found
