"""The objects and hosts that are visible to a caller, by exportTo, wildcards and selectors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from meshkit.kube.metadata import annotations_of
from meshkit.kube.selectors import contains
from meshkit.meshes.model.outbound import Locality, Object
from meshkit.meshes.model.registry import Registry

T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """The properties of a calling pod on which its configuration depends.

    ``labels`` has only labels that some object selects by, and ``locality`` and ``node`` are empty where no
    load balancing asks for them, so that equal pods share one translation.
    """

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()
    locality: Locality = field(default_factory=Locality)
    node: str = ""

    def has(self, wanted: Mapping[str, str] | None) -> bool:
        """Whether the caller has all these labels."""
        return contains(dict(self.labels), wanted)


def labels_that_matter(registry: Registry) -> frozenset[str]:
    """The labels of callers that any VirtualService or DestinationRule selects by."""
    return registry.derived("labels that matter", lambda: _labels_that_matter(registry))


def _labels_that_matter(registry: Registry) -> frozenset[str]:
    asked: set[str] = set()
    for item in registry.of("virtualservices"):
        for entry in (*(item["spec"].get("http") or ()), *(item["spec"].get("tcp") or ())):
            for match in entry.get("match") or ():
                asked |= set(match.get("sourceLabels") or ())
    for item in registry.of("destinationrules"):
        asked |= set((item["spec"].get("workloadSelector") or {}).get("matchLabels") or ())
        for policy in policies_of(item):
            setting = (policy.get("loadBalancer") or {}).get("localityLbSetting") or {}
            asked |= {entry.partition("=")[0] for entry in setting.get("failoverPriority") or ()}
    return frozenset(asked)


def policies_of(rule: Object) -> Iterator[Mapping[str, Any]]:
    """The traffic policies of a DestinationRule: its own, those of its subsets, and of their ports."""
    general = rule["spec"].get("trafficPolicy") or {}
    subsets = [subset.get("trafficPolicy") or {} for subset in rule["spec"].get("subsets") or ()]
    for policy in (general, *subsets):
        yield policy
        yield from policy.get("portLevelSettings") or ()


def exported(item: Object, caller: Caller, default: tuple[str, ...]) -> bool:
    """Whether an object is visible to callers of a namespace (``exportTo``; by default everywhere)."""
    return _sees(caller, item, item["spec"].get("exportTo") or default)


def service_exported(service: Object, caller: Caller, default: tuple[str, ...]) -> bool:
    """Whether a Service is visible to callers of a namespace, by an annotation with a list in it."""
    written = annotations_of(service).get("networking.istio.io/exportTo", "")
    return _sees(caller, service, [each.strip() for each in written.split(",") if each.strip()] or default)


def _sees(caller: Caller, item: Object, scopes: Collection[str]) -> bool:
    scopes = scopes or ("*",)
    own = item["metadata"]["namespace"]
    return "*" in scopes or caller.namespace in scopes or ("." in scopes and own == caller.namespace)


def export_rank(item: Object, caller: Caller, default: tuple[str, ...]) -> int:
    """Sort key by visibility: private objects first, then those exported to the namespace, then public."""
    scopes = item["spec"].get("exportTo") or default or ("*",)
    if "*" in scopes:
        return 2
    return 0 if "." in scopes and item["metadata"]["namespace"] == caller.namespace else 1


def covers(pattern: str, host: str) -> bool:
    """Whether a host pattern (``*``, ``*.shop.svc.cluster.local`` or a full name) matches a host."""
    if pattern == host or pattern == "*":
        return True
    return pattern.startswith("*") and len(host) >= len(pattern) and host.endswith(pattern[1:])


def wildcards(patterns: Iterable[str]) -> list[str]:
    """The wildcards among host patterns, longest first."""
    return sorted((pattern for pattern in patterns if pattern.startswith("*")), key=len, reverse=True)


def patterns_for(host: str, patterns: Collection[str], wild: Iterable[str]) -> Iterator[str]:
    """The patterns that match a host, most specific first; ``wild`` are the wildcards, longest first."""
    if host in patterns:
        yield host
    yield from (pattern for pattern in wild if pattern != host and covers(pattern, host))


def most_specific(patterns: Mapping[str, T], host: str) -> T | None:
    """The value for a host's exact name, else for the longest wildcard that matches it."""
    if host in patterns:
        return patterns[host]
    wild = [pattern for pattern in patterns if pattern.startswith("*") and covers(pattern, host)]
    return patterns[max(wild, key=len)] if wild else None
