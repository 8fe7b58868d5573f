"""Which requests change between two states of a cluster: by rule, for groups of callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from meshkit.facts import Object, Snapshot
from meshkit.kube.metadata import identity
from meshkit.meshes.explain.expected import addressed, endpoint_slices, service_of
from meshkit.meshes.explain.explainer import Explainer, Group
from meshkit.meshes.explain.probes import Probe, probes
from meshkit.meshes.explain.ways import Destination, Way
from meshkit.meshes.model import words
from meshkit.meshes.model.hosts import host_of
from meshkit.meshes.model.outbound import Cluster, Match, Outbound, Route, VirtualHost
from meshkit.meshes.model.registry import NEWEST
from meshkit.meshes.model.requests import Request

Place = tuple[str, int]
"""A host and a port."""

ANY_OTHER = "*"
UNREGISTERED = "hosts that are not registered"
AS_IT_IS = "leaves the mesh as it is"


@dataclass(frozen=True)
class Effect:
    """A change of what happens to some requests: parts that only the state before or after has."""

    callers: tuple[str, ...]
    place: str
    conditions: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        before, after = "; ".join(self.before) or "nothing", "; ".join(self.after) or "nothing"
        return f"{', '.join(self.callers)} -> {self.place}, {self.conditions}: {before} -> {after}"

    def as_record(self) -> dict[str, Any]:
        """The effect as a JSON-ready mapping."""
        return asdict(self)


def applied(snapshot: Snapshot, written: Iterable[Object], removed: Iterable[Object]) -> Snapshot:
    """The Snapshot with objects written and others removed, and with the endpoints of changed Services."""
    held = {identity(item): item for item in snapshot.objects}
    for item in removed:
        held.pop(identity(item), None)
    for item in written:
        if item["kind"] == "Service" and _selection(item) != _selection(held.get(identity(item))):
            _select_anew(held, item)
        meta = item["metadata"]
        if not meta.get("creationTimestamp"):
            item = {**item, "metadata": {**meta, "creationTimestamp": NEWEST}}
        held[identity(item)] = addressed(item, len(held))
    return Snapshot(tuple(held.values()))


def effects(
    before: Explainer, after: Explainer, *, by_pods: bool = False
) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """What changes for requests from one state to the other, and what may change them and is not known.

    Callers for which the same changes are joined. With ``by_pods``, a destination of another name with the
    same pods and settings is no change.
    """
    later = {group.name: group for group in after.groups}
    touched = _touched(before, after)
    found: dict[Effect, list[str]] = {}
    not_known: dict[str, None] = {}
    asked: dict[Any, list[tuple[str, tuple[Probe, ...]]]] = {}
    for group in before.groups:
        other = later.get(group.name)
        if other is None:
            continue
        pair = (group.caller, other.caller)
        if pair not in asked:
            asked[pair] = [
                (host, _probes(before, after, group, other, host, port))
                for host, port in _places(before, after, group, other, touched)
            ]
        for host, probes_there in asked[pair]:
            for effect in _of_place(before, after, group, other, probes_there, not_known, by_pods=by_pods):
                named = replace(effect, place=UNREGISTERED) if host == ANY_OTHER else effect
                found.setdefault(named, []).append(group.name)
    joined = (replace(effect, callers=tuple(sorted(set(names)))) for effect, names in found.items())
    return tuple(joined), tuple(not_known)


def _selection(service: Object | None) -> tuple[Any, Any]:
    spec = (service or {}).get("spec") or {}
    return spec.get("selector"), spec.get("ports")


def _select_anew(held: dict[tuple[str, str, str, str], Object], service: Object) -> None:
    """Replace the EndpointSlices of a Service whose selector or ports change."""
    meta = service["metadata"]
    if not (service.get("spec") or {}).get("selector"):
        return
    for key, item in list(held.items()):
        own = item["kind"] == "EndpointSlice" and item["metadata"].get("namespace") == meta["namespace"]
        if own and service_of(item) == meta["name"]:
            del held[key]
    pods = [item for item in held.values() if item["kind"] == "Pod"]
    for piece in endpoint_slices(service, pods):
        held[identity(piece)] = piece


def _of_place(
    before: Explainer,
    after: Explainer,
    group: Group,
    other: Group,
    probes_there: Iterable[Probe],
    not_known: dict[str, None],
    *,
    by_pods: bool,
) -> Iterator[Effect]:
    """The effects on one host, the general one without the special ones that equal it."""
    changes: dict[Probe, Effect | None] = {}
    for match, request in probes_there:
        old, new = before.way(group, request), after.way(other, request)
        not_known |= dict.fromkeys(text for way in (old, new) if way.registered for text in way.not_known)
        alike = (
            old.outcome == new.outcome
            or not (old.registered or new.registered)
            or (match != Match() and _fail_alike(old, new))
            or (by_pods and _served_alike(_served(before, group, old), _served(after, other, new)))
        )
        changes[match, request] = None if alike else _effect(match, old, new)
    general = next((effect for (match, _), effect in changes.items() if match == Match()), None)
    for (match, _), effect in changes.items():
        if effect is None or (match != Match() and general and _same(effect, general)):
            continue
        yield effect


def _probes(
    before: Explainer, after: Explainer, group: Group, other: Group, host: str, port: int
) -> tuple[Probe, ...]:
    """A request for each condition of both states, if possible one that meets no other of either."""
    if host == ANY_OTHER:
        return ((Match(), Request(host, port)),)
    old, new = before.asked(group, host, port), after.asked(other, host, port)
    found = (
        *probes(old, host, port, (each.match for each in new)),
        *probes(new, host, port, (each.match for each in old)),
    )
    return tuple(dict.fromkeys(found))


def _fail_alike(old: Way, new: Way) -> bool:
    """Whether no request of either way succeeds, and all get the same answers."""
    ways = (old, new)
    every = all(way.destinations and all(each.fails for each in way.destinations) for way in ways)
    return every and set(old.failures) == set(new.failures)


Served = tuple[Way, Counter[tuple[Destination, frozenset[tuple[str, int]]]]]
"""A way without its destinations, and these with their endpoints in place of their names."""


def _served(explainer: Explainer, group: Group, way: Way) -> Served | None:
    """The way by the pods that it leads to; None if these are not known."""
    if group.caller is None or not way.destinations:
        return None
    found: Counter[tuple[Destination, frozenset[tuple[str, int]]]] = Counter()
    for each in way.outcome.destinations:
        behind = explainer.endpoints(group, each)
        if not behind:
            return None
        found[replace(each, host="", port=0, subset=""), behind] += 1
    return replace(way.outcome, destinations=()), found


def _served_alike(old: Served | None, new: Served | None) -> bool:
    """Whether the same pods get the same shares in the same way, whatever the destinations are called."""
    return old is not None and old == new


def _same(one: Effect, other: Effect) -> bool:
    return (one.before, one.after) == (other.before, other.after)


def _effect(match: Match, old: Way, new: Way) -> Effect:
    before, after = _parts(old), _parts(new)
    return Effect(
        (),
        new.place,
        words.conditions(match),
        tuple(part for part in before if part not in after),
        tuple(part for part in after if part not in before),
    )


def _parts(way: Way) -> tuple[str, ...]:
    return way.parts if way.registered else (AS_IT_IS,)


def _places(
    before: Explainer, after: Explainer, group: Group, other: Group, touched: frozenset[str]
) -> Iterator[Place]:
    """The hosts and ports of which a caller's requests may change."""
    if group.caller is None:
        yield from _plain_places(before, after, touched)
        return
    old, new = before.effective.outbound(group.caller), after.effective.outbound(other.caller)
    changed = _changed_clusters(old, new, touched)
    hosts = [{(host.service, host.port): host for host in each.hosts} for each in (old, new)]
    for place in dict.fromkeys((*hosts[0], *hosts[1])):
        pair = [each.get(place) for each in hosts]
        if _is_routed_anew(*pair) and not place[1]:
            yield ANY_OTHER, 0
        elif place[1] and (_is_routed_anew(*pair) or (changed and _uses(pair, changed))):
            yield place


def _plain_places(before: Explainer, after: Explainer, touched: frozenset[str]) -> Iterator[Place]:
    """The Service ports of which requests without a proxy may change."""
    old, new = _backings(before), _backings(after)
    for place in dict.fromkeys((*old, *new)):
        if old.get(place) != new.get(place) or any(address in touched for address, _ in old.get(place, ())):
            yield place


def _backings(explainer: Explainer) -> Mapping[Place, tuple[tuple[str, int], ...]]:
    """The addresses behind each Service port."""
    registry = explainer.effective.registry
    return {
        (host_of(service), int(port["port"])): tuple(
            (each.address, each.port) for each in registry.backings(service, port)
        )
        for service in registry.of("services")
        for port in service["spec"].get("ports") or ()
    }


def _changed_clusters(old: Outbound, new: Outbound, touched: frozenset[str]) -> frozenset[str]:
    """The clusters that differ, or whose servers do."""
    pairs = [{cluster.name: cluster for cluster in each.clusters} for each in (old, new)]
    differing = {
        name
        for name in pairs[0].keys() | pairs[1].keys()
        if not _alike(pairs[0].get(name), pairs[1].get(name))
    }
    served = {
        cluster.name
        for each in (old, new)
        for cluster in (each.clusters if touched else ())
        if any(endpoint.address in touched for endpoint in cluster.endpoints)
    }
    return frozenset(differing | served)


def _alike(old: Cluster | None, new: Cluster | None) -> bool:
    """Whether two clusters are equal but for the object that they come from."""
    if old is None or new is None:
        return old is new
    return old == new or replace(old, source="") == replace(new, source="")


def _touched(before: Explainer, after: Explainer) -> frozenset[str]:
    """The addresses of pods whose proxies treat requests otherwise."""
    later = {identity(pod): pod for pod in after.effective.registry.of("pods")}
    registry, found = before.effective.registry, set()
    for service in registry.of("services"):
        for port in service["spec"].get("ports") or ():
            for backing in registry.backings(service, port):
                pod = backing.pod
                other = later.get(identity(pod)) if pod is not None else None
                if pod is None or other is None or backing.address in found:
                    continue
                if before.servers.inbound(pod, backing.port) != after.servers.inbound(other, backing.port):
                    found.add(backing.address)
    return frozenset(found)


def _is_routed_anew(old: VirtualHost | None, new: VirtualHost | None) -> bool:
    """Whether two hosts have different routes, but for the names of their objects."""
    if old is not None and new is not None and old.routes == new.routes:
        return False
    return _routes(old) != _routes(new)


def _routes(host: VirtualHost | None) -> tuple[Route, ...]:
    """The routes of a host without the names of their objects."""
    routes = host.routes if host else ()
    return tuple(replace(route, name="", owner="", source="") for route in routes)


def _uses(hosts: Iterable[VirtualHost | None], clusters: frozenset[str]) -> bool:
    return any(
        name in clusters
        for host in hosts
        for route in (host.routes if host else ())
        for name in (*(backend.cluster for backend in route.backends), *(m.cluster for m in route.mirrors))
    )
