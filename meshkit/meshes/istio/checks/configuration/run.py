"""All checks of Istio's configuration, on one reading of the objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from meshkit.facts import Finding, Kind
from meshkit.meshes.istio.checks.configuration import (
    destination_rules,
    destinations,
    envoy_filters,
    gateways,
    matches,
    selectors,
    services,
    sidecar_hosts,
    tcp_ports,
    two_apis,
    virtual_services,
)
from meshkit.meshes.istio.checks.configuration import world as reading
from meshkit.meshes.istio.checks.configuration.security import identities, mutual_tls, policies, rules
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.view import NEEDED, View

_READ_AT_HOME = Kind("v1", "ConfigMap")
KINDS = tuple(kind for kind in reading.KINDS.values() if kind not in (*NEEDED, _READ_AT_HOME))
"""What these checks read of the whole cluster."""
_PARTS: tuple[Callable[[World], Iterator[Finding]], ...] = (
    virtual_services.check,
    two_apis.check,
    destinations.check,
    destination_rules.check,
    mutual_tls.check,
    matches.check,
    gateways.check,
    policies.check,
    rules.check,
    identities.check,
    selectors.check,
    sidecar_hosts.check,
    envoy_filters.check,
    services.check,
    tcp_ports.check,
)


def check(view: View) -> Iterator[Finding]:
    """Find what is wrong with the objects of Istio, by what they mean."""
    world = World(view)
    for part in _PARTS:
        yield from part(world)
