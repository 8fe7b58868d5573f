"""Translate the AuthorizationPolicies that apply to a pod.

DENY before ALLOW; without any ALLOW for the pod all is allowed, with one only what one of them names. A
policy in the root namespace holds for the whole mesh. A rule of an ALLOW policy that cannot be judged never
holds: leaving a condition out would let in whom it was meant to keep out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from meshkit.kube.selectors import contains
from meshkit.meshes.model.inbound import All, Authorization, Condition, Policy, Rule, Subject
from meshkit.meshes.model.outbound import Object, Problem, StringMatch
from meshkit.meshes.model.registry import Registry

DRY_RUN = "istio.io/dry-run"
_Matcher = Callable[[str, str], StringMatch]
"""From a written value and the policy's namespace to what is compared."""


def authorization_of(registry: Registry, pod: Object) -> Authorization:
    """All policies that hold for a pod."""
    by_action: dict[str, list[Policy]] = {"ALLOW": [], "DENY": []}
    for namespace in dict.fromkeys((registry.root_namespace, pod["metadata"]["namespace"])):
        for item in registry.of("authorizationpolicies", namespace):
            action = _spec(item).get("action", "ALLOW")
            if action in by_action and not _is_dry(item) and _holds_for(item, pod):
                by_action[action].append(_policy(item))
    return Authorization(tuple(by_action["DENY"]), tuple(by_action["ALLOW"]) or None)


def problems(registry: Registry) -> tuple[Problem, ...]:
    """Problems for policies and fields without effect."""
    return tuple(
        Problem(item, "NotSupported", message)
        for item in registry.of("authorizationpolicies")
        for message in dict.fromkeys(_without_effect(item))
    )


def _without_effect(item: Object) -> Iterable[str]:
    spec = _spec(item)
    match spec.get("action"):
        case "CUSTOM":
            yield "action CUSTOM: the sandbox has no external authorizer, so the policy is ignored."
        case "AUDIT":
            yield "action AUDIT: the sandbox writes no audit log, and the policy rejects no request."
    if spec.get("targetRef") or spec.get("targetRefs"):
        yield "targetRefs: they select gateways and waypoints; sidecars ignore the policy."
    if _is_dry(item):
        yield f"annotation {DRY_RUN}: the policy is not enforced, and no result is counted."
    for rule in spec.get("rules") or ():
        yield from _unjudged(rule)


def _spec(item: Object) -> Mapping[str, Any]:
    return item.get("spec") or {}


def _is_dry(item: Object) -> bool:
    return (item["metadata"].get("annotations") or {}).get(DRY_RUN) == "true"


def _holds_for(item: Object, pod: Object) -> bool:
    spec = _spec(item)
    if spec.get("targetRef") or spec.get("targetRefs"):
        return False
    return contains(pod["metadata"].get("labels"), (spec.get("selector") or {}).get("matchLabels"))


def _policy(item: Object) -> Policy:
    meta = item["metadata"]
    rules = tuple(_rule(rule, meta["namespace"]) for rule in _spec(item).get("rules") or ())
    return Policy(f"{meta['namespace']}/{meta['name']}", rules)


def _rule(written: Mapping[str, Any], namespace: str) -> Rule:
    sources = tuple(_all(entry.get("source"), _SOURCE, namespace) for entry in written.get("from") or ())
    asked = (entry.get("operation") for entry in written.get("to") or ())
    operations = tuple(_all(operation, _OPERATION, namespace) for operation in asked)
    when = tuple(each for entry in written.get("when") or () for each in _when(entry, namespace))
    return Rule(sources or ((),), operations or ((),), when)


def _all(
    written: Mapping[str, Any] | None, fields: Mapping[str, tuple[Subject, _Matcher]], namespace: str
) -> All:
    found = []
    for name, (subject, matcher) in fields.items():
        negative = f"not{name[0].upper()}{name[1:]}"
        for field, inverted in ((name, False), (negative, True)):
            if values := (written or {}).get(field):
                listed = tuple(matcher(str(value), namespace) for value in values)
                found.append(Condition(subject, listed, inverted=inverted))
    return tuple(found)


def _when(entry: Mapping[str, Any], namespace: str) -> Iterable[Condition]:
    key = str(entry["key"])
    header = re.fullmatch(r"request\.headers\[(.+)\]", key)
    subject, matcher = ("header", _text) if header else _KEYS.get(key, ("nothing", _text))
    for field, inverted in (("values", False), ("notValues", True)):
        if values := entry.get(field):
            listed = tuple(matcher(str(value), namespace) for value in values)
            yield Condition(subject, listed, name=header[1].lower() if header else "", inverted=inverted)


def _unjudged(rule: Mapping[str, Any]) -> Iterable[str]:
    for entry in rule.get("from") or ():
        for field in ("requestPrincipals", "notRequestPrincipals"):
            if (entry.get("source") or {}).get(field):
                yield f"{field}: the sandbox reads no JWT, so no request has a request principal."
    for entry in rule.get("when") or ():
        key = str(entry["key"])
        if key not in _KEYS and not key.startswith("request.headers["):
            yield f"when key {key}: the sandbox cannot know it, so no value of it ever holds."


def _text(value: str, namespace: str) -> StringMatch:
    """``*`` is any value, ``*x`` ends so, ``x*`` begins so."""
    del namespace
    if value == "*":
        return StringMatch("present")
    if value.startswith("*"):
        return StringMatch("suffix", value[1:])
    return StringMatch("prefix", value[:-1]) if value.endswith("*") else StringMatch("exact", value)


def _host(value: str, namespace: str) -> StringMatch:
    found = _text(value, namespace)
    return found if found.kind == "present" else StringMatch(found.kind, found.value, ignore_case=True)


def _path(value: str, namespace: str) -> StringMatch:
    """Templates: ``{*}`` is one segment, ``{**}`` any number of them."""
    if "{*}" not in value and "{**}" not in value:
        return _text(value, namespace)
    parts = re.split(r"(\{\*\*?\})", value)
    return StringMatch("regex", "".join({"{*}": "[^/]+", "{**}": ".*"}.get(p, re.escape(p)) for p in parts))


def _principal(value: str, namespace: str) -> StringMatch:
    found = _text(value, namespace)
    if found.kind in ("present", "suffix"):
        return found
    return StringMatch(found.kind, f"spiffe://{found.value}")


def _namespace(value: str, namespace: str) -> StringMatch:
    del namespace
    return StringMatch("regex", f".*/ns/{_any(value)}/.*")


def _account(value: str, namespace: str) -> StringMatch:
    """``namespace/name``, or a name in the policy's own namespace."""
    where, _, name = value.rpartition("/")
    return StringMatch("regex", f".*/ns/{re.escape(where or namespace)}/sa/{re.escape(name)}")


def _trust_domain(value: str, namespace: str) -> StringMatch:
    del namespace
    return StringMatch("regex", f"spiffe://{_any(value)}/.*")


def _any(value: str) -> str:
    return "[^/]*".join(re.escape(part) for part in value.split("*"))


_SOURCE: Mapping[str, tuple[Subject, _Matcher]] = {
    "principals": ("identity", _principal),
    "namespaces": ("identity", _namespace),
    "serviceAccounts": ("identity", _account),
    "trustDomains": ("identity", _trust_domain),
    "ipBlocks": ("source_ip", _text),
    "remoteIpBlocks": ("remote_ip", _text),
    "requestPrincipals": ("nothing", _text),
}
_OPERATION: Mapping[str, tuple[Subject, _Matcher]] = {
    "hosts": ("host", _host),
    "ports": ("port", _text),
    "methods": ("method", _text),
    "paths": ("path", _path),
}
_KEYS: Mapping[str, tuple[Subject, _Matcher]] = {
    "source.principal": ("identity", _principal),
    "source.namespace": ("identity", _namespace),
    "source.serviceAccount": ("identity", _account),
    "source.trustDomain": ("identity", _trust_domain),
    "source.ip": ("source_ip", _text),
    "remote.ip": ("remote_ip", _text),
    "destination.port": ("port", _text),
    "connection.sni": ("sni", _text),
}
