"""Linkerd's meaning: Services, Gateway API HTTPRoutes and annotations as a proxy model.

Follows Linkerd's policy controller: a route hangs on a Service (producer routes in the Service's namespace
hold for all callers, consumer routes for their own namespace), rules are ranked as Gateway API says, versions
are Services of their own, and a rule with a filter Linkerd does not know drops the *whole* route in silence.
Here that silence is an Event. No retries and no timeouts unless asked for; the load balancer is always
latency-aware.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshkit.sandbox.proxies import linkerd_authorization
from meshkit.sandbox.proxies.gateway_api import header_edits, matches_of, rank
from meshkit.sandbox.proxies.linkerd_authorization import inbound
from meshkit.sandbox.proxies.model import (
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
from meshkit.sandbox.proxies.pods import (
    LINKERD,
    Registry,
    domains_of,
    host_of,
    mesh_of,
    service_account,
    workload_identity,
)
from meshkit.sandbox.proxies.quantities import duration_s
from meshkit.sandbox.proxies.translation import Translation

__all__ = ["RESOURCES", "inbound", "outbound"]
RESOURCES = (
    *("namespaces", "pods", "services", "endpointslices.discovery.k8s.io"),
    *("httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io"),
    *linkerd_authorization.RESOURCES,
)
_HEADER_FILTERS = {"RequestHeaderModifier", "ResponseHeaderModifier"}
_TRANSPORT_ERRORS = ("connect-failure", "refused-stream", "reset")


def caller_of(registry: Registry, pod: Object) -> str:
    """What Linkerd tells a pod by when it calls: its namespace."""
    del registry
    return str(pod["metadata"]["namespace"])


def outbound(registry: Registry, namespace: str) -> Outbound:
    """What the sidecars of one namespace do with the requests of their applications."""
    work = Translation(registry, namespace)
    work.problems += linkerd_authorization.problems(registry)
    clusters: dict[str, Cluster] = {}
    for service in registry.of("services"):
        for port in service["spec"].get("ports") or ():
            cluster = _cluster(work, service, port)
            clusters[cluster.name] = cluster
    usable = [item for item in registry.of("httproutes") if _usable(work, item)]
    hosts = []
    for service in registry.of("services"):
        for port in service["spec"].get("ports") or ():
            number = int(port["port"])
            routes = _routes(work, service, number, usable, clusters)
            hosts.append(
                VirtualHost(host_of(service), number, domains_of(service, number, namespace), tuple(routes))
            )
    return Outbound(tuple(hosts), tuple(clusters.values()), tuple(work.problems))


def _cluster(work: Translation, service: Object, port: Mapping[str, Any]) -> Cluster:
    namespace = service["metadata"]["namespace"]
    accounts = sorted({service_account(pod) for pod in work.registry.pods_of(service)})
    return Cluster(
        name=cluster_name(int(port["port"]), "", host_of(service)),
        endpoints=tuple(
            Endpoint(b.address, b.port, b.pod is not None and mesh_of(b.pod) == LINKERD)
            for b in work.registry.backings(service, port)
        ),
        identities=tuple(workload_identity(LINKERD, namespace, account) for account in accounts),
        outlier=_failure_accrual(work, service),
    )


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


def _usable(work: Translation, item: Object) -> bool:
    """Whether Linkerd takes the route at all."""
    if not any(_is_service(parent) for parent in item["spec"].get("parentRefs") or ()):
        return False
    for index, rule in enumerate(item["spec"].get("rules") or ()):
        refs = rule.get("backendRefs") or ()
        filters = [*(rule.get("filters") or ()), *(f for ref in refs for f in ref.get("filters") or ())]
        for entry in filters:
            if entry["type"] == "RequestRedirect":
                work.ignore(item, f"spec.rules[{index}]: RequestRedirect is not carried out by the sandbox.")
            elif entry["type"] not in _HEADER_FILTERS:
                message = (
                    f"spec.rules[{index}] has the filter {entry['type']}: Linkerd drops the whole route."
                )
                work.problems.append(Problem(item, "RouteDropped", message))
                return False
        ignored = [name for name in ("retry", "sessionPersistence") if rule.get(name)]
        ignored += ["timeouts.backendRequest"] if (rule.get("timeouts") or {}).get("backendRequest") else []
        for name in ignored:
            work.problems.append(
                Problem(item, "IgnoredField", f"spec.rules[{index}].{name} is ignored by Linkerd.")
            )
    return True


def _routes(
    work: Translation, service: Object, port: int, items: Iterable[Object], clusters: Mapping[str, Cluster]
) -> list[Route]:
    """The rules of all routes on one Service port, in Gateway API's order of precedence; without any, the
    Service.
    """
    ranked: list[tuple[tuple[Any, ...], Route]] = []
    attached = [item for item in items if _attached(work, item, service, port)]
    for age, item in enumerate(attached):
        for index, rule in enumerate(item["spec"].get("rules") or ()):
            for match in matches_of(rule, "HTTPRoute"):
                route = _route(work, service, item, index, rule, match, clusters)
                ranked.append(((*rank(match), age, index), route))
    if not attached:
        name = cluster_name(port, "", host_of(service))
        timeout_s, retry = _reliability(work, service, None, {})
        return [Route("default", (Match(),), (Backend(name, 1),), timeout_s=timeout_s, retry=retry)]
    return [route for _, route in sorted(ranked, key=lambda pair: pair[0])]


def _attached(work: Translation, item: Object, service: Object, port: int) -> bool:
    meta, own = service["metadata"], item["metadata"]["namespace"]
    if own not in (meta["namespace"], work.namespace):
        return False
    return any(
        _is_service(parent)
        and parent["name"] == meta["name"]
        and parent.get("namespace", own) == meta["namespace"]
        and int(parent.get("port") or port) == port
        for parent in item["spec"].get("parentRefs") or ()
    )


def _is_service(reference: Mapping[str, Any]) -> bool:
    return reference.get("kind") == "Service" and reference.get("group", "") in ("", "core")


def _route(
    work: Translation,
    service: Object,
    item: Object,
    index: int,
    rule: Mapping[str, Any],
    match: Match,
    clusters: Mapping[str, Cluster],
) -> Route:
    meta = item["metadata"]
    timeout_s, retry = _reliability(work, service, item, rule.get("timeouts") or {})
    refs = rule.get("backendRefs") or ()
    backends = tuple(_backend(work, item, index, ref, clusters) for ref in refs)
    return Route(
        name=rule.get("name") or f"{meta['name']}-{index}",
        matches=(match,),
        backends=backends if sum(backend.weight for backend in backends) else (Backend(None, 1),),
        timeout_s=timeout_s,
        retry=retry,
        request_headers=header_edits(rule.get("filters"), "Request"),
        response_headers=header_edits(rule.get("filters"), "Response"),
        owner=f"{meta['namespace']}/{meta['name']}",
    )


def _backend(
    work: Translation,
    item: Object,
    index: int,
    reference: Mapping[str, Any],
    clusters: Mapping[str, Cluster],
) -> Backend:
    namespace = reference.get("namespace", item["metadata"]["namespace"])
    host = f"{reference['name']}.{namespace}.svc.cluster.local"
    name = cluster_name(int(reference.get("port") or 0), "", host)
    weight = int(reference.get("weight", 1))
    if reference.get("kind", "Service") != "Service" or name not in clusters:
        where = f"{host}:{reference.get('port')}"
        message = f"spec.rules[{index}]: there is no Service port {where}; its share is answered with 500."
        work.problems.append(Problem(item, "BackendNotFound", message))
        return Backend(None, weight)
    return Backend(name, weight)


def _reliability(
    work: Translation, service: Object, item: Object | None, timeouts: Mapping[str, str]
) -> tuple[float | None, Retry | None]:
    """Timeout and retries:

    a route's annotations replace all of the Service's, and win over its timeouts.request.
    """
    own = (item["metadata"].get("annotations") or {}) if item else {}
    general = service["metadata"].get("annotations") or {}
    try:
        timing = own if any(key.startswith("timeout.linkerd.io/") for key in own) else general
        request_s = duration_s(timing.get("timeout.linkerd.io/request")) or duration_s(
            timeouts.get("request")
        )
        retrying = own if any(key.startswith("retry.linkerd.io/") for key in own) else general
        return request_s, _retry(retrying)
    except ValueError as problem:
        work.ignore(item or service, f"retry and timeout annotations: {problem}; they have no effect.")
        return None, None


def _retry(notes: Mapping[str, str]) -> Retry | None:
    if "retry.linkerd.io/http" not in notes:
        return None
    conditions: list[str] = []
    statuses: list[int] = []
    for part in notes["retry.linkerd.io/http"].split(","):
        text = part.strip()
        if text in ("5xx", "gateway-error"):
            conditions.append(text)
        else:
            first, _, last = text.partition("-")
            statuses += range(int(first), int(last or first) + 1)
    return Retry(
        attempts=int(notes.get("retry.linkerd.io/limit", "1")),
        retry_on=(*conditions, *_TRANSPORT_ERRORS),
        statuses=tuple(statuses),
        per_try_timeout_s=duration_s(notes.get("retry.linkerd.io/timeout")),
        avoid_previous_hosts=False,
    )
