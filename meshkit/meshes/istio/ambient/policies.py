"""What ztunnel and waypoints make of an AuthorizationPolicy.

ztunnel gets policies with a selector, or with none, and no waypoint follows these. It knows callers,
addresses and ports. istiod leaves a rule of an ALLOW policy out that has anything else, so nobody gets in by
it; a rule of a DENY policy holds without what ztunnel does not know; other actions it does not send. A policy
with targetRefs goes to waypoints and gateways alone. (istiod's conversion of policies, Istio 1.31 and 1.32.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshkit.facts import Object
from meshkit.meshes.istio.meaning.authorization import is_dry

_OF_OPERATION = ("hosts", "notHosts", "methods", "notMethods", "paths", "notPaths")
_OF_SOURCE = ("remoteIpBlocks", "notRemoteIpBlocks", "requestPrincipals", "notRequestPrincipals")
_KNOWN_KEYS = frozenset(
    {"source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"}
)


def target_refs(policy: Object) -> Sequence[Mapping[str, Any]]:
    """The objects that a policy names as its targets."""
    spec = policy.get("spec") or {}
    return spec.get("targetRefs") or ([spec["targetRef"]] if spec.get("targetRef") else [])


def is_for_ztunnel(policy: Object) -> bool:
    """Whether ztunnel gets a policy, for pods of the ambient mode."""
    return not target_refs(policy) and not is_dry(policy)


def beyond_ztunnel(policy: Object) -> str:
    """What ztunnel makes of the part of a policy that it does not know; empty if it knows all of it."""
    spec = policy.get("spec") or {}
    action, rules = spec.get("action", "ALLOW"), spec.get("rules") or ()
    if action not in ("ALLOW", "DENY"):
        return f"ztunnel knows no action {action} and does not get the policy"
    unknown = [(number, _unknown(rule)) for number, rule in enumerate(rules)]
    lacking = [(number, fields) for number, fields in unknown if fields]
    if not lacking:
        return ""
    where = " and ".join(f"spec.rules[{number}]" for number, _ in lacking)
    named = ", ".join(dict.fromkeys(field for _, fields in lacking for field in fields))
    begin = f"{where}: ztunnel knows no {named}"
    if action == "ALLOW":
        if len(lacking) == len(rules):
            return f"{begin} and leaves the rule out; no rule remains, so it refuses every connection"
        return f"{begin} and leaves the rule out, so it refuses what only that rule lets in"
    if any(_rest(rules[number]) for number, _ in lacking):
        return f"{begin}; the rest of the rule holds without it and refuses more"
    return f"{begin}; nothing of the rule remains, so it is not enforced"


def _unknown(rule: Mapping[str, Any]) -> list[str]:
    """The fields of a rule that ztunnel does not know."""
    return [
        *_fields(rule, "to", "operation", _OF_OPERATION),
        *_fields(rule, "from", "source", _OF_SOURCE),
    ] + [str(entry["key"]) for entry in rule.get("when") or () if entry["key"] not in _KNOWN_KEYS]


def _fields(rule: Mapping[str, Any], part: str, inner: str, names: Sequence[str]) -> Iterator[str]:
    for entry in rule.get(part) or ():
        yield from (name for name in names if (entry.get(inner) or {}).get(name))


def _rest(rule: Mapping[str, Any]) -> bool:
    """Whether a rule has fields that ztunnel knows."""
    parts = (("to", "operation", _OF_OPERATION), ("from", "source", _OF_SOURCE))
    known = any(
        set(entry.get(inner) or {}) - set(names)
        for part, inner, names in parts
        for entry in rule.get(part) or ()
    )
    return known or any(entry["key"] in _KNOWN_KEYS for entry in rule.get("when") or ())
