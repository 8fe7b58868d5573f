"""HTTPLocalRateLimitPolicy: how many requests a second each pod of a Server takes, and from whom.

The oldest policy of a Server counts. A limit of 0 is none, as Linkerd's proxy reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Kind
from meshkit.meshes.linkerd.meaning import protocols
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.model.inbound import CallerLimit, RateLimit
from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry, age_of

_GROUP = "policy.linkerd.io"
_LIMITS = "httplocalratelimitpolicies.policy"
KINDS: Mapping[str, Kind] = {_LIMITS: Kind(f"{_GROUP}/v1alpha1", "HTTPLocalRateLimitPolicy")}
IGNORED = "RateLimitIgnored"


def of_server(registry: Registry, server: Object) -> RateLimit | None:
    """The limit of the HTTP port of a Server; None without a policy that limits anything."""
    policies = _policies(registry, server)
    if not policies:
        return None
    meta, spec = policies[0]["metadata"], policies[0]["spec"]
    limit = RateLimit(
        meta["name"],
        _rate(spec.get("total")),
        _rate(spec.get("identity")),
        tuple(_overrides(spec, meta["namespace"])),
    )
    return limit if limit.total_rps or limit.caller_rps or limit.overrides else None


def problems(registry: Registry) -> Iterator[Problem]:
    """Problems for the policies that limit nothing."""
    for item in registry.of(_LIMITS):
        target, namespace = item["spec"]["targetRef"], item["metadata"]["namespace"]
        name = target["name"]
        server = registry.find("servers.policy", namespace, name) if target["kind"] == "Server" else None
        if server is None:
            message = f"spec.targetRef: there is no {target['kind']} {namespace}/{name} to limit."
            yield Problem(item, IGNORED, message)
        elif protocols.of_server(server) == "tcp":
            message = f"Linkerd reads no requests at the port of Server {name}: none is limited."
            yield Problem(item, IGNORED, message)
        elif (older := _policies(registry, server)[0]) is not item:
            message = f"Server {name} has an older one, {older['metadata']['name']}; this one is ignored."
            yield Problem(item, IGNORED, message)


def _policies(registry: Registry, server: Object) -> list[Object]:
    meta = server["metadata"]
    found = (
        item
        for item in registry.of(_LIMITS, meta["namespace"])
        if (item["spec"]["targetRef"]["kind"], item["spec"]["targetRef"]["name"]) == ("Server", meta["name"])
    )
    return sorted(found, key=age_of)


def _rate(limit: Mapping[str, Any] | None) -> int | None:
    return int((limit or {}).get("requestsPerSecond") or 0) or None


def _overrides(spec: Mapping[str, Any], namespace: str) -> Iterator[CallerLimit]:
    for entry in spec.get("overrides") or ():
        callers = tuple(
            PROXY.identity(each.get("namespace") or namespace, each["name"])
            for each in entry["clientRefs"]
            if each["kind"] == "ServiceAccount"
        )
        if callers and (rate := _rate(entry)):
            yield CallerLimit(callers, rate)
