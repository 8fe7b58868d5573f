"""Checks of routes and policies of HTTP that reach a port which Istio reads as TCP."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.facts import Finding
from meshkit.meshes.istio.checks.configuration.problems import findings_of
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning import authorization
from meshkit.meshes.istio.meaning.virtual_services import of_the_mesh
from meshkit.meshes.model.outbound import Problem


def check(world: World) -> Iterator[Finding]:
    """Find http routes without effect on a TCP port, and policies that mean something else there."""
    yield from findings_of((*authorization.problems(world.registry), *_routes(world)))


def _routes(world: World) -> Iterator[Problem]:
    for host in of_the_mesh(world.registry):
        for perspective in world.perspectives(host):
            if host in perspective.hosts:
                yield from perspective.routing.on_tcp_ports_of(perspective.hosts[host])
