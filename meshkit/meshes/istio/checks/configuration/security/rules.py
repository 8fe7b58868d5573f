"""Checks of what the rules of AuthorizationPolicies name: callers, hosts and methods that do not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from meshkit import codes
from meshkit.codes import Code
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.authorization import pattern_of
from meshkit.meshes.istio.meaning.perspective import entries_by_host, services_by_host
from meshkit.meshes.istio.meaning.virtual_services import of_the_mesh
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, full_host
from meshkit.meshes.model.pods import service_account
from meshkit.meshes.model.requests import text_holds

_METHODS = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", "PRI"),
    *("ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE"),
    *("MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH"),
    *("PROPFIND", "PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK"),
    *("UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL", "PURGE"),
)
"""The methods that are registered for HTTP, and PURGE, which caches take."""
_Known = Callable[[str], str]
"""From a written value to what is wrong with it, as a clause; empty if nothing is."""


def check(world: World) -> Iterator[Finding]:
    """Find rules that name namespaces, ServiceAccounts, hosts or methods that do not exist."""
    names = _Names(world)
    for policy in world.registry.of("authorizationpolicies"):
        yield from dict.fromkeys(_of_policy(names, policy))


def _of_policy(names: _Names, policy: Object) -> Iterator[Finding]:
    own = policy["metadata"]["namespace"]
    callers: Mapping[str, _Known] = {
        "namespaces": names.namespace,
        "principals": names.principal,
        "serviceAccounts": lambda name: names.account(name, own),
    }
    operations: Mapping[str, tuple[Code, _Known]] = {
        "methods": (codes.METHOD_UNKNOWN, _method),
        "hosts": (codes.POLICY_HOST_UNKNOWN, lambda name: names.host(name, own)),
    }
    when: Mapping[str, _Known] = {
        "source.namespace": names.namespace,
        "source.principal": names.principal,
        "source.serviceAccount": lambda name: names.account(name, own),
    }
    for number, rule in enumerate((policy.get("spec") or {}).get("rules") or ()):
        place = f"spec.rules[{number}]"
        for index, entry in enumerate(rule.get("from") or ()):
            for field, known in callers.items():
                where = f"{place}.from[{index}].source"
                yield from _unknown(
                    policy, where, entry.get("source"), field, codes.POLICY_NAMES_UNKNOWN, known
                )
        for index, entry in enumerate(rule.get("to") or ()):
            for field, (code, known) in operations.items():
                where = f"{place}.to[{index}].operation"
                yield from _unknown(policy, where, entry.get("operation"), field, code, known)
        for index, entry in enumerate(rule.get("when") or ()):
            if entry.get("key") in when:
                where, known = f"{place}.when[{index}]", when[entry["key"]]
                yield from _unknown(policy, where, entry, "values", codes.POLICY_NAMES_UNKNOWN, known)


def _unknown(
    policy: Object, where: str, written: Mapping[str, Any] | None, field: str, code: Code, known: _Known
) -> Iterator[Finding]:
    for name in (field, f"not{field[0].upper()}{field[1:]}"):
        for value in (written or {}).get(name) or ():
            if problem := known(str(value)):
                yield codes.finding(code, title(policy), f"{where}.{name}: {problem}.")


def _method(value: str) -> str:
    match = pattern_of(value)
    if match.kind == "present" or any(text_holds(match, method) for method in _METHODS):
        return ""
    return f"HTTP has no method {value}"


class _Names:
    """The names of callers and hosts that a rule may have."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._accounts: dict[str, set[str]] = {}
        for item in world.registry.of("serviceaccounts"):
            self._accounts.setdefault(item["metadata"]["namespace"], set()).add(item["metadata"]["name"])
        for pod in world.registry.of("pods"):
            if pod["metadata"]["namespace"] in self._accounts:
                self._accounts[pod["metadata"]["namespace"]].add(service_account(pod))

    def namespace(self, value: str) -> str:
        """What is wrong with the name of a namespace, perhaps a pattern."""
        match = pattern_of(value)
        fits = match.kind == "present" or any(text_holds(match, each) for each in self._world.namespaces)
        return "" if fits else f"there is no namespace {value}"

    def principal(self, value: str) -> str:
        """What is wrong with ``cluster.local/ns/shop/sa/web``; a pattern or a foreign name may be right."""
        parts = value.split("/")
        if len(parts) != 5 or parts[:2] != [CLUSTER_DOMAIN, "ns"] or "*" in parts[2]:
            return ""
        if parts[2] not in self._world.namespaces:
            return f"there is no namespace {parts[2]}"
        return "" if "*" in parts[4] else self.account(f"{parts[2]}/{parts[4]}", "")

    def account(self, value: str, own: str) -> str:
        """What is wrong with ``namespace/name``, or a name in the policy's own namespace.

        Files often name no ServiceAccount, so a namespace counts once one of its own is known.
        """
        where, _, name = value.rpartition("/")
        where = where or own
        if where not in self._world.namespaces:
            return f"there is no namespace {where}"
        known = self._accounts.get(where)
        return f"there is no ServiceAccount {where}/{name}" if known and name not in known else ""

    def host(self, value: str, own: str) -> str:
        """What is wrong with a host of the cluster; patterns and names from outside may be right."""
        name = value.partition(":")[0].lower()
        if "*" in name or name == "localhost" or not self._is_inside(name):
            return ""
        return (
            "" if any(self._is_known(full) for full in self._full(name, own)) else f"there is no host {name}"
        )

    def _is_inside(self, name: str) -> bool:
        """Whether a name is one that only a Service of the cluster has."""
        parts = name.removesuffix(f".{CLUSTER_DOMAIN}").removesuffix(".svc").split(".")
        return len(parts) == 1 or (len(parts) == 2 and (parts[1] in self._world.namespaces or ".svc" in name))

    def _full(self, name: str, own: str) -> Sequence[str]:
        short = name.removesuffix(f".{CLUSTER_DOMAIN}").removesuffix(".svc")
        if "." in short:
            return (f"{short}.svc.{CLUSTER_DOMAIN}", name)
        mesh_wide = own == self._world.registry.root_namespace
        return [name, *(full_host(short, each) for each in (self._world.namespaces if mesh_wide else (own,)))]

    def _is_known(self, host: str) -> bool:
        registry = self._world.registry
        named = (services_by_host(registry), entries_by_host(registry), of_the_mesh(registry))
        return any(host in each for each in named) or any(
            covers(pattern, host) for pattern in entries_by_host(registry) if pattern.startswith("*.")
        )
