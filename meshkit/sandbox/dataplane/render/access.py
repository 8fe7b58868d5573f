"""Renders authorization rules as Envoy's RBAC filters.

Every inbound filter chain of HTTP has two empty RBAC filters, first for denying and then for allowing rules;
each route configures them with its own rules. The filters of a TCP port contain their rules, without the
shadow ones, of which connections count no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meshkit.meshes.model.inbound import All, Authorization, Condition, Policy, Rule
from meshkit.meshes.model.outbound import StringMatch
from meshkit.sandbox.dataplane.render.matches import string_matcher
from meshkit.sandbox.dataplane.render.wire import JSON, TYPE, http_filter

DENY, ALLOW = "deny", "allow"
SHADOW = "istio_dry_run_"
"""The prefix of the names of shadow results, as istiod writes it (builder.go of pilot/pkg/security/authz)."""
_OF_CALLER = {"identity", "source_ip", "remote_ip"}
_HEADERS = {"method": ":method", "host": ":authority"}
_RBAC = TYPE + "extensions.filters.http.rbac.v3."
_NETWORK_RBAC = TYPE + "extensions.filters.network.rbac.v3.RBAC"


def rbac_filters() -> list[JSON]:
    """Return the two RBAC filters of an inbound filter chain."""
    return [{**http_filter("rbac", "rbac.v3.RBAC"), "name": name} for name in (DENY, ALLOW)]


def route_rbac(model: Authorization) -> JSON:
    """Return a route's per-filter configuration with its authorization rules, and those that only count."""
    shadows = _both(model.shadow_deny, model.shadow_allow)
    rules = _both(model.deny, model.allow)
    filled: JSON = {}
    for name in (DENY, ALLOW):
        rbac: JSON = {"rules": rules[name]} if name in rules else {}
        if name in shadows:
            rbac |= {"shadow_rules": shadows[name], "shadow_rules_stat_prefix": f"{SHADOW}{name}_"}
        if rbac:
            filled[name] = {"@type": _RBAC + "RBACPerRoute", "rbac": rbac}
    return {"typed_per_filter_config": filled} if filled else {}


def connection_rbac(model: Authorization) -> list[JSON]:
    """Return the network filters that close the connections which the authorization refuses."""
    return [
        {
            "name": "envoy.filters.network.rbac",
            "typed_config": {"@type": _NETWORK_RBAC, "stat_prefix": f"{name}.", "rules": rules},
        }
        for name, rules in _both(model.deny, model.allow).items()
    ]


def _both(deny: tuple[Policy, ...], allow: tuple[Policy, ...] | None) -> dict[str, JSON]:
    """Render the denying and the allowing rules, if there are any."""
    found: dict[str, JSON] = {}
    if deny:
        found[DENY] = _rules("DENY", deny)
    if allow is not None:
        found[ALLOW] = _rules("ALLOW", allow)
    return found


def _rules(action: str, policies: Iterable[Policy]) -> JSON:
    listed = {
        f"{policy.name}#{number}": _policy(rule)
        for policy in policies
        for number, rule in enumerate(policy.rules)
    }
    return {"action": action, "policies": listed}


def _policy(rule: Rule) -> JSON:
    """Render one rule; its ``when`` conditions are added to every permission and principal.

    Envoy requires one matching permission and one matching principal.
    """
    caller = tuple(item for item in rule.when if item.subject in _OF_CALLER)
    request = tuple(item for item in rule.when if item.subject not in _OF_CALLER)
    return {
        "permissions": [_all((*item, *request), "rules", _permission) for item in rule.operations],
        "principals": [_all((*item, *caller), "ids", _principal) for item in rule.sources],
    }


def _all(conditions: All, plural: str, matcher: Callable[[Condition, StringMatch], JSON]) -> JSON:
    if not conditions:
        return {"any": True}
    parts = [_condition(item, plural, matcher) for item in conditions]
    return {f"and_{plural}": {plural: parts}}


def _condition(model: Condition, plural: str, matcher: Callable[[Condition, StringMatch], JSON]) -> JSON:
    negation = f"not_{plural.removesuffix('s')}"
    if model.subject == "nothing" or not model.values:
        any_of: JSON = {negation: {"any": True}}
    else:
        any_of = {f"or_{plural}": {plural: [matcher(model, value) for value in model.values]}}
    return {negation: any_of} if model.inverted else any_of


def _principal(model: Condition, value: StringMatch) -> JSON:
    if model.subject == "identity":
        named = {} if value.kind == "present" else {"principal_name": string_matcher(value)}
        return {"authenticated": named}
    how = "direct_remote_ip" if model.subject == "source_ip" else "remote_ip"
    return {how: _network(value.value)}


def _permission(model: Condition, value: StringMatch) -> JSON:
    match model.subject:
        case "port":
            return {"destination_port": int(value.value)}
        case "sni":
            return {"requested_server_name": string_matcher(value)}
        case "path":
            return {"url_path": {"path": string_matcher(value)}}
    name = _HEADERS.get(model.subject, model.name)
    if value.kind == "present":
        return {"header": {"name": name, "present_match": True}}
    return {"header": {"name": name, "string_match": string_matcher(value)}}


def _network(written: str) -> JSON:
    """Render an address or a network such as ``10.0.0.0/8``."""
    address, _, length = written.partition("/")
    return {"address_prefix": address, "prefix_len": int(length or (128 if ":" in address else 32))}
