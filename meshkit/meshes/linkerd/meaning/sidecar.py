"""Translate Services, Gateway API routes and annotations to the proxy model, as Linkerd does.

Follows Linkerd's policy controller: a route hangs on a Service (producer routes in the Service's namespace
hold for all callers, consumer routes for their own namespace), rules are ranked as Gateway API says, versions
are Services of their own, and a rule with a filter Linkerd does not know drops the *whole* route in silence.
Here that silence is an Event. No retries and no timeouts unless asked for; the load balancer is always
latency-aware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshkit.facts import Kind
from meshkit.kube.pods import has_sidecar
from meshkit.meshes.gateway_api.meaning import matches as gateway_api
from meshkit.meshes.gateway_api.meaning.matches import matches_of, rank
from meshkit.meshes.gateway_api.meaning.routes import attached, parents_of, route_of
from meshkit.meshes.linkerd.meaning import authorization as linkerd_authorization
from meshkit.meshes.linkerd.meaning.authorization import GROUP as POLICY_GROUP
from meshkit.meshes.linkerd.meaning.authorization import inbound
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.linkerd.meaning.route_status import has_cluster_address, statuses
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.hosts import domains_of, host_of
from meshkit.meshes.model.outbound import (
    Backend,
    Cluster,
    Endpoint,
    Match,
    Object,
    Outbound,
    Outlier,
    Problem,
    Retry,
    Route,
    VirtualHost,
    cluster_name,
)
from meshkit.meshes.model.pods import is_control_plane, service_account
from meshkit.meshes.model.registry import Registry, age_of
from meshkit.meshes.model.translation import Translation

__all__ = ["KINDS", "PROXY", "caller_of", "inbound", "outbound", "statuses"]
KINDS: Mapping[str, Kind] = {
    "pods": Kind("v1", "Pod"),
    "services": Kind("v1", "Service"),
    "endpointslices": Kind("discovery.k8s.io/v1", "EndpointSlice"),
    **gateway_api.KINDS,
    **linkerd_authorization.KINDS,
}
_HEADERS = {"RequestHeaderModifier", "ResponseHeaderModifier"}
_FILTERS = {"HTTPRoute": {*_HEADERS, "RequestRedirect"}, "GRPCRoute": _HEADERS}
_KINDS: Mapping[str, tuple[str, ...]] = {
    "": ("GRPCRoute", "HTTPRoute"),
    "kubernetes.io/h2c": ("GRPCRoute", "HTTPRoute"),
    "http": ("HTTPRoute",),
}
_GRPC_STATUSES = {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
_Taken = Mapping[str, list[tuple[Object, str]]]
"""Kind -> the routes that Linkerd takes, each with its group, the oldest first."""
_TRANSPORT_ERRORS = ("connect-failure", "refused-stream", "reset")
_TO_ANOTHER_ENDPOINT = Retry(
    attempts=3, retry_on=("connect-failure",), avoid_previous_hosts=True, backoff_s=0.005
)
"""No retry in Linkerd's sense: its balancer gives requests only to endpoints that it has a connection to. So
a request that met one that cannot be connected to goes to another.
"""


def caller_of(registry: Registry, pod: Object) -> str:
    """The caller for a pod, which is its namespace in Linkerd."""
    del registry
    return str(pod["metadata"]["namespace"])


def outbound(registry: Registry, namespace: str) -> Outbound:
    """The outbound configuration of the sidecars of one namespace."""
    work = Translation(registry, namespace)
    work.problems += linkerd_authorization.problems(registry)
    clusters: dict[str, Cluster] = {}
    for service in registry.of("services"):
        for port in service["spec"].get("ports") or ():
            cluster = _cluster(work, service, port)
            clusters[cluster.name] = cluster
    taken = _taken(work)
    hosts = []
    for service in registry.of("services"):
        for port in service["spec"].get("ports") or ():
            number = int(port["port"])
            routes = tuple(_routes(work, service, port, taken, clusters))
            hosts.append(
                VirtualHost(host_of(service), number, domains_of(service, number, namespace), routes)
            )
    return Outbound(tuple(hosts), tuple(clusters.values()), tuple(work.problems))


def _taken(work: Translation) -> _Taken:
    found: dict[str, list[tuple[Object, str]]] = {}
    for resource, (group, kind) in linkerd_authorization.ROUTES.items():
        usable = [(item, group) for item in work.registry.of(resource) if _usable(work, item, kind, group)]
        found.setdefault(kind, []).extend(usable)
    for items in found.values():
        items.sort(key=lambda pair: age_of(pair[0]))
    return found


def _cluster(work: Translation, service: Object, port: Mapping[str, Any]) -> Cluster:
    namespace = service["metadata"]["namespace"]
    accounts = sorted({service_account(pod) for pod in work.registry.pods_of(service)})
    return Cluster(
        name=cluster_name(int(port["port"]), "", host_of(service)),
        endpoints=tuple(
            Endpoint(b.address, b.port, b.pod is not None and _is_meshed(b.pod))
            for b in work.registry.backings(service, port)
        ),
        identities=tuple(PROXY.identity(namespace, account) for account in accounts),
        outlier=_failure_accrual(work, service),
    )


def _is_meshed(pod: Object) -> bool:
    return has_sidecar(pod, PROXY.container) and not is_control_plane(pod, PROXY)


def _failure_accrual(work: Translation, service: Object) -> Outlier | None:
    """Linkerd's consecutive failure accrual. A value that will not parse means none, as there."""
    prefix = "balancer.linkerd.io/failure-accrual"
    notes = service["metadata"].get("annotations") or {}
    if notes.get(prefix) != "consecutive":
        if prefix in notes:
            work.ignore(service, f"annotation {prefix}: only 'consecutive' is carried out by the sandbox.")
        return None
    try:
        return Outlier(
            consecutive_5xx=int(notes.get(f"{prefix}-consecutive-max-failures", 7)),
            interval_s=0.1,
            base_ejection_s=duration_s(notes.get(f"{prefix}-consecutive-min-penalty", "1s")) or 1.0,
            max_ejection_s=duration_s(notes.get(f"{prefix}-consecutive-max-penalty", "1m")) or 60.0,
            max_ejection_percent=100,
        )
    except ValueError as problem:
        work.ignore(service, f"annotation {prefix}-*: {problem}; the Service has no circuit breaker.")
        return None


def _usable(work: Translation, item: Object, kind: str, group: str) -> bool:
    """Whether Linkerd takes the route at all."""
    if not parents_of(item):
        return False
    for index, rule in enumerate(item["spec"].get("rules") or ()):
        where = f"spec.rules[{index}]"
        refs = rule.get("backendRefs") or ()
        filters = [*(rule.get("filters") or ()), *(f for ref in refs for f in ref.get("filters") or ())]
        for entry in filters:
            if entry["type"] not in _FILTERS[kind]:
                message = f"{where} has the filter {entry['type']}: Linkerd drops the whole route."
                work.problems.append(Problem(item, "RouteDropped", message))
                return False
            if group == POLICY_GROUP and entry["type"] == "ResponseHeaderModifier":
                message = f"{where}: Linkerd takes a ResponseHeaderModifier of this kind for one of requests."
                work.problems.append(Problem(item, "FilterConfused", message))
        ignored = [name for name in ("retry", "sessionPersistence") if rule.get(name)]
        ignored += ["timeouts.backendRequest"] if (rule.get("timeouts") or {}).get("backendRequest") else []
        for name in ignored:
            work.problems.append(Problem(item, "IgnoredField", f"{where}.{name} is ignored by Linkerd."))
    return True


def _routes(
    work: Translation,
    service: Object,
    port: Mapping[str, Any],
    taken: _Taken,
    clusters: Mapping[str, Cluster],
) -> list[Route]:
    """The rules of all routes on one Service port, in Gateway API's order of precedence.

    Only one kind is served: gRPC's before HTTP's. Without any route it is the Service itself.
    """
    number = int(port["port"])
    for kind in _kinds(work, service, port, taken):
        ranked: list[tuple[tuple[Any, ...], Route]] = []
        items = [
            (item, group)
            for item, group in taken.get(kind, ())
            if item["metadata"]["namespace"] in (service["metadata"]["namespace"], work.namespace)
            and attached(item, service, number)
            and has_cluster_address(service)
        ]
        for age, (item, group) in enumerate(items):
            for index, rule in enumerate(item["spec"].get("rules") or ()):
                for match in matches_of(rule, kind):
                    route = _route(work, service, item, index, _as_read(rule, group), match, clusters)
                    ranked.append(((*rank(match), age, index), route))
        if items:
            return [route for _, route in sorted(ranked, key=lambda pair: pair[0])]
    name = cluster_name(number, "", host_of(service))
    timeout_s, retry = _reliability(work, service, None, {})
    return [Route("default", (Match(),), (Backend(name, 1),), timeout_s=timeout_s, retry=retry)]


def _kinds(work: Translation, service: Object, port: Mapping[str, Any], taken: _Taken) -> tuple[str, ...]:
    """The kinds of routes that Linkerd looks for on a port, by its appProtocol."""
    protocol = str(port.get("appProtocol") or "").lower()
    if protocol in _KINDS:
        return _KINDS[protocol]
    if any(attached(item, service, int(port["port"])) for found in taken.values() for item, _ in found):
        message = (
            f"port {port['port']}: Linkerd takes appProtocol {protocol!r} for plain TCP; no route holds."
        )
        work.problems.append(Problem(service, "OpaquePort", message))
    return ()


def _as_read(rule: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    """A rule as Linkerd reads it: in routes of its own kind it takes response filters for request filters."""
    if group != POLICY_GROUP:
        return rule
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": entry.get("responseHeaderModifier")}
        if entry["type"] == "ResponseHeaderModifier"
        else entry
        for entry in rule.get("filters") or ()
    ]
    return {**rule, "filters": filters}


def _route(
    work: Translation,
    service: Object,
    item: Object,
    index: int,
    rule: Mapping[str, Any],
    match: Match,
    clusters: Mapping[str, Cluster],
) -> Route:
    route = route_of(work, item, index, rule, match, clusters)
    if route.redirect:
        return route
    timeout_s, retry = _reliability(work, service, item, rule.get("timeouts") or {})
    return replace(route, timeout_s=timeout_s, retry=retry)


def _reliability(
    work: Translation, service: Object, item: Object | None, timeouts: Mapping[str, str]
) -> tuple[float | None, Retry | None]:
    """Timeout and retries of a route.

    A route's annotations replace all of the Service's and take precedence over timeouts.request.
    """
    own = (item["metadata"].get("annotations") or {}) if item else {}
    general = service["metadata"].get("annotations") or {}
    try:
        timing = own if any(key.startswith("timeout.linkerd.io/") for key in own) else general
        for name in ("response", "idle"):
            if f"timeout.linkerd.io/{name}" in timing:
                work.ignore(item or service, f"annotation timeout.linkerd.io/{name} is not carried out.")
        request_s = duration_s(timing.get("timeout.linkerd.io/request")) or duration_s(
            timeouts.get("request")
        )
        retrying = own if any(key.startswith("retry.linkerd.io/") for key in own) else general
        return request_s, _retry(retrying)
    except ValueError as problem:
        work.ignore(item or service, f"retry and timeout annotations: {problem}; they have no effect.")
        return None, None


def _retry(notes: Mapping[str, str]) -> Retry:
    """By HTTP status, by gRPC status, or both; once unless a limit is given."""
    conditions: list[str] = []
    statuses: list[int] = []
    for text in _listed(notes.get("retry.linkerd.io/http")):
        if text in ("5xx", "gateway-error"):
            conditions.append(text)
        else:
            first, _, last = text.partition("-")
            statuses += range(int(first), int(last or first) + 1)
    for text in _listed(notes.get("retry.linkerd.io/grpc")):
        if text not in _GRPC_STATUSES:
            raise ValueError(f"{text!r} is no gRPC status to retry on")
        conditions.append(text)
    if not conditions and not statuses:
        return _TO_ANOTHER_ENDPOINT
    return Retry(
        attempts=int(notes.get("retry.linkerd.io/limit", "1")),
        retry_on=(*conditions, *_TRANSPORT_ERRORS),
        statuses=tuple(statuses),
        per_try_timeout_s=duration_s(notes.get("retry.linkerd.io/timeout")),
        avoid_previous_hosts=False,
    )


def _listed(written: str | None) -> list[str]:
    return [part.strip() for part in (written or "").split(",") if part.strip()]
