"""Plan the VirtualService and the DestinationRule of a Route.

Both hold for the Route's port only: rules match it, and policies are settings of the port. What another Route
wrote for another port of the Service stays. Requests to a subset fail with status 503 while no
DestinationRule defines it, so new subsets are applied before the rules, and retired ones are removed after
them. Sent in one push, new rules would be in force some tens of milliseconds before their subsets, so the
proxies get time to learn of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.base import kind
from meshkit.intent.release import Release
from meshkit.intent.traffic import Fault, LoadBalancing, Retries, Route
from meshkit.kube import manifests
from meshkit.kube.steps import Step
from meshkit.meshes.gateway_api.routes import duration
from meshkit.meshes.istio.meaning.hosts import protocol_of, read_as

VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")
DESTINATION_RULE = Kind("networking.istio.io/v1", "DestinationRule")

SETTLE_S = 1.0
"""istiod collects changes for 0.1 s and sends them to every proxy within some tenths of a second."""
_RETRY_ON = {
    "gateway-error": "gateway-error,connect-failure,refused-stream",
    "5xx": "5xx,connect-failure,refused-stream",
}


def plan(route: Route, snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps of a Route: the subsets and their policy, then the rules.

    Subsets that the Route does not have any more stay until the rules are in force, and are removed last.
    Raises ``BadInput`` for a port that Istio treats as plain TCP.
    """
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
    policy = _traffic_policy(route)
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
        for entry in rule.get("route") or ():
            yield entry["destination"].get("subset", "")


def _traffic_policy(route: Route) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    if route.load_balancing:
        policy["loadBalancer"] = _load_balancer(route.load_balancing)
    if route.connection_limits:
        limits = route.connection_limits
        http = {
            "http1MaxPendingRequests": limits.max_pending_requests,
            "http2MaxRequests": limits.max_requests,
            "maxRequestsPerConnection": limits.max_requests_per_connection,
        }
        pool = {"tcp": _given({"maxConnections": limits.max_connections}), "http": _given(http)}
        policy["connectionPool"] = {key: value for key, value in pool.items() if value}
    if route.outlier_detection:
        outlier = route.outlier_detection
        policy["outlierDetection"] = {
            "consecutive5xxErrors": outlier.consecutive_5xx,
            "interval": duration(outlier.interval_s),
            "baseEjectionTime": duration(outlier.base_ejection_s),
            "maxEjectionPercent": int(outlier.max_ejection_percent),
        }
        # Otherwise outlier detection would also enable locality failover, which the intent does not ask for.
        policy.setdefault("loadBalancer", {})["localityLbSetting"] = {"enabled": False}
    return policy


def _load_balancer(wanted: LoadBalancing) -> dict[str, Any]:
    if wanted.hash_header:
        return {"consistentHash": {"httpHeaderName": wanted.hash_header}}
    return {"simple": str(wanted.algorithm).upper()}


def _virtual_service(route: Route, kept: Sequence[Object]) -> dict[str, Any]:
    http = [
        _http_route(
            route,
            f"{route.name}-match-{number}",
            {match.version: None},
            headers={match.header.lower(): {"exact": match.value}},
        )
        for number, match in enumerate(route.matches, start=1)
    ]
    http.append(_http_route(route, route.name, route.weights()))
    by_port = sorted([*kept, *http], key=lambda rule: min(_ports_of([rule])))
    spec = {"hosts": [route.service], "http": by_port}
    return manifests.obj(VIRTUAL_SERVICE, route.service, route.namespace, spec=spec)


def _http_route(
    route: Route, name: str, weights: Mapping[str, int | None], **conditions: Any
) -> dict[str, Any]:
    destinations = [
        _given(
            {
                "destination": {
                    "host": route.service,
                    "subset": version,
                    "port": {"number": route.port},
                },
                "weight": weight,
            }
        )
        for version, weight in weights.items()
    ]
    return _given(
        {
            "name": name,
            "match": [{**conditions, "port": route.port}],
            "route": destinations,
            "timeout": None if route.timeout_s is None else duration(route.timeout_s),
            "retries": _retries(route.retries),
            "fault": _fault(route.fault),
        }
    )


def _retries(retries: Retries | None) -> dict[str, Any] | None:
    if retries is None:
        return None
    per_try = None if retries.per_try_timeout_s is None else duration(retries.per_try_timeout_s)
    if not retries.attempts:
        return {"attempts": 0}
    return _given({"attempts": retries.attempts, "perTryTimeout": per_try, "retryOn": _RETRY_ON[retries.on]})


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    parts: dict[str, Any] = {}
    if fault.delay_s is not None:
        percentage = {"value": fault.delay_percent}
        parts["delay"] = {"fixedDelay": duration(fault.delay_s), "percentage": percentage}
    if fault.abort_status is not None:
        parts["abort"] = {"httpStatus": fault.abort_status, "percentage": {"value": fault.abort_percent}}
    return parts


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
