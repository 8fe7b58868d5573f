"""Select and merge the DestinationRules for a host and a caller.

The caller's namespace is asked first, then the host's, then the root; in each the most specific host name
wins. Rules for one name in one namespace are merged: subsets join, the oldest policy stays. A rule with a
workloadSelector holds for the callers of its own namespace that it selects, before those without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshkit.meshes.istio.meaning.hosts import Host
from meshkit.meshes.istio.meaning.visibility import Caller, exported, most_specific
from meshkit.meshes.model.hosts import full_host
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation

Json = Mapping[str, Any]


@dataclass(frozen=True)
class DestinationRule:
    """All that holds for one host: its subsets ("" is the whole host) and the policies.

    ``sources`` has the object that each subset comes from; that of "" has the policy of the whole host.
    """

    owner: Object | None = None
    policy: Json = field(default_factory=dict)
    subsets: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {"": {}})
    subset_policies: Mapping[str, Json] = field(default_factory=dict)
    sources: Mapping[str, Object] = field(default_factory=dict)


class DestinationRules:
    """The DestinationRules that apply to one caller."""

    def __init__(self, work: Translation, caller: Caller, default_export: tuple[str, ...]) -> None:
        self._work = work
        self._caller = caller
        self._default_export = default_export
        self._by_namespace: dict[str, dict[str, list[Object]]] = {}
        self._of_host: dict[str, DestinationRule] = {}

    def of(self, host: Host) -> DestinationRule:
        """The rule for one host."""
        if host.name not in self._of_host:
            self._of_host[host.name] = self._found(host)
        return self._of_host[host.name]

    def _found(self, host: Host) -> DestinationRule:
        for namespace in self._namespaces(host):
            found = most_specific(self._in(namespace), host.name)
            if found:
                return self._merged(found)
        return DestinationRule()

    def _namespaces(self, host: Host) -> list[str]:
        """Where a rule is looked for, in order. A caller in the root namespace asks the host's first."""
        root, mine = self._work.registry.root_namespace, self._caller.namespace
        order = [mine, host.namespace, root] if mine != root else [host.namespace, root]
        return list(dict.fromkeys(order))

    def _in(self, namespace: str) -> dict[str, list[Object]]:
        """Host pattern -> the rules of a namespace that this caller sees, oldest first."""
        if namespace not in self._by_namespace:
            found: dict[str, list[Object]] = {}
            for item in self._work.registry.of("destinationrules", namespace):
                if self._sees(item, namespace):
                    host = full_host(str(item["spec"].get("host", "")).lower(), namespace)
                    found.setdefault(host, []).append(item)
            self._by_namespace[namespace] = found
        return self._by_namespace[namespace]

    def _sees(self, item: Object, namespace: str) -> bool:
        """Whether a rule is exported to the caller. One with a workloadSelector is for its own namespace."""
        if item["spec"].get("workloadSelector") is not None and namespace != self._caller.namespace:
            return False
        return exported(item, self._caller, self._default_export)

    def _merged(self, rules: list[Object]) -> DestinationRule:
        """The rules that select this caller, else those that select none."""
        chosen = [rule for rule in rules if (selected := _selector(rule)) and self._caller.has(selected)]
        chosen = chosen or [rule for rule in rules if not _selector(rule)]
        if not chosen:
            return DestinationRule()
        subsets: dict[str, Mapping[str, str]] = {"": {}}
        policies: dict[str, Json] = {}
        sources = {"": next((rule for rule in chosen if _policy(rule)), chosen[0])}
        for rule in chosen:
            for subset in rule["spec"].get("subsets") or ():
                if subset["name"] in subsets:
                    self._told_twice(rule, subset["name"])
                    continue
                subsets[subset["name"]] = subset.get("labels") or {}
                policies[subset["name"]] = subset.get("trafficPolicy") or {}
                sources[subset["name"]] = rule
        return DestinationRule(chosen[0], _policy(sources[""]), subsets, policies, sources)

    def _told_twice(self, rule: Object, name: str) -> None:
        message = (
            f"spec.subsets: {name!r} is already defined, in this rule or in an older one of the same host."
        )
        self._work.problems.append(Problem(rule, "DuplicateSubset", message))


def unreached(registry: Registry, hosts: Mapping[str, Host]) -> list[Problem]:
    """Rules for a host that is not there."""
    problems = []
    for item in registry.of("destinationrules"):
        written = str(item["spec"].get("host", ""))
        host = full_host(written.lower(), item["metadata"]["namespace"])
        if "*" not in host and host not in hosts:
            problems.append(
                Problem(item, "UnknownHost", f"spec.host: there is no host {host}; the rule has no effect.")
            )
    return problems


def _selector(rule: Object) -> Mapping[str, str]:
    return (rule["spec"].get("workloadSelector") or {}).get("matchLabels") or {}


def _policy(rule: Object) -> Json:
    return rule["spec"].get("trafficPolicy") or {}
