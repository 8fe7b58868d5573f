"""Select and merge the DestinationRules for a host and a caller.

The caller's namespace is asked first, then the host's, then the root; in each the most specific host name
wins, whoever may see its rules. A caller in the root namespace asks for the private rules there first. Rules
for one name in one namespace are merged if they are exported to the same namespaces, or the younger to more:
subsets join, the oldest policy stays. Of rules that are not merged the youngest holds alone. A rule with a
workloadSelector is private; it holds for the callers it selects, before those without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshkit.meshes.istio.meaning.hosts import Host
from meshkit.meshes.istio.meaning.visibility import Caller, most_specific
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


@dataclass
class Merged:
    """Rules for one host in one namespace that hold as one, oldest first."""

    exports: frozenset[str]
    rules: list[Object]

    @property
    def selector(self) -> Mapping[str, str]:
        """The labels of the callers that it holds for; empty if it holds for all."""
        return selector_of(self.rules[0])

    @property
    def policy_source(self) -> Object | None:
        """The rule whose policy of the whole host holds, if one has any."""
        return next((rule for rule in self.rules if _policy(rule)), None)

    def is_visible_in(self, namespace: str) -> bool:
        """Whether callers of another namespace see it."""
        return not self.exports or not self.exports.isdisjoint(("*", namespace))

    def replaces(self, other: Merged, pool: str) -> bool:
        """Whether it holds for every caller for whom the older ``other`` would."""
        if self.selector or other.selector:
            return False
        return (
            pool != "exported"
            or self.is_visible_in("*")
            or (other.exports <= self.exports and bool(other.exports))
        )


class DestinationRules:
    """The DestinationRules that apply to one caller."""

    def __init__(self, work: Translation, caller: Caller, default_export: tuple[str, ...]) -> None:
        self._work = work
        self._caller = caller
        self._default_export = default_export
        self._of_host: dict[str, DestinationRule] = {}

    def of(self, host: Host) -> DestinationRule:
        """The rule for one host."""
        if host.name not in self._of_host:
            self._of_host[host.name] = self._found(host)
        return self._of_host[host.name]

    def _found(self, host: Host) -> DestinationRule:
        root, mine = self._work.registry.root_namespace, self._caller.namespace
        own = most_specific(self._in(mine, "private" if mine == root else "local"), host.name)
        if own:
            return self._chosen(own)
        for namespace in dict.fromkeys((host.namespace, root)):
            found = most_specific(self._in(namespace, "exported"), host.name) or ()
            if visible := [each for each in found if each.is_visible_in(mine)]:
                return self._chosen(visible)
        return DestinationRule()

    def _in(self, namespace: str, pool: str) -> Mapping[str, list[Merged]]:
        return merged_rules(self._work.registry, self._default_export).get((namespace, pool), {})

    def _chosen(self, found: list[Merged]) -> DestinationRule:
        """The rule that selects this caller, else the youngest that selects none."""
        own = (each for each in found if each.selector and self._caller.has(each.selector))
        general = (each for each in reversed(found) if not each.selector)
        chosen = next(own, None) or next(general, None)
        return self._merged(chosen.rules) if chosen else DestinationRule()

    def _merged(self, rules: list[Object]) -> DestinationRule:
        subsets: dict[str, Mapping[str, str]] = {"": {}}
        policies: dict[str, Json] = {}
        sources = {"": next((rule for rule in rules if _policy(rule)), rules[0])}
        for rule in rules:
            for subset in rule["spec"].get("subsets") or ():
                if subset["name"] in subsets:
                    self._told_twice(rule, subset["name"])
                    continue
                subsets[subset["name"]] = subset.get("labels") or {}
                policies[subset["name"]] = subset.get("trafficPolicy") or {}
                sources[subset["name"]] = rule
        return DestinationRule(rules[0], _policy(sources[""]), subsets, policies, sources)

    def _told_twice(self, rule: Object, name: str) -> None:
        message = (
            f"spec.subsets: {name!r} is already defined, in this rule or in an older one of the same host."
        )
        self._work.problems.append(Problem(rule, "DuplicateSubset", message))


def merged_rules(
    registry: Registry, default_export: tuple[str, ...]
) -> Mapping[tuple[str, str], Mapping[str, list[Merged]]]:
    """Namespace and pool -> host pattern -> its rules, in the order in which a later one holds.

    The pool ``local`` is for callers of the namespace itself, ``exported`` has what others may see too, and
    ``private`` what they may not.
    """
    name = f"merged DestinationRules, by default exported to {default_export}"
    return registry.derived(name, lambda: _merged_rules(registry, default_export))


def _merged_rules(
    registry: Registry, default_export: tuple[str, ...]
) -> dict[tuple[str, str], dict[str, list[Merged]]]:
    found: dict[tuple[str, str], dict[str, list[Merged]]] = {}
    for item in sorted(registry.of("destinationrules"), key=lambda rule: not selector_of(rule)):
        own = item["metadata"]["namespace"]
        exports = frozenset(
            {"."} if item["spec"].get("workloadSelector") is not None else item["spec"].get("exportTo") or ()
        )
        host = full_host(str(item["spec"].get("host", "")).lower(), own)
        private = len(exports) == 1 and not exports.isdisjoint((".", own))
        private = private or (not exports and "." in default_export)
        pools = ["private" if private else "exported"]
        if not exports or not exports.isdisjoint(("*", ".", own)):
            pools.append("local")
        for pool in pools:
            _join(found.setdefault((own, pool), {}).setdefault(host, []), item, exports)
    return found


def _join(found: list[Merged], rule: Object, exports: frozenset[str]) -> None:
    """Add a rule to those that it is merged with, else to the list; step by step as istiod does."""
    separate = True
    for each in found:
        separate = exports != each.exports
        if separate and not (each.exports and exports > each.exports):
            continue
        selects, earlier = selector_of(rule), each.selector
        if selects and earlier and selects != earlier:
            separate = True
            continue
        separate = separate and bool(selects) != bool(earlier)
        each.rules.append(rule)
    if separate:
        found.append(Merged(exports, [rule]))


def void_policies(
    registry: Registry, default_export: tuple[str, ...]
) -> Iterator[tuple[str, Object, Object, bool]]:
    """Policies that hold for no caller: the host, the rule, the rule that keeps it from holding, and whether
    that one is the older."""
    held: set[int] = set()
    void: dict[int, tuple[str, Object, Object, bool]] = {}
    for (namespace, pool), by_host in merged_rules(registry, default_export).items():
        if pool == ("local" if namespace == registry.root_namespace else "private"):
            continue
        for host, found in by_host.items():
            for place, each in enumerate(found):
                younger = next((one for one in found[place + 1 :] if one.replaces(each, pool)), None)
                for rule in filter(_policy, each.rules):
                    first = each.policy_source
                    if rule is not first and first is not None:
                        void.setdefault(id(rule), (host, rule, first, True))
                    elif younger:
                        void.setdefault(id(rule), (host, rule, younger.rules[0], False))
                    else:
                        held.add(id(rule))
    yield from (each for key, each in void.items() if key not in held)


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


def selector_of(rule: Object) -> Mapping[str, str]:
    """The labels of the callers that a DestinationRule is for; empty for all."""
    return (rule["spec"].get("workloadSelector") or {}).get("matchLabels") or {}


def _policy(rule: Object) -> Json:
    return rule["spec"].get("trafficPolicy") or {}
