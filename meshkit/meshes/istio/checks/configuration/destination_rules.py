"""Checks of DestinationRules: their host, their subsets, and rules that others keep from having effect."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.istio.checks.configuration.problems import findings_of
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning.destinations.rules import selector_of, unreached, void_policies
from meshkit.meshes.istio.meaning.perspective import entries_by_host, services_by_host
from meshkit.meshes.istio.meaning.visibility import covers
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, full_host
from meshkit.meshes.model.outbound import Problem

_ALMOST = 0.85
"""How alike a name must be to a known host to count as a misspelling of it, from 0 to 1."""


def check(world: World) -> Iterator[Finding]:
    """Find rules for unknown hosts, subsets without pods, what is there twice, and unverified servers."""
    known = {**services_by_host(world.registry), **entries_by_host(world.registry)}
    yield from _unknown_hosts(world, known)
    problems: list[Problem] = []
    for rule in world.registry.of("destinationrules"):
        host = full_host(str(rule["spec"].get("host", "")).lower(), _namespace(rule))
        yield from _unverified(rule)
        if host in known and rule["spec"].get("subsets"):
            yield from _empty_subsets(world, host, rule, problems)
    yield from findings_of(problems)
    yield from _void_policies(world)


def _unknown_hosts(world: World, known: Mapping[str, Any]) -> Iterator[Finding]:
    """Find rules for Services that do not exist, and for names outside that are almost a known one.

    Any other name outside may be one that callers use without a ServiceEntry.
    """
    wild = [pattern for pattern in known if pattern.startswith("*")]
    for problem in unreached(world.registry, known):
        host = full_host(str(problem.object["spec"].get("host", "")).lower(), _namespace(problem.object))
        inside = host.endswith(f".svc.{CLUSTER_DOMAIN}")
        meant = inside or difflib.get_close_matches(host, known, n=1, cutoff=_ALMOST)
        if meant and not any(covers(pattern, host) for pattern in wild):
            yield from findings_of([problem])


def _namespace(item: Object) -> str:
    return str(item["metadata"]["namespace"])


def _empty_subsets(world: World, host: str, rule: Object, problems: list[Problem]) -> Iterator[Finding]:
    """Find subsets that select no pod and that no VirtualService routes to: another code tells of those."""
    for perspective in world.perspectives(host, namespace=_namespace(rule)):
        if host not in perspective.hosts:
            continue
        found = perspective.hosts[host]
        effective = perspective.rules.of(found)
        problems += [each for each in perspective.work.problems if each.reason == "DuplicateSubset"]
        for name, labels in effective.subsets.items():
            mine = name and effective.sources[name] is rule and (host, name) not in world.routed_subsets
            if mine and world.servers(found, labels) == []:
                message = f"subset {name} of {host} selects no pod."
                yield codes.finding(codes.SUBSET_SELECTS_NOTHING, title(rule), message)
        return


def _void_policies(world: World) -> Iterator[Finding]:
    """Find rules whose trafficPolicy holds for no caller, because of another rule of their namespace."""
    exports = world.mesh.exports.get("destinationrules", ())
    for host, rule, other, is_older in void_policies(world.registry, exports):
        private = any(each["spec"].get("workloadSelector") is not None for each in (rule, other))
        if is_older and selector_of(other) and not selector_of(rule):
            why = "has another and a workloadSelector, and such rules come before those without one"
        elif is_older:
            why = "is older and has another"
        elif private:
            why = (
                "is younger, and a rule with a workloadSelector holds in its own namespace only: it is not"
                " merged with one that others see"
            )
        else:
            why = "is younger, and rules that are exported to different namespaces are not merged"
        message = f"its trafficPolicy has no effect for {host}: {title(other)} {why}."
        yield codes.finding(codes.RIVAL_TRAFFIC_POLICY, title(rule), message)


def _unverified(rule: Object) -> Iterator[Finding]:
    """Find TLS to a server whose certificate is not verified."""
    for where, tls in _tls_settings(rule["spec"]):
        if tls.get("mode") in ("SIMPLE", "MUTUAL") and tls.get("insecureSkipVerify"):
            message = f"{where}.tls verifies no certificate of the server (insecureSkipVerify)."
            yield codes.finding(codes.SERVER_NOT_VERIFIED, title(rule), message)


def _tls_settings(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    policies = [("trafficPolicy", spec.get("trafficPolicy") or {})]
    policies += [
        (f"subset {each['name']}", each.get("trafficPolicy") or {}) for each in spec.get("subsets") or ()
    ]
    for where, policy in policies:
        yield where, policy.get("tls") or {}
        for entry in policy.get("portLevelSettings") or ():
            yield f"{where}.portLevelSettings {entry['port']['number']}", entry.get("tls") or {}
