"""Checks that the destinations of VirtualServices exist: hosts, ports, subsets, mirrors and delegates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from meshkit import codes
from meshkit.facts import Finding, Object, Severity
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.problems import findings_of
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.perspective import Perspective
from meshkit.meshes.istio.meaning.routes import Target, mirrored_percent, share_percent
from meshkit.meshes.istio.meaning.virtual_services import hosts_of
from meshkit.meshes.istio.meaning.visibility import exported
from meshkit.meshes.model.outbound import Problem

_MISSING = {
    "host": codes.DESTINATION_HOST_UNKNOWN,
    "port": codes.DESTINATION_PORT_UNKNOWN,
    "subset": codes.SUBSET_UNDEFINED,
}


class _Written(NamedTuple):
    """A destination as it stands in a VirtualService."""

    item: Object
    where: str
    destination: Any
    weighs: bool = True


def check(world: World) -> Iterator[Finding]:
    """Find destinations that some caller of a VirtualService cannot reach."""
    for item in world.registry.of("virtualservices"):
        if not item["spec"].get("hosts"):
            continue  # A delegate: its routes are checked where it is used.
        yield from dict.fromkeys(_of_service(world, item))


def _of_service(world: World, item: Object) -> Iterator[Finding]:
    own = item["metadata"]["namespace"]
    seen = [each for each in world.perspectives(*hosts_of(item), namespace=own) if _applies(each, item)]
    if not seen:
        return
    problems: list[Problem] = []
    for written in _written(seen[0], item, problems):
        yield from _destination(world, written, _callers(world, item, written, seen))
    yield from findings_of(problems)


def _applies(perspective: Perspective, item: Object) -> bool:
    default = perspective.mesh.exports.get("virtualservices", ())
    return exported(item, perspective.caller, default)


def _callers(world: World, item: Object, written: _Written, seen: list[Perspective]) -> list[Perspective]:
    """The callers for which the destination may be another than for those of the VirtualService's hosts."""
    own = written.item["metadata"]["namespace"]
    target = seen[0].routing.target(written.item, written.destination, 0)
    found = [
        each
        for each in world.perspectives(target.host, *hosts_of(item), namespace=own)
        if _applies(each, item)
    ]
    return found or seen


def _written(perspective: Perspective, item: Object, problems: list[Problem]) -> Iterator[_Written]:
    """Every destination of a VirtualService and of its delegates, mirrors included."""
    told = len(perspective.work.problems)
    routes = perspective.services.routes(item)
    problems += perspective.work.problems[told:]
    del perspective.work.problems[told:]
    for owner, where, entry in routes:
        listed = entry.get("route") or ()
        for index, each in enumerate(listed):
            weighs = bool(each.get("weight", len(listed) == 1))
            yield _Written(owner, f"{where}.route[{index}]", each["destination"], weighs)
        if entry.get("mirror"):
            yield _Written(owner, f"{where}.mirror", entry["mirror"], mirrored_percent(entry) > 0)
        for index, each in enumerate(entry.get("mirrors") or ()):
            weighs = share_percent(each.get("percentage"), 100.0) > 0
            yield _Written(owner, f"{where}.mirrors[{index}]", each["destination"], weighs)
    for kind in ("tcp", "tls"):
        for number, entry in enumerate(item["spec"].get(kind) or ()):
            listed = entry.get("route") or ()
            for index, each in enumerate(listed):
                weighs = bool(each.get("weight", len(listed) == 1))
                where = f"spec.{kind}[{number}].route[{index}]"
                yield _Written(item, where, each["destination"], weighs)


def _destination(world: World, written: _Written, callers: list[Perspective]) -> Iterator[Finding]:
    if not written.weighs:
        return
    missing: dict[str, list[str]] = {}
    target = Target("", 0)
    for perspective in callers:
        target = _target(perspective, written)
        missing.setdefault(perspective.routing.missing(target), []).append(perspective.caller.namespace)
    for part, namespaces in missing.items():
        if part:
            yield _lost(written, target, part, namespaces if missing.get("") else [])
    if "" in missing:
        yield from _reached(world, written, callers)


def _target(perspective: Perspective, written: _Written) -> Target:
    """Where a destination leads; without a port, any port of the host will do for the other questions."""
    found = perspective.routing.target(written.item, written.destination, 0)
    host = perspective.hosts.get(found.host)
    return replace(found, port=host.declared[0]) if host and host.declared and not found.port else found


def _lost(written: _Written, target: Target, part: str, namespaces: list[str]) -> Finding:
    where = f" for callers in namespace {', '.join(dict.fromkeys(namespaces))}" if namespaces else ""
    named = {
        "host": f"host {target.host} does not exist",
        "port": f"{target.host} has no port {target.port}",
        "subset": f"subset {target.subset} of {target.host} is not defined",
    }[part]
    message = f"{written.where}: {named}{where}: requests to it fail with 503."
    severity: Severity = "warning" if namespaces else "error"
    return codes.finding(_MISSING[part], title(written.item), message, severity=severity)


def _reached(world: World, written: _Written, callers: list[Perspective]) -> Iterator[Finding]:
    """Find a subset without pods, and a destination that has to name a port."""
    perspective = next(p for p in callers if not p.routing.missing(_target(p, written)))
    target = _target(perspective, written)
    host = perspective.hosts[target.host]
    if not written.destination.get("port") and len(host.declared) > 1:
        ports = ", ".join(map(str, host.declared))
        message = f"{written.where}: {target.host} has ports {ports}, and the destination names none."
        yield codes.finding(codes.DESTINATION_PORT_MISSING, title(written.item), message)
    if target.subset:
        subset = perspective.rules.of(host).subsets[target.subset]
        if world.servers(host, subset) == []:
            message = f"subset {target.subset} of {target.host} has no pod: requests to it fail with 503."
            yield codes.finding(codes.SUBSET_WITHOUT_PODS, title(written.item), message)
