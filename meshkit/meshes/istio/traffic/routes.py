"""Plan the VirtualService and the DestinationRule of a Route.

Both hold for the Route's port only: rules match it, and policies are settings of the port. What another Route
wrote for another port of the Service stays. Requests to a subset fail with status 503 while no
DestinationRule defines it, so new subsets are applied before the rules, and retired ones are removed after
them. Sent in one push, new rules would be in force some tens of milliseconds before their subsets, so the
proxies get time to learn of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.balancing import ConnectionLimits, LoadBalancing, OutlierDetection
from meshkit.intent.base import kind
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.kube import manifests
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api.durations import duration
from meshkit.meshes.istio.meaning.hosts import protocol_of, read_as
from meshkit.meshes.istio.traffic.rules import LIMITS, given, http_rules
from meshkit.meshes.routing.capabilities import refuse

VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")
DESTINATION_RULE = Kind("networking.istio.io/v1", "DestinationRule")

SETTLE_S = 1.0
"""istiod collects changes for 0.1 s and sends them to every proxy within some tenths of a second."""


def plan(route: Route, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of a Route: the subsets and their policy, then the rules.

    Subsets that the Route does not have any more stay until the rules are in force, and are removed last.
    Raises ``BadInput`` for a port that Istio treats as plain TCP.
    """
    refuse(route, "Istio", LIMITS)
    refuse_tcp(route, snapshot)
    kept = tuple(_kept_rules(route, snapshot))
    rule = _destination_rule(route, snapshot, kept)
    virtual_service = _virtual_service(route, kept)
    retired = _retired_subsets(rule, snapshot)
    if not retired:
        return (Step(rule, settle_s=SETTLE_S), Step(virtual_service))
    spec = rule["spec"]
    wider = {**rule, "spec": {**spec, "subsets": [*spec["subsets"], *retired]}}
    return (Step(wider, settle_s=SETTLE_S), Step(virtual_service, settle_s=SETTLE_S), Step(rule))


def _retired_subsets(rule: Object, snapshot: Snapshot) -> list[Object]:
    """The subsets of the present DestinationRule that the new one lacks."""
    meta = rule["metadata"]
    present = snapshot.find(DESTINATION_RULE.kind, meta["name"], meta["namespace"]) or {}
    names = {subset["name"] for subset in rule["spec"]["subsets"]}
    return [each for each in (present.get("spec") or {}).get("subsets") or () if each["name"] not in names]


def refuse_tcp(intent: Route | Release, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` for a Route or Release on a port where proxies follow no rules of HTTP."""
    service = snapshot.find("Service", intent.service, intent.namespace) or {}
    for port in (service.get("spec") or {}).get("ports") or ():
        protocol = protocol_of(port)
        if port["port"] == intent.port and read_as(protocol) == "tcp":
            what, name = kind(type(intent)), f"{intent.namespace}/{intent.service}"
            problem = (
                f"Istio takes port {intent.port} of Service {name} for plain TCP, as its protocol is"
                f" {protocol}: the {what} would have no effect."
            )
            remedy = "If the port speaks HTTP, set appProtocol: http on it in the Service."
            raise BadInput(f"{what}.port", problem, remedy=remedy)


def _kept_rules(route: Route, snapshot: Snapshot) -> Iterator[Object]:
    """The rules of the present VirtualService that hold for other ports only."""
    present = snapshot.find(VIRTUAL_SERVICE.kind, route.service, route.namespace) or {}
    for rule in (present.get("spec") or {}).get("http") or ():
        matches = rule.get("match") or [{}]
        if all(match.get("port") not in (None, route.port) for match in matches):
            yield rule


def _destination_rule(route: Route, snapshot: Snapshot, kept: Sequence[Object]) -> dict[str, Any]:
    """The subsets of this Route and those that the kept rules use, and the settings of each port."""
    present = snapshot.find(DESTINATION_RULE.kind, route.service, route.namespace) or {}
    spec = present.get("spec") or {}
    subsets = [{"name": version.name, "labels": version.pod_labels()} for version in route.versions]
    names, used = {version.name for version in route.versions}, set(_subsets_of(kept))
    subsets += [each for each in spec.get("subsets") or () if each["name"] in used - names]
    others = _ports_of(kept)
    settings = [
        each
        for each in (spec.get("trafficPolicy") or {}).get("portLevelSettings") or ()
        if each["port"]["number"] in others
    ]
    policy = traffic_policy(route)
    if policy:
        settings.append({"port": {"number": route.port}, **policy})
    body: dict[str, Any] = {"host": route.service, "subsets": subsets}
    if settings:
        body["trafficPolicy"] = {
            "portLevelSettings": sorted(settings, key=lambda each: int(each["port"]["number"]))
        }
    return manifests.obj(DESTINATION_RULE, route.service, route.namespace, spec=body)


def _ports_of(rules: Iterable[Object]) -> set[int]:
    return {match["port"] for rule in rules for match in rule["match"]}


def _subsets_of(rules: Iterable[Object]) -> Iterator[str]:
    for rule in rules:
        for entry in (*(rule.get("route") or ()), *(rule.get("mirrors") or ())):
            yield entry["destination"].get("subset", "")


def traffic_policy(route: Route) -> dict[str, Any]:
    """The ``trafficPolicy`` of a Route's port; empty where the Route has no policy."""
    policy: dict[str, Any] = {}
    balancing = route.load_balancing
    if balancing:
        policy["loadBalancer"] = _load_balancer(balancing)
    if route.connection_limits:
        policy["connectionPool"] = _connection_pool(route.connection_limits)
    if route.outlier_detection:
        policy["outlierDetection"] = _outlier_detection(route.outlier_detection)
        if not (balancing and (balancing.failover or balancing.distribute)):
            # Else outlier detection would also enable locality failover, which the intent does not ask for.
            policy.setdefault("loadBalancer", {})["localityLbSetting"] = {"enabled": False}
    return policy


def _load_balancer(wanted: LoadBalancing) -> dict[str, Any]:
    cookie = wanted.hash_cookie
    hashed = {
        "httpHeaderName": wanted.hash_header,
        "httpQueryParameterName": wanted.hash_query,
        "useSourceIp": wanted.hash_source,
        "httpCookie": cookie
        and given(
            {
                "name": cookie.name,
                "path": cookie.path,
                "ttl": None if cookie.ttl_s is None else duration(cookie.ttl_s),
            }
        ),
    }
    locality = {
        "enabled": True,
        "failover": [{"from": here, "to": there} for here, there in wanted.failover.items()] or None,
        "distribute": [{"from": here, "to": dict(shares)} for here, shares in wanted.distribute.items()]
        or None,
    }
    return given(
        {
            "simple": wanted.algorithm and wanted.algorithm.upper(),
            "consistentHash": given(hashed) or None,
            "warmup": wanted.warm_up_s and {"duration": duration(wanted.warm_up_s)},
            "localityLbSetting": given(locality) if wanted.failover or wanted.distribute else None,
        }
    )


def _connection_pool(limits: ConnectionLimits) -> dict[str, Any]:
    alive = limits.keepalive
    tcp = {
        "maxConnections": limits.max_connections,
        "connectTimeout": limits.connect_timeout_s and duration(limits.connect_timeout_s),
        "tcpKeepalive": alive
        and given(
            {
                "probes": alive.probes,
                "time": alive.time_s and duration(alive.time_s),
                "interval": alive.interval_s and duration(alive.interval_s),
            }
        ),
    }
    http = {
        "http1MaxPendingRequests": limits.max_pending_requests,
        "http2MaxRequests": limits.max_requests,
        "maxRequestsPerConnection": limits.max_requests_per_connection,
        "maxRetries": limits.max_retries,
        "idleTimeout": limits.idle_timeout_s and duration(limits.idle_timeout_s),
        "h2UpgradePolicy": "UPGRADE" if limits.http2 else None,
    }
    pool = {"tcp": given(tcp), "http": given(http)}
    return {key: value for key, value in pool.items() if value}


def _outlier_detection(outlier: OutlierDetection) -> dict[str, Any]:
    least = outlier.min_healthy_percent
    return given(
        {
            "consecutive5xxErrors": outlier.consecutive_5xx,
            "consecutiveGatewayErrors": outlier.consecutive_gateway_errors,
            "interval": duration(outlier.interval_s),
            "baseEjectionTime": duration(outlier.base_ejection_s),
            "maxEjectionPercent": int(outlier.max_ejection_percent),
            "minHealthPercent": None if least is None else int(least),
        }
    )


def _virtual_service(route: Route, kept: Sequence[Object]) -> dict[str, Any]:
    http = http_rules(route)
    by_port = sorted([*kept, *http], key=lambda rule: min(_ports_of([rule])))
    spec = {"hosts": [route.service], "http": by_port}
    return manifests.obj(VIRTUAL_SERVICE, route.service, route.namespace, spec=spec)
