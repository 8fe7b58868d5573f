"""Join the settings of Routes and DestinationPolicies in the one DestinationRule of a host.

A Route's settings are those of its port, a DestinationPolicy's those of a port or of the whole rule. In
Istio the settings of a port replace those of the rule, so a port that has any repeats what holds for every
port. An annotation lists the settings of DestinationPolicies; the others are a Route's. Both may not say
different things about one port: the second is refused, and the message names the field.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object
from meshkit.intent.base import kind
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.traffic import Route
from meshkit.meshes.istio.traffic.settings import FIELDS, asked, blocks, completed
from meshkit.meshes.routing import policy_fields
from meshkit.meshes.routing.policy_fields import PolicyField

DESTINATION_RULE = Kind("networking.istio.io/v1", "DestinationRule")
Json = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """The blocks of a trafficPolicy by who asks for them: DestinationPolicies, or the Routes of ports."""

    everywhere: Mapping[str, Any] = field(default_factory=dict)
    by_port: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """The blocks of DestinationPolicies for a port, which come before those for every port."""
    routes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, rule: Object | None) -> Settings:
        """The settings that stand in a DestinationRule that meshkit wrote."""
        policy = ((rule or {}).get("spec") or {}).get("trafficPolicy") or {}
        listed = policy_fields.written(rule) if rule else frozenset()
        top = asked(_blocks(policy))
        everywhere = {name: block for name, block in top.items() if PolicyField(0, FIELDS[name]) in listed}
        by_port, routes = {}, {}
        for entry in policy.get("portLevelSettings") or ():
            port, held = int(entry["port"]["number"]), asked(_blocks(entry))
            own = {name: block for name, block in held.items() if PolicyField(port, FIELDS[name]) in listed}
            by_port[port] = own
            routes[port] = {
                name: block
                for name, block in held.items()
                if name not in own and block != everywhere.get(name)
            }
        return cls(everywhere, _filled(by_port), _filled(routes))

    @property
    def of_policies(self) -> Settings:
        """The settings of DestinationPolicies alone."""
        return replace(self, routes={})

    def traffic_policy(self) -> Json:
        """The ``trafficPolicy`` of a DestinationRule with these settings; empty for none."""
        ports = [
            {"port": {"number": port}, **completed({**self.policy_at(port), **self.routes.get(port, {})})}
            for port in sorted({*self.by_port, *self.routes})
        ]
        return {**completed(dict(self.everywhere)), **({"portLevelSettings": ports} if ports else {})}

    def annotations(self) -> dict[str, str]:
        """The annotation that lists the settings of DestinationPolicies."""
        listed = [PolicyField(0, FIELDS[name]) for name in self.everywhere]
        listed += [PolicyField(port, FIELDS[name]) for port, own in self.by_port.items() for name in own]
        return policy_fields.note(listed)

    def policy_at(self, port: int) -> Json:
        """What DestinationPolicies ask for on a port."""
        return {**self.everywhere, **self.by_port.get(port, {})}

    def with_route(self, route: Route, others: Collection[int]) -> Settings:
        """The settings with those of a Route, and of the Routes of ``others``, the ports that keep theirs.

        Raises ``BadInput`` for a field that a DestinationPolicy sets otherwise.
        """
        wanted, policy = blocks(route), self.policy_at(route.port)
        for name, block in wanted.items():
            if policy.get(name, block) != block:
                raise _set_by_policy(route, FIELDS[name])
        kept = {port: own for port, own in self.routes.items() if port in others and port != route.port}
        own = {name: block for name, block in wanted.items() if name not in policy}
        return replace(self, routes=_filled({**kept, route.port: own}))

    def with_policy(self, policy: DestinationPolicy) -> Settings:
        """The settings with those of a DestinationPolicy, in place of what one for the same port asked for.

        Raises ``BadInput`` for a field that a Route sets otherwise.
        """
        wanted = blocks(policy)
        changed = (
            replace(self, everywhere=wanted)
            if policy.port is None
            else replace(self, by_port=_filled({**self.by_port, policy.port: wanted}))
        )
        routes = {}
        for port, own in self.routes.items():
            there = changed.policy_at(port)
            for name, block in own.items():
                if there.get(name, block) != block:
                    raise _set_by_route(policy, FIELDS[name], port)
            routes[port] = {name: block for name, block in own.items() if name not in there}
        return replace(changed, routes=_filled(routes))


def _blocks(policy: Mapping[str, Any]) -> Json:
    return {name: policy[name] for name in FIELDS if policy.get(name)}


def _filled(by_port: Mapping[int, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return {port: own for port, own in by_port.items() if own}


def _set_by_policy(route: Route, name: str) -> BadInput:
    problem = (
        f"a DestinationPolicy of {route.namespace}/{route.service} sets {name} otherwise, and proxies can"
        " follow one of them only."
    )
    remedy = f"Leave {name} out of the Route, or plan the DestinationPolicy without {name} first."
    return BadInput(f"{kind(Route)}.{name}", problem, remedy=remedy)


def _set_by_route(policy: DestinationPolicy, name: str, port: int) -> BadInput:
    problem = (
        f"the Route for port {port} of {policy.namespace}/{policy.host} sets {name} otherwise, and proxies"
        " can follow one of them only."
    )
    remedy = f"Leave {name} out of that Route and plan both together, or out of the DestinationPolicy."
    return BadInput(f"{kind(DestinationPolicy)}.{name}", problem, remedy=remedy)
