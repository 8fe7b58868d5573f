"""Find the DestinationRules of others that decide the subsets and policies of a planned intent or release.

What callers take from a DestinationRule depends on namespaces, age and visibility, so it is asked of the
mesh's meaning: once with the Route's own objects alone, and once with all. An object is named for a
difference if it makes that difference beside the Route's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshkit import codes
from meshkit.facts import Finding, Need, Object, Snapshot
from meshkit.intent.base import Intent, kind
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import labels, title
from meshkit.kube.selectors import selected_pods
from meshkit.kube.steps import Step
from meshkit.meshes.base import Mesh
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, full_host, host_of
from meshkit.meshes.model.outbound import Cluster, HashKey, cluster_name
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.routing.live import Port, callers, callers_in, home_of, relevant

_KIND = "DestinationRule"
_SLICE = "EndpointSlice"
_READ = ("destinationrules", "endpointslices")
POLICIES = {"connection_limits": "limits", "outlier_detection": "outlier", "load_balancing": "balancing"}
"""The policies of a Route -> their field of a cluster."""
_FIELDS = {**POLICIES, "tls": "tls"}
_OF_HOSTS = ("Service", "EndpointSlice", _KIND, "Node", "Pod", "VirtualService")
"""The kinds that say nothing about what callers take for a host outside."""


class Difference(NamedTuple):
    """What callers do not take from a Route's own objects; the first part that is not empty counts."""

    missing: tuple[str, ...] = ()
    """Subsets that are not defined."""
    other_pods: tuple[str, ...] = ()
    """Subsets with other pods."""
    policies: tuple[str, ...] = ()
    """Policies, by their names in a Route."""


@dataclass(frozen=True)
class Displaced:
    """An object that decides in place of a Route's own for the callers in ``namespaces``, all or some."""

    by: Object
    difference: Difference
    namespaces: tuple[str, ...]
    every_caller: bool


class _Taken(NamedTuple):
    """What one caller takes: clusters by subset, and the keys of consistent hashes."""

    clusters: Mapping[str, Cluster]
    hashes: frozenset[tuple[HashKey, ...]]


def needs(row: Mesh, namespace: str) -> Iterator[Need]:
    """What ``displaced`` and ``undefined`` read besides ``live.needs``."""
    for resource in _READ:
        kind = row.meaning.KINDS.get(resource)
        if kind is not None and "destinationrules" in row.meaning.KINDS:
            own = resource == "endpointslices"
            yield Need(kind, namespace if own else None, within=() if own else (namespace,), optional=True)


def rules(snapshot: Snapshot) -> Iterator[Object]:
    """The DestinationRules of a Snapshot."""
    return iter(snapshot.of(_KIND))


def rules_of(steps: Iterable[Step], snapshot: Snapshot) -> list[Object]:
    """The DestinationRules of a Snapshot that steps write."""
    places = dict.fromkeys((step.name, step.namespace) for step in steps if step.kind.kind == _KIND)
    return [rule for place in places if (rule := snapshot.find(_KIND, *place)) is not None]


def rules_for(host: str, snapshot: Snapshot) -> list[Object]:
    """The DestinationRules of a host, or of a pattern that it matches."""
    return [rule for rule in snapshot.having(_hosts, host, _PATTERN) if _is_for(rule, host)]


def subsets(port: Port, snapshot: Snapshot) -> Mapping[str, Mapping[str, str]]:
    """The labels of the subsets that any rule defines for a Service, by their names."""
    host = f"{port.service}.{port.namespace}.svc.{CLUSTER_DOMAIN}"
    return {
        subset["name"]: subset.get("labels") or {}
        for rule in rules_for(host, snapshot)
        for subset in rule["spec"].get("subsets") or ()
    }


def pods(port: Port, subset: Mapping[str, str], snapshot: Snapshot) -> list[Object]:
    """The pods of a Service that have the labels of a subset."""
    service = snapshot.find("Service", port.service, port.namespace) or {}
    selector = {**((service.get("spec") or {}).get("selector") or {}), **subset}
    return selected_pods(selector, port.namespace, snapshot)


def displaced(
    port: Port,
    own: Sequence[Object],
    subsets: Collection[str],
    policies: Collection[str],
    snapshot: Snapshot,
    row: Mesh,
    *,
    whole: bool = False,
) -> Iterator[Displaced]:
    """The rules of others that decide about these subsets and policies in place of ``own``.

    ``whole`` also compares the policies of requests that name no subset.
    """
    world = _World.of(port, snapshot, row)
    if world is None or not own:
        return
    names = {title(obj) for obj in own}
    others = [rule for rule in world.rules if title(rule) not in names]
    if not others:
        return
    expected, actual = world.taken(own, subsets), world.taken([*own, *others], subsets)
    found: dict[tuple[str, Difference], list[str]] = {}
    pairs = zip(expected, actual, strict=True)
    differences = [_difference(mine, real, policies, whole) for mine, real in pairs]
    decided = any(map(any, differences))
    beside = [(rule, world.taken([*own, rule], subsets)) for rule in others] if decided else []
    for index, difference in enumerate(differences):
        if any(difference):
            culprit = next(
                (
                    rule
                    for rule, alone in beside
                    if _difference(expected[index], alone[index], policies, whole) == difference
                ),
                others[0],
            )
            key = (title(culprit), difference)
            found.setdefault(key, []).append(world.pods[index]["metadata"]["namespace"])
    by_title = {title(rule): rule for rule in others}
    for (name, difference), namespaces in found.items():
        listed = tuple(dict.fromkeys(namespaces))
        yield Displaced(by_title[name], difference, listed, len(namespaces) == len(world.pods))


def undefined(
    port: Port, subsets: Collection[str], snapshot: Snapshot, row: Mesh
) -> Iterator[tuple[Object, tuple[str, ...], tuple[str, ...]]]:
    """The rules without some of these subsets that callers follow: rule, subsets and callers' namespaces."""
    world = _World.of(port, snapshot, row)
    if world is None:
        return
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for index, real in enumerate(world.taken(world.rules, subsets)):
        missing = tuple(name for name in subsets if name not in real.clusters)
        source = real.clusters[""].source if "" in real.clusters else ""
        if missing and source:
            found.setdefault((source, missing), []).append(world.pods[index]["metadata"]["namespace"])
    by_title = {title(rule): rule for rule in world.rules}
    for (name, missing), namespaces in found.items():
        yield by_title[name], missing, tuple(dict.fromkeys(namespaces))


def findings(
    port: Port,
    own: Sequence[Object],
    versions: Mapping[str, Mapping[str, str]],
    policies: Collection[str],
    snapshot: Snapshot,
    row: Mesh,
    asked: type[Intent] = Route,
) -> Iterator[Finding]:
    """The findings about a planned Route with these versions and labels, or another intent with policies."""
    of_all = asked is not Route
    for each in displaced(port, own, tuple(versions), policies, snapshot, row, whole=of_all):
        name = title(each.by)
        message = f"{name} decides how {callers_in(each.namespaces)} reach {port}"
        if missing := each.difference.missing:
            message = without_subsets(name, missing, each.namespaces, port)
            yield codes.finding(
                codes.DESTINATION_RULED_ELSEWHERE, "route.versions", message, _to_add(name, versions, missing)
            )
        elif other := each.difference.other_pods:
            message += f", and its subset {', '.join(other)} has other pods than the planned route asks for."
            remedy = f"Give the versions the labels of {name}, or choose other names for the versions."
            yield codes.finding(codes.DESTINATION_RULED_ELSEWHERE, "route.versions", message, remedy)
        else:
            void = each.difference.policies
            noun = "policy" if of_all else "route"
            message += f": {', '.join(void)} of the planned {noun} would have no effect."
            remedy = (
                f"Write them to spec.trafficPolicy of {name}, and leave them out of the {asked.__name__}."
            )
            yield codes.finding(
                codes.DESTINATION_RULED_ELSEWHERE,
                f"{kind(asked)}.{void[0]}",
                message,
                remedy,
                severity="error" if each.every_caller else "warning",
            )


def without_subsets(name: str, missing: Iterable[str], namespaces: Iterable[str], port: Port) -> str:
    """Say that callers follow a rule that has none of these subsets."""
    return (
        f"{name} decides how {callers_in(namespaces)} reach {port}, and it has no subset"
        f" {', '.join(missing)}: their requests would fail with status 503."
    )


def _to_add(name: str, versions: Mapping[str, Mapping[str, str]], missing: Iterable[str]) -> str:
    listed = (
        f"{subset} with labels {','.join(f'{key}={value}' for key, value in versions[subset].items())}"
        for subset in missing
    )
    return f"Add these subsets to {name}, {', '.join(listed)}."


@dataclass(frozen=True)
class _World:
    """A Service port with its callers and all objects that decide about it, except the rules."""

    port: Port
    host: str
    pods: Sequence[Object]
    rules: Sequence[Object]
    base: Sequence[Object]
    row: Mesh
    home: str
    """The namespace of the control plane."""

    @classmethod
    def of(cls, port: Port, snapshot: Snapshot, row: Mesh) -> _World | None:
        if "destinationrules" not in row.meaning.KINDS:
            return None
        pods = callers(port, snapshot, row)
        if "." in port.service:
            return cls._outside(port, pods, snapshot, row)
        service = snapshot.find("Service", port.service, port.namespace)
        if service is None:
            return None
        host = host_of(service)
        slices = (each for each in snapshot.having(_service_of_slice, f"{port.namespace}/{port.service}"))
        rules = rules_for(host, snapshot)
        base = (*relevant(service, snapshot, pods), *slices)
        return cls(port, host, pods, rules, base, row, home_of(snapshot, row))

    @classmethod
    def _outside(cls, port: Port, pods: Sequence[Object], snapshot: Snapshot, row: Mesh) -> _World:
        """A port of a host outside, with all that can register it."""
        rules = rules_for(port.service, snapshot)
        base = [obj for obj in snapshot.objects if obj["kind"] not in _OF_HOSTS]
        return cls(port, port.service, pods, rules, (*base, *pods), row, home_of(snapshot, row))

    def taken(self, rules: Iterable[Object], subsets: Collection[str]) -> list[_Taken]:
        """What each caller takes if these are all the rules."""
        meaning, number = self.row.meaning, self.port.number
        registry = Registry.reading((*self.base, *rules), meaning.KINDS, self.home)
        wanted = {cluster_name(number, subset, self.host): subset for subset in ("", *subsets)}
        known: dict[Any, _Taken] = {}
        found = []
        for pod in self.pods:
            caller = meaning.caller_of(registry, pod)
            if caller not in known:
                all_of_it = meaning.outbound(registry, caller)
                routes = [
                    route
                    for host in all_of_it.hosts
                    if (host.service, host.port) == (self.host, number)
                    for route in host.routes
                ]
                clusters = {wanted[one.name]: one for one in all_of_it.clusters if one.name in wanted}
                known[caller] = _Taken(clusters, frozenset(route.hash_keys for route in routes))
            found.append(known[caller])
        return found


def _difference(expected: _Taken, actual: _Taken, policies: Collection[str], whole: bool) -> Difference:
    both = [name for name in expected.clusters if (name or whole) and name in actual.clusters]
    pairs = {name: (expected.clusters[name], actual.clusters[name]) for name in both}
    missing = tuple(name for name in expected.clusters if name and name not in actual.clusters)
    if missing:
        return Difference(missing=missing)
    pods = tuple(name for name, (mine, real) in pairs.items() if _addresses(mine) != _addresses(real))
    if pods:
        return Difference(other_pods=pods)
    void = tuple(policy for policy in policies if _is_void(policy, expected, actual, pairs.values()))
    return Difference(policies=void)


def _is_void(policy: str, expected: _Taken, actual: _Taken, pairs: Iterable[tuple[Cluster, Cluster]]) -> bool:
    field = _FIELDS[policy]
    if policy == "load_balancing" and expected.hashes != actual.hashes:
        return True
    return any(getattr(mine, field) != getattr(real, field) for mine, real in pairs)


def _addresses(cluster: Cluster) -> frozenset[tuple[str, int]]:
    return frozenset((each.address, each.port) for each in cluster.endpoints)


def _service_of_slice(obj: Object) -> tuple[str, ...]:
    """The Service of an EndpointSlice, as namespace/name."""
    name = labels(obj).get("kubernetes.io/service-name") if obj["kind"] == _SLICE else None
    return () if name is None else (f"{obj['metadata'].get('namespace')}/{name}",)


_PATTERN = "*"
"""The key of rules whose host is a pattern."""


def _hosts(obj: Object) -> tuple[str, ...]:
    """The keys by which ``rules_for`` finds a rule."""
    if obj["kind"] != _KIND:
        return ()
    written = _host(obj)
    return (_PATTERN if written.startswith("*") else written,)


def _host(rule: Object) -> str:
    return full_host(str(rule["spec"].get("host", "")).lower(), rule["metadata"]["namespace"])


def _is_for(rule: Object, host: str) -> bool:
    """Whether a rule's host is this one, or a pattern that it matches."""
    written = _host(rule)
    return written == host or (written.startswith("*") and host.endswith(written[1:]))
