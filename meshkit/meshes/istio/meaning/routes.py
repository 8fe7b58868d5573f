"""Translate Istio's http and tcp routes of a host and port to a proxy's routes.

Follows istiod (pilot/pkg/networking/core/route): the first match wins and nothing behind one for every
request is kept; no timeout and two retries unless said otherwise; a weight of zero is left out; a
VirtualService without any route for a caller leaves the host to the next one, and at last to its own Service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meshkit.meshes.istio.meaning import actions
from meshkit.meshes.istio.meaning.destinations.clusters import Clusters
from meshkit.meshes.istio.meaning.destinations.traffic_policy import Policy, consistent_hash
from meshkit.meshes.istio.meaning.hosts import Host, concrete_host
from meshkit.meshes.istio.meaning.matches import CLAIMS, FIELDS, TCP_FIELDS, concerns, is_catch_all, match_of
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.virtual_services import VirtualServices
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.hosts import full_host
from meshkit.meshes.model.outbound import (
    Backend,
    HashKey,
    HeaderEdits,
    Match,
    Mirror,
    Object,
    Problem,
    Route,
    cluster_name,
)
from meshkit.meshes.model.translation import Translation

Json = Mapping[str, Any]
_FIELDS = {
    *("name", "match", "route", "redirect", "directResponse", "rewrite", "timeout", "retries", "fault"),
    *("mirror", "mirrorPercent", "mirror_percent", "mirrorPercentage", "mirrors", "corsPolicy", "headers"),
}


@dataclass(frozen=True)
class Target:
    """Where a destination sends requests. ``subset`` is empty for the whole host."""

    host: str
    port: int
    subset: str = ""

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return cluster_name(self.port, self.subset, self.host)

    def __str__(self) -> str:
        return f"subset {self.subset!r} of {self.host}" if self.subset else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Routing:
    """Builds the routes of one caller."""

    work: Translation
    caller: Caller
    mesh: MeshConfig
    hosts: Mapping[str, Host]
    clusters: Clusters
    policies: Mapping[str, Policy]
    services: VirtualServices

    def of_host(self, host: Host, port: int) -> tuple[Route, ...]:
        """The routes of a host that is registered."""
        for item in self.services.of(host.name):
            found = self._routes(item, port)
            if found:
                return found
        return (self._plain(host.name, port),)

    def of_tcp(self, host: Host, port: int) -> tuple[Route, ...]:
        """The one route of a TCP port: no rule for requests holds there."""
        for item in self.services.of(host.name):
            if found := self._of_connections(item, port):
                return (found,)
        return (Route("default", (Match(),), (Backend(cluster_name(port, "", host.name), 1),)),)

    def _of_connections(self, item: Object, port: int) -> Route | None:
        """The first tcp route that holds for this caller and port."""
        for index, entry in enumerate(item["spec"].get("tcp") or ()):
            where = f"spec.tcp[{index}]"
            if not entry.get("route") or not self._holds_for_connections(item, where, entry, port):
                continue
            owner = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
            source = f"VirtualService {owner} tcp[{index}]"
            backends = self._backends(item, where, entry["route"], port)
            return Route(f"tcp-{index}", (Match(),), backends, owner=owner, source=source)
        return None

    def _holds_for_connections(self, item: Object, where: str, entry: Json, port: int) -> bool:
        held = not entry.get("match")
        for place, each in enumerate(entry.get("match") or ()):
            if unknown := sorted(set(each) - TCP_FIELDS):
                message = f"{where}.match[{place}].{unknown[0]} is not supported by the sandbox"
                self.work.ignore(item, f"{message}: this match never applies.")
            else:
                held = held or concerns(each, self.caller, port)
        return held

    def on_tcp_ports(self) -> Iterable[Problem]:
        """Http routes of ports that Istio does not read as HTTP, and tcp routes of those that it does."""
        for host in self.hosts.values():
            yield from self.on_tcp_ports_of(host)
            yield from self._of_no_tcp_port(host)

    def on_tcp_ports_of(self, host: Host) -> Iterable[Problem]:
        """Http routes of one host's ports that Istio does not read as HTTP."""
        ports = [port.number for port in host.ports if port.read_as == "tcp"]
        for item in self.services.of(host.name)[:1] if ports else ():
            for owner, where, entry in self.services.routes(item):
                matches: Iterable[Json] = entry.get("match") or ({},)
                asked = {match.get("port") for match in matches}
                everywhere = None in asked and len(ports) == len(host.ports)
                for number in ports if everywhere else [port for port in ports if port in asked]:
                    message = f"{where}: port {number} of {host.name} is TCP for Istio, and http routes "
                    message += "have no effect there."
                    yield Problem(owner, "HttpRouteOnTcpPort", message)

    def _of_no_tcp_port(self, host: Host) -> Iterable[Problem]:
        """Tcp routes that name no port of a host whose connections are carried as a whole."""
        ports = {port.number for port in host.ports if port.read_as == "tcp"}
        for item in self.services.of(host.name)[:1]:
            for index, entry in enumerate(item["spec"].get("tcp") or ()):
                matches: Iterable[Json] = entry.get("match") or ({},)
                if not any(match.get("port") in ports if match.get("port") else ports for match in matches):
                    message = f"spec.tcp[{index}]: no port of {host.name} that it is for is declared as TCP; "
                    yield Problem(item, "NotSupported", message + "the sandbox reads requests there.")

    def of_virtual_services(self, items: Iterable[Object], port: int) -> tuple[Route, ...]:
        """The routes of a host that only VirtualServices name."""
        return next((found for item in items if (found := self._routes(item, port))), ())

    def applies(self, item: Object, port: int) -> bool:
        """Whether a VirtualService has a route for this caller and port."""
        return bool(self._routes(item, port))

    def _plain(self, host: str, port: int) -> Route:
        name = cluster_name(port, "", host)
        retry = actions.retry_of(self.mesh.retries, hashed=False)
        return Route(
            "default",
            (Match(),),
            (Backend(name, 1),),
            retry=retry,
            hash_keys=self.policies[name].hash_keys,
        )

    def _routes(self, item: Object, port: int) -> tuple[Route, ...]:
        routes: list[Route] = []
        for owner, where, entry in self.services.routes(item):
            matches = self._matches(owner, where, entry, port)
            if not matches:
                continue
            last = next((place for place, match in enumerate(matches) if is_catch_all(match)), None)
            kept = matches if last is None else matches[: last + 1]
            route = self._route(owner, where, entry, kept, port)
            if route is not None:
                routes.append(route)
            if last is not None:
                break
        return tuple(routes)

    def _matches(self, item: Object, where: str, entry: Json, port: int) -> tuple[Match, ...]:
        written = entry.get("match")
        if not written:
            return (Match(),)
        found = []
        for index, each in enumerate(written):
            unknown = sorted(set(each) - FIELDS)
            unknown += [f"headers[{name}]" for name in each.get("headers") or () if name.startswith(CLAIMS)]
            if unknown:
                place = f"{where}.match[{index}].{unknown[0]}"
                self.work.ignore(item, f"{place} is not supported by the sandbox: this match never applies.")
            elif concerns(each, self.caller, port):
                found.append(match_of(each))
        return tuple(found)

    def _route(
        self, item: Object, where: str, entry: Json, matches: tuple[Match, ...], port: int
    ) -> Route | None:
        self._tell_ignored(item, where, entry)
        meta = item["metadata"]
        headers = entry.get("headers") or {}
        name = str(entry.get("name") or f"{meta['name']}-{where.rpartition('[')[2].rstrip(']')}")
        common: dict[str, Any] = {
            "owner": f"{meta['namespace']}/{meta['name']}",
            "source": f"VirtualService {meta['namespace']}/{meta['name']} {where.removeprefix('spec.')}",
            "response_headers": actions.header_edits(headers.get("response"), request=False),
            "fault": actions.fault_of(entry.get("fault")),
            "cors": actions.cors_of(entry.get("corsPolicy")),
        }
        request = actions.header_edits(headers.get("request"))
        if entry.get("redirect"):
            redirect = actions.redirect_of(entry["redirect"], port)
            if redirect.status not in actions.REDIRECT_CODES:
                self.work.ignore(item, f"{where}.redirect.redirectCode: {redirect.status} is not known.")
                return None
            return Route(name, matches, redirect=redirect, request_headers=request, **common)
        if entry.get("directResponse"):
            direct = actions.direct_of(entry["directResponse"])
            return Route(name, matches, direct=direct, request_headers=request, **common)
        if not entry.get("route"):
            self.work.ignore(item, f"{where} has no route: the entry is ignored.")
            return None
        return self._forward(
            item, where, entry, Route(name, matches, request_headers=request, **common), port
        )

    def _forward(self, item: Object, where: str, entry: Json, route: Route, port: int) -> Route:
        backends = self._backends(item, where, entry["route"], port)
        policies = [self.policies[b.cluster] for b in backends if b.cluster and b.cluster in self.policies]
        hashed = len(entry["route"]) == 1 and any(consistent_hash(policy) for policy in policies)
        keys: list[HashKey] = [key for policy in policies for key in policy.hash_keys]
        request = route.request_headers
        authority = (entry.get("rewrite") or {}).get("authority") or request.authority
        if len(backends) == 1 and not authority:
            authority = backends[0].request_headers.authority
        retries = entry.get("retries", self.mesh.retries)
        return Route(
            route.name,
            route.matches,
            backends=backends,
            rewrite=actions.rewrite_of(entry.get("rewrite")),
            mirrors=tuple(self._mirrors(item, where, entry, port)),
            timeout_s=duration_s(entry.get("timeout")),
            retry=actions.retry_of(retries, hashed=hashed),
            request_headers=HeaderEdits(request.set, request.add, request.remove, authority),
            hash_keys=tuple(dict.fromkeys(keys)),
            response_headers=route.response_headers,
            fault=route.fault,
            cors=route.cors,
            owner=route.owner,
            source=route.source,
        )

    def _backends(self, item: Object, where: str, listed: list[Json], port: int) -> tuple[Backend, ...]:
        """The destinations that have a share. Where all weigh nothing Envoy refuses the route."""
        found = []
        for index, entry in enumerate(listed):
            weight = 1 if len(listed) == 1 else int(entry.get("weight") or 0)
            headers = entry.get("headers") or {}
            name = self._cluster(item, f"{where}.route[{index}]", entry["destination"], port)
            found.append(
                Backend(
                    name,
                    weight,
                    actions.header_edits(headers.get("request")),
                    actions.header_edits(headers.get("response"), request=False),
                )
            )
        weighty = [backend for backend in found if backend.weight]
        return tuple(weighty or found)

    def target(self, item: Object, target: Json, port: int) -> Target:
        """The host, port and subset that a destination of ``item`` means, for requests to ``port``."""
        written = full_host(str(target["host"]).lower(), item["metadata"]["namespace"])
        name = concrete_host(self.work.registry, written)
        host = self.hosts.get(name)
        number = int((target.get("port") or {}).get("number") or 0)
        if not number:
            number = host.ports[0].number if host and len(host.ports) == 1 else port
        return Target(name, number, target.get("subset") or "")

    def missing(self, target: Target) -> Literal["host", "port", "subset", ""]:
        """The part of a target that no object declares; empty if all of it is there."""
        host = self.hosts.get(target.host)
        if host is None:
            return "host"
        if target.port not in host.declared:
            return "port"
        return "" if target.subset in self.clusters.rule_of(host).subsets else "subset"

    def _cluster(self, item: Object, where: str, target: Json, port: int) -> str:
        """The cluster of a destination. One that is not there answers 503, and is told."""
        found = self.target(item, target, port)
        if found.cluster not in self.clusters:
            message = f"{where}: there is no {found}; its requests are answered with 503."
            self.work.problems.append(Problem(item, "UnknownDestination", message))
        return found.cluster

    def _mirrors(self, item: Object, where: str, entry: Json, port: int) -> Iterable[Mirror]:
        written = []
        if entry.get("mirror"):
            written.append((f"{where}.mirror", entry["mirror"], mirrored_percent(entry)))
        for index, each in enumerate(entry.get("mirrors") or ()):
            place = f"{where}.mirrors[{index}]"
            written.append((place, each["destination"], share_percent(each.get("percentage"), 100.0)))
        for place, target, percent in written:
            if percent > 0:
                yield Mirror(self._cluster(item, place, target, port), percent)

    def _tell_ignored(self, item: Object, where: str, entry: Json) -> None:
        for unknown in sorted(set(entry) - _FIELDS):
            self.work.ignore(item, f"{where}.{unknown} is not supported by the sandbox.")
        for unknown in actions.faults_ignored(entry.get("fault")):
            self.work.ignore(item, f"{where}.fault.{unknown} is not supported by the sandbox.")


def mirrored_percent(entry: Json) -> float:
    """The share of a route's requests that go to its ``mirror``."""
    old = entry.get("mirrorPercent", entry.get("mirror_percent"))
    return share_percent(entry.get("mirrorPercentage"), 100.0 if old is None else float(old))


def share_percent(written: Json | None, otherwise: float) -> float:
    """A written percentage."""
    return otherwise if written is None else float(written.get("value") or 0.0)
