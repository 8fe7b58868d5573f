"""The rules that callers' proxies try for one port of a Service, in order, with where each sends requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from meshkit.meshes.explain.destinations import destination_of
from meshkit.meshes.explain.explainer import Explainer, Group
from meshkit.meshes.explain.notes import unresolved
from meshkit.meshes.explain.ways import Destination
from meshkit.meshes.model import words
from meshkit.meshes.model.outbound import Cluster, Route, VirtualHost
from meshkit.meshes.model.requests import Request

NO_CALLER = "callers with a proxy, of which there are none yet"


@dataclass(frozen=True)
class RuleOfPort:
    """One rule: requests that meet one of ``conditions`` go to ``destinations``, or get ``answer``.

    ``rule`` names the object and its rule, empty if no object says so; ``managers`` are the field managers
    of the object.
    """

    conditions: tuple[str, ...]
    destinations: tuple[Destination, ...]
    answer: str = ""
    actions: tuple[str, ...] = ()
    rule: str = ""
    ruler: str = ""
    managers: tuple[str, ...] = ()

    def lines(self, number: int) -> Iterator[str]:
        """The rule as lines of text."""
        first, *more = self.conditions
        yield f"{number:4}  {first}"
        yield from (f"      or {each}" for each in more)
        yield from (f"        {line}" for each in self.destinations for line in each.lines())
        if self.answer:
            yield f"        {self.answer}"
        yield from (f"        {each}" for each in self.actions)
        by = f", managed by {', '.join(self.managers)}" if self.managers else ""
        yield f"        rule: {self.rule or 'none, as no object routes it'}{by}"


@dataclass(frozen=True)
class PortRoutes:
    """The rules of a port, in order, for callers that share them.

    ``not_known`` tells what may change them and could not be judged, ``problems`` what has no effect.
    """

    callers: tuple[str, ...]
    host: str
    port: int
    protocol: str
    rules: tuple[RuleOfPort, ...]
    not_known: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """The rules as a JSON-ready mapping."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.host}:{self.port}, {self.protocol}, from {', '.join(self.callers)}"]
        for number, rule in enumerate(self.rules, start=1):
            lines += rule.lines(number)
        lines += [f"  not known: {text}" for text in self.not_known]
        lines += [f"  problem: {text}" for text in self.problems]
        return "\n".join(lines)


def port_routes(
    explainer: Explainer, groups: Iterable[Group], host: str = "", port: int | None = None
) -> tuple[PortRoutes, ...]:
    """The rules of the ports of a host, or of every host that has rules in objects, for each caller."""
    found: dict[PortRoutes, list[str]] = {}
    for group in groups:
        if group.caller is None:
            continue
        outbound = explainer.effective.outbound(group.caller)
        clusters = {cluster.name: cluster for cluster in outbound.clusters}
        no_endpoints = unresolved(outbound.problems)
        for each in outbound.hosts:
            wanted = each.service == host if host else any(route.source for route in each.routes)
            if each.port and wanted and port in (None, each.port):
                shown = _shown(explainer, group, each, clusters, no_endpoints)
                found.setdefault(shown, []).append(group.name)
    joined = [replace(shown, callers=tuple(dict.fromkeys(names))) for shown, names in found.items()]
    return tuple(sorted(joined, key=lambda each: (each.host, each.port)))


def _shown(
    explainer: Explainer,
    group: Group,
    host: VirtualHost,
    clusters: Mapping[str, Cluster],
    no_endpoints: frozenset[str],
) -> PortRoutes:
    way = explainer.way(group, Request(host.service, host.port))
    rules = tuple(_rule(route, clusters, no_endpoints) for route in host.routes)
    return PortRoutes((), host.service, host.port, host.protocol, rules, way.not_known, way.problems)


def _rule(route: Route, clusters: Mapping[str, Cluster], no_endpoints: frozenset[str]) -> RuleOfPort:
    total = sum(backend.weight for backend in route.backends) or 1
    answer = words.answer(route)
    sent = () if answer else route.backends
    return RuleOfPort(
        tuple(dict.fromkeys(map(words.conditions, route.matches))) or (words.EVERY_REQUEST,),
        tuple(destination_of(backend, total, clusters, no_endpoints) for backend in sent),
        answer,
        words.actions(route),
        route.source,
        route.ruler,
    )
