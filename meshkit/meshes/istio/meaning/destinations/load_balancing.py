"""Translate Istio's loadBalancer: algorithm, hash keys and locality settings.

Localities follow istiod (pilot/pkg/networking/core/loadbalancer): ``distribute`` shares requests among
localities; ``failover`` needs outlierDetection, because without it no endpoint ever counts as failed; a
Service's ``trafficDistribution`` always prefers what is near.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from meshkit.meshes.istio.meaning.hosts import Workload, locality_named
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.visibility import Caller, policies_of
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.outbound import Balancing, HashKey, LoadBalancer, Locality
from meshkit.meshes.model.registry import Registry

Json = Mapping[str, Any]
Tell = Callable[[str], None]
HASHED = ("RING_HASH", "MAGLEV")
_SIMPLE: Mapping[str, LoadBalancer] = {
    "UNSPECIFIED": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
}
_NETWORK = "topology.istio.io/network"
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
_SUBZONE, _HOSTNAME = "topology.istio.io/subzone", "kubernetes.io/hostname"
_NEAR = {
    "PreferClose": (_NETWORK, _REGION, _ZONE),
    "PreferSameZone": (_NETWORK, _REGION, _ZONE),
    "PreferSameNode": (_NETWORK, _REGION, _ZONE, _SUBZONE, _HOSTNAME),
}


def balancing(written: Json, tell: Tell) -> Balancing:
    """The algorithm of a loadBalancer."""
    hashed = written.get("consistentHash")
    if written.get("zoneAwareLbSetting"):
        tell("loadBalancer.zoneAwareLbSetting")
    if hashed:
        if "maglev" in hashed:
            return Balancing("MAGLEV", table_size=int((hashed["maglev"] or {}).get("tableSize") or 0) or None)
        ring = hashed.get("ringHash") or {}
        size = int(ring.get("minimumRingSize") or hashed.get("minimumRingSize") or 0)
        return Balancing("RING_HASH", table_size=size or None)
    simple = written.get("simple") or "UNSPECIFIED"
    if simple not in _SIMPLE:
        tell(f"loadBalancer.simple: {simple}")
    warmup = written.get("warmup") or {}
    return Balancing(
        _SIMPLE.get(simple, "LEAST_REQUEST"),
        warmup_s=duration_s(warmup.get("duration") or written.get("warmupDurationSecs")),
        warmup_percent=float(warmup.get("minimumPercent", 10.0)),
        warmup_aggression=float(warmup.get("aggression", 1.0)),
    )


def hash_keys(written: Json) -> tuple[HashKey, ...]:
    """The keys of a consistent hash."""
    hashed = written.get("consistentHash") or {}
    if hashed.get("httpHeaderName"):
        return (HashKey("header", hashed["httpHeaderName"]),)
    if hashed.get("httpQueryParameterName"):
        return (HashKey("query", hashed["httpQueryParameterName"]),)
    if hashed.get("useSourceIp"):
        return (HashKey("address"),)
    cookie = hashed.get("httpCookie")
    if not cookie:
        return ()
    attributes = tuple((each["name"], each.get("value", "")) for each in cookie.get("attributes") or ())
    ttl_s = duration_s(cookie["ttl"]) if cookie.get("ttl") else None
    return (HashKey("cookie", cookie["name"], cookie.get("path", ""), ttl_s, attributes),)


def effective_locality(rule: Json | None, service: Json, mesh: Json) -> tuple[Json | None, bool]:
    """The effective locality setting, and whether it applies without outlierDetection.

    The DestinationRule's, else the Service's trafficDistribution, else the mesh's; ``enabled: false`` ends
    the search without one.
    """
    if rule is not None:
        return (None if rule.get("enabled") is False else rule), False
    if near := _near(service):
        return near, True
    return (None if mesh.get("enabled") is False else mesh), False


def _near(service: Json) -> Json | None:
    """The setting that a Service's trafficDistribution stands for."""
    annotations = service.get("metadata", {}).get("annotations") or {}
    wanted = service.get("spec", {}).get("trafficDistribution")
    near = _NEAR.get(annotations.get("networking.istio.io/traffic-distribution") or wanted or "")
    return {"failoverPriority": near} if near else None


class Places(NamedTuple):
    """Whether the locality and the node of a caller decide about its endpoints."""

    locality: bool
    node: bool


def places_that_matter(registry: Registry) -> Places:
    """What any locality setting asks of callers."""
    return registry.derived("places that matter", lambda: _places_that_matter(registry))


def _places_that_matter(registry: Registry) -> Places:
    try:
        mesh, _ = MeshConfig.of(registry)
    except ValueError:  # istiod keeps the last valid one, which is not known
        return Places(locality=True, node=True)
    rules = registry.of("destinationrules")
    policies = [mesh.default_policy, *(policy for rule in rules for policy in policies_of(rule))]
    written = ((policy.get("loadBalancer") or {}).get("localityLbSetting") or {} for policy in policies)
    hosts = (*registry.of("services"), *registry.of("serviceentries"))
    near = [setting for item in hosts if (setting := _near(item))]
    settings = [mesh.locality, *written, *near]
    ranked = bool(near) or any(policy.get("outlierDetection") for policy in policies)
    asked = {entry.partition("=")[0] for each in settings for entry in each.get("failoverPriority") or ()}
    return Places(
        locality=ranked or any(each.get("distribute") for each in settings),
        node=ranked and _HOSTNAME in asked,
    )


def distributed(
    setting: Json, caller: Caller, workloads: Iterable[Workload]
) -> tuple[tuple[Workload, ...], tuple[tuple[Locality, int], ...]]:
    """The endpoints that ``distribute`` leaves to a caller, and the weight of each of their localities.

    A share for several localities is split by their numbers of endpoints. Without an entry for the caller's
    locality nothing changes.
    """
    listed = tuple(workloads)
    entry = next(
        (each for each in setting["distribute"] if _matches(caller.locality, each.get("from", ""))), None
    )
    if entry is None:
        return listed, ()
    size: dict[Locality, int] = {}
    for each in listed:
        size[each.locality] = size.get(each.locality, 0) + each.weight
    weights: dict[Locality, int] = {}
    for pattern, share in (entry.get("to") or {}).items():
        meant = [place for place in size if place not in weights and _matches(place, pattern)]
        total = sum(size[place] for place in meant)
        for place in meant:
            weights[place] = math.ceil(size[place] * int(share) / total)
    kept = {place: weight for place, weight in weights.items() if weight}
    return tuple(each for each in listed if each.locality in kept), tuple(
        sorted(kept.items(), key=lambda pair: (pair[0].region, pair[0].zone, pair[0].subzone))
    )


def priorities(setting: Json, caller: Caller, workloads: Iterable[Workload]) -> dict[Workload, int]:
    """Each endpoint's priority by ``failoverPriority`` and then ``failover``, from 0 without gaps."""
    listed = tuple(workloads)
    labels = setting.get("failoverPriority") or ()
    ranks = {each: _label_rank(labels, caller, each) for each in listed}
    if not labels or setting.get("failover"):
        failover = setting.get("failover") or ()
        ranks = {each: 5 * ranks[each] + _locality_rank(failover, caller.locality, each) for each in listed}
    order = {rank: place for place, rank in enumerate(sorted(set(ranks.values())))}
    return {each: order[rank] for each, rank in ranks.items()}


def _locality_rank(failover: Iterable[Json], mine: Locality, workload: Workload) -> int:
    """0 same subzone, 1 same zone, 2 same region, 3 the region failed over to, 4 any other."""
    theirs = workload.locality
    if theirs.region == mine.region:
        if theirs.zone != mine.zone:
            return 2
        return 0 if theirs.subzone == mine.subzone else 1
    for entry in failover:
        if entry.get("from") == mine.region:
            return 3 if entry.get("to") == theirs.region else 4
    return 3


def _label_rank(labels: Iterable[str], caller: Caller, workload: Workload) -> int:
    """The number of labels from the first one in which an endpoint and a caller differ.

    Everything here is on one network, so that label never differs.
    """
    listed = list(labels)
    mine, theirs = _topology(dict(caller.labels), caller.locality, caller.node), _of(workload)
    for place, written in enumerate(listed):
        name, _, value = written.partition("=")
        if name != _NETWORK and (value or mine.get(name)) != theirs.get(name):
            return len(listed) - place
    return 0


def _of(workload: Workload) -> Mapping[str, str]:
    return _topology(workload.labels, workload.locality, workload.node)


def _topology(labels: Mapping[str, str], locality: Locality, node: str) -> Mapping[str, str]:
    """The labels of a pod with those that Istio adds from its node."""
    places = {_REGION: locality.region, _ZONE: locality.zone, _SUBZONE: locality.subzone, _HOSTNAME: node}
    return {**labels, **{name: value for name, value in places.items() if value}}


def _matches(locality: Locality, pattern: str) -> bool:
    wanted = locality_named(pattern)
    return all(
        want in ("*", have) or (want == "" and place > 0)
        for place, (want, have) in enumerate(zip(_parts(wanted), _parts(locality), strict=True))
    )


def _parts(locality: Locality) -> tuple[str, str, str]:
    return locality.region, locality.zone, locality.subzone


def weighted(balance: Balancing, weights: tuple[tuple[Locality, int], ...]) -> Balancing:
    """The same balancing, by locality."""
    return replace(balance, locality_weights=weights)
