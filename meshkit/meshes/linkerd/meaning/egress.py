"""What EgressNetworks mean for requests to hosts outside, as Linkerd's proxies follow them.

A caller has the networks of its namespace or, if there are none, those of ``linkerd-egress``, and of these
the oldest. Its routes take requests by host and port; the rest passes or is answered with 403. Linkerd finds
the network by the address of a connection. The sandbox has no DNS, so a name has no address there: it reads
networks without ``networks`` only, which are those of every address outside, and what passes has nowhere to
go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from meshkit.facts import Kind
from meshkit.meshes.gateway_api.meaning import precedence
from meshkit.meshes.gateway_api.meaning.routes import route_of
from meshkit.meshes.linkerd.meaning import hostnames, reliability
from meshkit.meshes.linkerd.meaning.authorization import GROUP
from meshkit.meshes.linkerd.meaning.precedence import rank
from meshkit.meshes.linkerd.meaning.taken import TakenRoute, taken_routes
from meshkit.meshes.model.outbound import (
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
    cluster_name,
)
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation

KINDS: Mapping[str, Kind] = {"egressnetworks.policy": Kind(f"{GROUP}/v1alpha1", "EgressNetwork")}
EVERYWHERE = "linkerd-egress"
"""The namespace whose networks hold for callers of namespaces without networks of their own."""
_KIND = "EgressNetwork"
_ADDRESS = NamedMatch(":authority", StringMatch("regex", r"[0-9.]+(:[0-9]+)?"))
_NOWHERE = "meshkit sandbox: no request to a host outside leaves 127.0.0.0/8 here.\n"
_MANY_ADDRESSES = (
    "spec.networks: a name has no address in the sandbox, which reads no EgressNetwork for some addresses."
)
_EVERY_HOST = "spec.hostnames is empty: the sandbox follows routes on an EgressNetwork by their hosts only."


class Outside(NamedTuple):
    """The hosts outside of one namespace's callers, their clusters, and what is not carried out."""

    hosts: tuple[VirtualHost, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    problems: tuple[Problem, ...] = ()


def outside(registry: Registry, namespace: str) -> Outside:
    """The hosts that routes name, and every other host, for the callers of a namespace."""
    networks = registry.of("egressnetworks.policy", namespace)
    networks = networks or registry.of("egressnetworks.policy", EVERYWHERE)
    work = Translation(registry, namespace)
    for each in networks:
        if each["spec"].get("networks"):
            work.ignore(each, _MANY_ADDRESSES)
    network = next((each for each in networks if not each["spec"].get("networks")), None)
    if network is None:
        return Outside(problems=tuple(work.problems))
    named = _named(work, network)
    hosts = [_host(work, network, host, port, routes) for (host, port), routes in sorted(named.items())]
    clusters = [_cluster(host, port) for host, port in sorted(named)]
    return Outside((*hosts, _any_other(network)), tuple(clusters), tuple(work.problems))


def parents_in(item: Object) -> list[Mapping[str, Any]]:
    """The EgressNetworks that a route is attached to."""
    parents = item["spec"].get("parentRefs") or ()
    return [ref for ref in parents if (ref.get("group"), ref.get("kind")) == (GROUP, _KIND)]


def _named(work: Translation, network: Object) -> dict[tuple[str, int], list[TakenRoute]]:
    """The routes of each host and port that routes of the network name."""
    listed = []
    for taken in taken_routes(work, parents_in):
        ports = {int(ref.get("port") or 0) for ref in parents_in(taken.item) if _is(ref, taken, network)}
        if ports and taken.namespace in (network["metadata"]["namespace"], work.namespace):
            listed.append((taken, ports, _names(taken)))
            if not _names(taken):
                work.ignore(taken.item, _EVERY_HOST)
    places = {(name, port) for _, ports, names in listed for port in ports for name in names}
    return {
        (host, port): [
            taken
            for taken, ports, names in listed
            if port in ports and any(_covers(name, host) for name in names)
        ]
        for host, port in places
    }


def _names(taken: TakenRoute) -> list[str]:
    return [str(name).lower() for name in taken.item["spec"].get("hostnames") or ()]


def _is(reference: Mapping[str, Any], taken: TakenRoute, network: Object) -> bool:
    meta = network["metadata"]
    namespace = reference.get("namespace") or taken.namespace
    return (namespace, reference["name"]) == (meta["namespace"], meta["name"])


def _covers(name: str, host: str) -> bool:
    return name == host or (name.startswith("*.") and host.endswith(name[1:]))


def _host(
    work: Translation, network: Object, host: str, port: int, items: Iterable[TakenRoute]
) -> VirtualHost:
    by_item = {id(taken.item): taken for taken in items}
    matches = precedence.ranked(((taken.item, taken.kind) for taken in by_item.values()), rank)

    def specificity(one: precedence.Ranked) -> hostnames.Rank:
        names = _names(by_item[id(one.item)])
        return min(hostnames.rank_of(name) for name in names if _covers(name, host))

    ordered = sorted(matches, key=specificity)
    routes = [_route(work, by_item[id(one.item)], one, host, port) for one in ordered]
    names = (host, f"{host}.")
    domains = (*(names if port == 80 else ()), *(f"{name}:{port}" for name in names))
    return VirtualHost(host, port, domains, (*routes, _rest(network, host, port)))


def _route(work: Translation, taken: TakenRoute, one: precedence.Ranked, host: str, port: int) -> Route:
    rule, notes = taken.rules[one.index], taken.item["metadata"].get("annotations") or {}
    itself = Backend(cluster_name(port, "", host), 1)
    found = route_of(work, one.item, one.index, {**rule, "backendRefs": ()}, one.match, ())
    if found.redirect:
        return found
    return replace(
        found,
        backends=(itself,),
        timeout_s=reliability.timeouts(notes).get("request") or _timeout_s(rule, taken.group),
        retry=reliability.retry(notes, taken.kind),
    )


def _timeout_s(rule: Mapping[str, Any], group: str) -> float | None:
    try:
        return reliability.request_timeout_s(rule, group)
    except ValueError:
        return None  # told when the route is taken


def _cluster(host: str, port: int) -> Cluster:
    return Cluster(cluster_name(port, "", host), (), tls="never", as_asked=True)


def _rest(network: Object, host: str, port: int) -> Route:
    """What becomes of requests to a host that none of its routes takes."""
    if _refuses(network):
        return _refusal(network)
    return Route("default", (Match(),), (Backend(cluster_name(port, "", host), 1),))


def _any_other(network: Object) -> VirtualHost:
    """Every host that no route names. An address is one of the cluster here, which is not outside."""
    inside = Route("address", (Match(headers=(_ADDRESS,)),), direct=DirectResponse(404))
    rest = _refusal(network) if _refuses(network) else Route("default", (Match(),), direct=_passed())
    return VirtualHost(_KIND, 0, ("*",), (inside, rest))


def _passed() -> DirectResponse:
    return DirectResponse(503, _NOWHERE)


def _refuses(network: Object) -> bool:
    return bool(network["spec"].get("trafficPolicy") == "Deny")


def _refusal(network: Object) -> Route:
    owner = f"{network['metadata']['namespace']}/{network['metadata']['name']}"
    source = f"{_KIND} {owner}"
    return Route("refused", (Match(),), direct=DirectResponse(403), owner=owner, source=source)
