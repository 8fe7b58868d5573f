"""What meshkit says that the same objects mean, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshkit.meshes.linkerd.meaning import sidecar
from meshkit.meshes.model.inbound import All, InboundRoute
from meshkit.meshes.model.outbound import Backend, Cluster, Outbound, Route, VirtualHost
from meshkit.meshes.model.registry import Registry
from tests.conformance.linkerd import lines

_STATUSES = {"5xx": range(500, 600), "gateway-error": range(502, 505)}
_DOMAIN = ".svc.cluster.local"


def outbound(registry: Registry, service: str, namespace: str, port: int, caller: str) -> dict[str, Any]:
    """What proxies of the namespace ``caller`` do for a port of a Service."""
    whole = sidecar.outbound(registry, caller)
    name = f"{service}.{namespace}{_DOMAIN}"
    (host,) = (each for each in whole.hosts if (each.service, each.port) == (name, port))
    if host.protocol == "tcp":
        return {"protocol": "tcp"}
    told = {"protocol": "http", "routes": list(_routes(host))}
    by_profile = any(route.name == "profile" for route in host.routes)
    return told if by_profile else {**told, "breaker": _breaker(whole, host)}


def _routes(host: VirtualHost) -> Iterator[str]:
    for route in host.routes:
        for match in route.matches:
            yield lines.joined(lines.of_match(match), *_route(route))


def _route(route: Route) -> Iterator[str]:
    if route.redirect:
        yield lines.of_redirect(route.redirect)
        return
    yield lines.of_shares((_backend(each), each.weight) for each in route.backends)
    yield f"timeout {route.timeout_s:g} s" if route.timeout_s else ""
    if retry := route.retry:
        statuses = {code for name in retry.retry_on for code in _STATUSES.get(name, ())}
        yield lines.of_retry(retry.attempts, statuses | set(retry.statuses), retry.per_try_timeout_s)
    yield lines.of_edits("request", route.request_headers)
    yield lines.of_edits("response", route.response_headers)


def _backend(backend: Backend) -> str:
    if backend.cluster is None:
        return lines.LOST
    _, port, _, host = backend.cluster.split("|")
    edits = lines.joined(
        lines.of_edits("request", backend.request_headers),
        lines.of_edits("response", backend.response_headers),
    )
    return f"{host.removesuffix(_DOMAIN)}:{port}" + (f" ({edits})" if edits else "")


def _breaker(whole: Outbound, host: VirtualHost) -> str:
    used = {backend.cluster for route in host.routes for backend in route.backends}
    found = {_breaker_of(cluster) for cluster in whole.clusters if cluster.name in used}
    return " or ".join(sorted(found))


def _breaker_of(cluster: Cluster) -> str:
    if cluster.outlier is None:
        return ""
    found = cluster.outlier
    return lines.of_breaker(found.consecutive_5xx, found.base_ejection_s, found.max_ejection_s)


def endpoints(registry: Registry, service: str, namespace: str, port: int) -> list[str]:
    """The addresses that callers of a port of a Service are led to."""
    name = f"outbound|{port}||{service}.{namespace}{_DOMAIN}"
    clusters = [each for each in sidecar.outbound(registry, namespace).clusters if each.name == name]
    return sorted(f"{each.address}:{each.port}" for cluster in clusters for each in cluster.endpoints)


def inbound(registry: Registry, pod: str, namespace: str, port: int) -> dict[str, Any]:
    """What the proxy of a pod does for one of its ports."""
    found = registry.find("pods", namespace, pod)
    assert found is not None
    (told,) = (each for each in sidecar.inbound(registry, found) if each.port == port)
    server = told.server.replace("/default/", "default/")
    if told.protocol == "tcp":
        (route,) = told.routes
        return {"protocol": "tcp", "server": server, "routes": [lines.of_rights(_rights(route))]}
    routes = [
        lines.joined(lines.of_match(route.match), f"allowed: {lines.of_rights(_rights(route))}")
        for route in told.routes
        if route.status is None
    ]
    return {"protocol": "http", "server": server, "routes": routes}


def _rights(route: InboundRoute) -> Iterator[lines.Right]:
    for policy in route.authorization.allow or ():
        for rule in policy.rules:
            for source in rule.sources:
                where = _where(source)
                yield from ((who, where) for who in _who(source))


def _who(source: All) -> Iterator[str]:
    identities = [each for each in source if each.subject == "identity"]
    if not identities:
        yield lines.ANYONE
    for condition in identities:
        for value in condition.values:
            yield {"present": lines.IN_THE_MESH, "suffix": f"*{value.value}"}.get(value.kind, value.value)


def _where(source: All) -> str:
    networks = [each for each in source if each.subject == "source_ip"]
    inside = [value.value for each in networks if not each.inverted for value in each.values]
    without = [value.value for each in networks if each.inverted for value in each.values]
    return (inside or [lines.EVERYWHERE])[0] + (f" without {', '.join(without)}" if without else "")
