"""Select the VirtualService that applies to a host for a caller.

What a namespace keeps to itself comes before what is public; then the oldest wins and the others are told.
A host's own name comes before a wildcard, a longer wildcard before a shorter. A route that delegates is
replaced by those of the other VirtualService, each narrowed by the conditions of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from meshkit.meshes.istio.meaning.visibility import (
    Caller,
    export_rank,
    exported,
    most_specific,
    patterns_for,
    wildcards,
)
from meshkit.meshes.model.hosts import full_host
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation

Json = Mapping[str, Any]
_MATCHED = ("uri", "scheme", "method", "authority")
_MAPS = ("headers", "withoutHeaders", "queryParams")
_INHERITED = (
    *("rewrite", "directResponse", "timeout", "retries", "fault", "mirror", "mirrorPercent"),
    *("mirrorPercentage", "corsPolicy", "mirrors", "headers"),
)


def hosts_of(item: Object) -> list[str]:
    """The hosts of a VirtualService in full."""
    return [
        full_host(host.lower(), item["metadata"]["namespace"]) for host in item["spec"].get("hosts") or ()
    ]


def of_the_mesh(registry: Registry) -> Mapping[str, list[Object]]:
    """Host -> the VirtualServices that name it and apply to sidecars, oldest first."""

    def index() -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for item in registry.of("virtualservices"):
            for host in hosts_of(item) if "mesh" in (item["spec"].get("gateways") or ["mesh"]) else ():
                found.setdefault(host, []).append(item)
        return found

    return registry.derived("virtualservices of the mesh", index)


class VirtualServices:
    """The VirtualServices that apply to one caller."""

    def __init__(self, work: Translation, caller: Caller, default_export: tuple[str, ...]) -> None:
        self._work = work
        self._caller = caller
        self._default_export = default_export

    def of(self, host: str) -> list[Object]:
        """The VirtualServices of a host, the one that rules it first: the next only where it has no route."""
        index = of_the_mesh(self._work.registry)
        for pattern in patterns_for(host, index, self._wildcards):
            if seen := self.naming(pattern):
                return seen
        return []

    def naming(self, pattern: str) -> list[Object]:
        """The VirtualServices that this caller sees with exactly this host or wildcard, in order of rule."""
        mine, default = self._caller, self._default_export
        items = of_the_mesh(self._work.registry).get(pattern, ())
        seen = [item for item in items if exported(item, mine, default)]
        return sorted(seen, key=lambda item: export_rank(item, mine, default))

    def tell(self) -> None:
        """Record the problems of the VirtualServices that this caller sees."""
        for item in self._seen():
            self._tell_left_out(item)
        for host, items in self._by_host.items():
            first = items[0]["metadata"]
            for item in items[1:]:
                why = (
                    "is older"
                    if self._rank(item) == self._rank(items[0])
                    else "is exported to fewer namespaces"
                )
                message = f"{host} is already routed by {first['namespace']}/{first['name']}, which {why}."
                self._work.problems.append(Problem(item, "HostConflict", message))

    def _rank(self, item: Object) -> int:
        return export_rank(item, self._caller, self._default_export)

    @cached_property
    def _by_host(self) -> Mapping[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for item in self._seen():
            for host in hosts_of(item):
                found.setdefault(host, []).append(item)
        return found

    @cached_property
    def _wildcards(self) -> list[str]:
        index = of_the_mesh(self._work.registry)
        return self._work.registry.derived("wildcards of virtualservices", lambda: wildcards(index))

    def elsewhere(self, known: Iterable[str]) -> dict[str, list[Object]]:
        """Those of hosts that nothing is registered for: host (perhaps a wildcard) -> VirtualServices."""
        names = set(known)
        return {
            host: items
            for host, items in self._by_host.items()
            if host not in names
            and not (host.startswith("*") and any(most_specific({host: 1}, name) for name in names))
        }

    def routes(self, item: Object) -> list[tuple[Object, str, Json]]:
        """(the object it stands in, where, the route) of every http route, delegates carried out."""
        found: list[tuple[Object, str, Json]] = []
        for index, entry in enumerate(item["spec"].get("http") or ()):
            where = f"spec.http[{index}]"
            if entry.get("delegate"):
                found += self._delegated(item, where, entry)
            else:
                found.append((item, where, entry))
        return found

    def _seen(self) -> list[Object]:
        """Those this caller's proxy sees, in the order in which they rule."""
        mine, default = self._caller, self._default_export
        found = [
            item
            for item in self._work.registry.of("virtualservices")
            if "mesh" in (item["spec"].get("gateways") or ["mesh"]) and exported(item, mine, default)
        ]
        return sorted(found, key=lambda item: export_rank(item, mine, default))

    def _tell_left_out(self, item: Object) -> None:
        if item["spec"].get("tls"):
            message = "spec.tls: the sandbox does not route by the name that TLS asks for; it has no effect."
            self._work.ignore(item, message)

    def _delegated(self, item: Object, where: str, entry: Json) -> list[tuple[Object, str, Json]]:
        wanted = entry["delegate"]
        namespace = wanted.get("namespace") or item["metadata"]["namespace"]
        other = next(
            (
                each
                for each in self._work.registry.of("virtualservices", namespace)
                if each["metadata"]["name"] == wanted.get("name") and not each["spec"].get("hosts")
            ),
            None,
        )
        named = f"VirtualService {namespace}/{wanted.get('name')}"
        home = item["metadata"]["namespace"]
        why = "" if other else f"there is no {named} without hosts"
        if other and not exported(other, Caller(home), self._default_export):
            why = f"{named} is not exported to namespace {home}"
        if other is None or why:
            message = f"{where}.delegate: {why}; the route is left out."
            self._work.problems.append(Problem(item, "UnknownDelegate", message))
            return []
        found = []
        for index, inner in enumerate(other["spec"].get("http") or ()):
            place = f"spec.http[{index}]"
            matches = _narrowed(entry.get("match") or [], inner.get("match") or [])
            if matches is None:
                message = f"{place}.match does not fit within {item['metadata']['name']}'s {where}.match; "
                self._work.problems.append(Problem(other, "MatchConflict", message + "it is left out."))
                continue
            found.append((other, place, _joined(entry, inner, matches)))
        return found


def _joined(outer: Json, inner: Json, matches: list[Json]) -> Json:
    """A delegate's route, with what it leaves to the one that delegates."""
    joined = {**inner, **{name: outer[name] for name in _INHERITED if name in outer and name not in inner}}
    names = [each["name"] for each in (outer, inner) if each.get("name")]
    return {**joined, "name": "-".join(names), "match": matches}


def _narrowed(outer: list[Json], inner: list[Json]) -> list[Json] | None:
    """Both conditions together; None where one of the inner's fits none of the outer's."""
    if not outer or not inner:
        return outer or inner
    found = []
    for leaf in inner:
        fitting = [_both(root, leaf) for root in outer if not _conflict(root, leaf)]
        if not fitting:
            return None
        found += fitting
    return found


def _both(root: Json, leaf: Json) -> Json:
    maps = {name: {**(root.get(name) or {}), **(leaf.get(name) or {})} for name in (*_MAPS, "sourceLabels")}
    return {**root, **leaf, **{name: value for name, value in maps.items() if value}}


def _conflict(root: Json, leaf: Json) -> bool:
    """Whether a leaf's condition is not contained in the root's."""
    if any(_text_conflict(root.get(name), leaf.get(name)) for name in _MATCHED):
        return True
    for name in _MAPS:
        have = root.get(name) or {}
        if any(_text_conflict(have.get(key), value) for key, value in (leaf.get(name) or {}).items()):
            return True
    if bool(root.get("ignoreUriCase")) != bool(leaf.get("ignoreUriCase")):
        return True
    if root.get("port") and leaf.get("port") and root["port"] != leaf["port"]:
        return True
    if root.get("sourceNamespace") and leaf.get("sourceNamespace") != root["sourceNamespace"]:
        return True
    labels = root.get("sourceLabels") or {}
    if any(labels.get(key, value) != value for key, value in (leaf.get("sourceLabels") or {}).items()):
        return True
    return bool(root.get("gateways")) and not set(leaf.get("gateways") or ()) <= set(root["gateways"])


def _text_conflict(root: Json | None, leaf: Json | None) -> bool:
    """Whether a text that meets the leaf might not meet the root."""
    if not root or not leaf:
        return False
    if "regex" in root or "regex" in leaf:
        return True
    if "exact" in root:
        return root.get("exact") != leaf.get("exact")
    text = leaf.get("exact", leaf.get("prefix", ""))
    return not str(text).startswith(root.get("prefix", ""))
