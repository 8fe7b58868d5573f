"""Istio's VirtualService: its http routes as a proxy's routes.

No timeout and two retries unless said otherwise; a fault switches both off; a match that cannot be judged
never holds, because leaving a condition out would catch requests that it was meant to keep away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshkit.sandbox.proxies.istio_policy import Policy
from meshkit.sandbox.proxies.model import (
    Backend,
    Cluster,
    Fault,
    HeaderEdits,
    Match,
    MatchKind,
    NamedMatch,
    Object,
    Problem,
    Retry,
    Route,
    StringMatch,
    cluster_name,
)
from meshkit.sandbox.proxies.pods import full_host
from meshkit.sandbox.proxies.quantities import duration_s, percent
from meshkit.sandbox.proxies.translation import Translation

# istio/pilot/pkg/networking/core/route/retry: the policy of a route that names none.
DEFAULT_RETRY = Retry(
    attempts=2,
    retry_on=("connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"),
)
_ROUTE_FIELDS = {"name", "match", "route", "timeout", "retries", "fault", "headers"}
_MATCH_FIELDS = {
    *(
        "name",
        "uri",
        "ignoreUriCase",
        "method",
        "headers",
        "withoutHeaders",
        "queryParams",
        "authority",
        "port",
    ),
    *("sourceNamespace", "gateways"),
}


def plain_route(host: str, port: int, policies: Mapping[str, Policy]) -> Route:
    """The route of a Service port that no VirtualService rules."""
    name = cluster_name(port, "", host)
    return Route(
        "default", (Match(),), (Backend(name, 1),), retry=DEFAULT_RETRY, hash_keys=policies[name].hash_keys
    )


def routes_of(
    work: Translation,
    item: Object,
    port: int,
    clusters: Mapping[str, Cluster],
    policies: Mapping[str, Policy],
) -> tuple[Route, ...]:
    """The http routes of a VirtualService for one port; without any, the Service itself."""
    meta, spec = item["metadata"], item["spec"]
    for other in ("tcp", "tls"):
        if spec.get(other):
            work.ignore(item, f"spec.{other} is not carried out by the sandbox.")
    routes = []
    for index, entry in enumerate(spec.get("http") or ()):
        where = f"spec.http[{index}]"
        for unknown in sorted(set(entry) - _ROUTE_FIELDS):
            work.ignore(item, f"{where}.{unknown} is not carried out by the sandbox.")
        if not entry.get("route"):
            work.ignore(item, f"{where} has no route: the entry is left out.")
            continue
        matches = _matches(work, item, where, entry.get("match"), port)
        if not matches:
            continue
        backends = tuple(_backend(work, item, where, entry["route"], port, clusters))
        hashing = [policies[b.cluster] for b in backends if b.cluster and b.cluster in policies]
        keys = {key for policy in hashing for key in policy.hash_keys}
        fault = _fault(work, item, where, entry.get("fault"))
        headers = entry.get("headers") or {}
        route = Route(
            name=entry.get("name") or f"{meta['name']}-{index}",
            matches=matches,
            backends=backends,
            timeout_s=duration_s(entry.get("timeout")),
            retry=_retry(entry.get("retries")),
            fault=fault,
            request_headers=_header_edits(headers.get("request")),
            response_headers=_header_edits(headers.get("response")),
            hash_keys=tuple(sorted(keys, key=lambda key: (key.source, key.name))),
            owner=f"{meta['namespace']}/{meta['name']}",
        )
        # Istio switches timeouts and retries off on a route with a fault.
        routes.append(replace(route, timeout_s=None, retry=None) if fault else route)
    return tuple(routes)


def _backend(
    work: Translation,
    item: Object,
    where: str,
    destinations: Iterable[Mapping[str, Any]],
    port: int,
    clusters: Mapping[str, Cluster],
) -> Iterable[Backend]:
    listed = list(destinations)
    for index, entry in enumerate(listed):
        target = entry["destination"]
        host = full_host(target["host"], item["metadata"]["namespace"])
        number = int((target.get("port") or {}).get("number") or port)
        subset = target.get("subset", "")
        name = cluster_name(number, subset, host)
        if name not in clusters:
            missing = f"subset {subset!r} of {host}" if subset else f"{host}:{number}"
            message = f"{where}.route[{index}]: there is no {missing}; its requests are answered with 503."
            work.problems.append(Problem(item, "UnknownDestination", message))
        if entry.get("headers"):
            work.ignore(item, f"{where}.route[{index}].headers is not carried out by the sandbox.")
        weight = int(entry.get("weight") or 0)
        yield Backend(name, 1 if len(listed) == 1 else weight)


def _matches(
    work: Translation, item: Object, where: str, written: list[Mapping[str, Any]] | None, port: int
) -> tuple[Match, ...]:
    if not written:
        return (Match(),)
    matches = []
    for index, entry in enumerate(written):
        unknown = sorted(set(entry) - _MATCH_FIELDS)
        if unknown:
            place = f"{where}.match[{index}].{unknown[0]}"
            work.ignore(item, f"{place} is not carried out by the sandbox: this match never holds.")
            continue
        if (
            int(entry.get("port") or port) != port
            or entry.get("sourceNamespace", work.namespace) != work.namespace
        ):
            continue
        if "mesh" not in (entry.get("gateways") or ["mesh"]):
            continue
        headers = [
            NamedMatch(name.lower(), _string(value)) for name, value in (entry.get("headers") or {}).items()
        ]
        headers += [
            NamedMatch(name.lower(), _string(value), invert=True)
            for name, value in (entry.get("withoutHeaders") or {}).items()
        ]
        if entry.get("authority"):
            headers.append(NamedMatch(":authority", _string(entry["authority"])))
        query = [NamedMatch(name, _string(value)) for name, value in (entry.get("queryParams") or {}).items()]
        matches.append(
            Match(
                path=_string(entry["uri"], entry.get("ignoreUriCase", False)) if entry.get("uri") else None,
                method=_string(entry["method"]) if entry.get("method") else None,
                headers=tuple(headers),
                query=tuple(query),
            )
        )
    return tuple(matches)


def _string(value: Mapping[str, str], ignore_case: bool = False) -> StringMatch:
    kinds: tuple[MatchKind, ...] = ("exact", "prefix", "regex")
    for kind in kinds:
        if kind in value:
            return StringMatch(kind, value[kind], ignore_case and kind != "regex")
    return StringMatch("present")


def _retry(written: Mapping[str, Any] | None) -> Retry | None:
    if written is None:
        return DEFAULT_RETRY
    attempts = int(written.get("attempts", 0))
    if attempts == 0:
        return None
    conditions = [part.strip() for part in str(written.get("retryOn") or "").split(",") if part.strip()]
    named = tuple(part for part in conditions if not part.isdigit())
    statuses = tuple(int(part) for part in conditions if part.isdigit())
    return Retry(
        attempts=attempts,
        retry_on=named if conditions else DEFAULT_RETRY.retry_on,
        statuses=statuses,
        per_try_timeout_s=duration_s(written.get("perTryTimeout")) or duration_s(written.get("timeout")),
        backoff_s=duration_s(written.get("backoff")) or DEFAULT_RETRY.backoff_s,
        avoid_previous_hosts=written.get("retryIgnorePreviousHosts", True),
    )


def _fault(work: Translation, item: Object, where: str, written: Mapping[str, Any] | None) -> Fault | None:
    if not written:
        return None
    delay, abort = written.get("delay") or {}, written.get("abort") or {}
    if "grpcStatus" in abort or "http2Error" in abort:
        work.ignore(item, f"{where}.fault.abort: only httpStatus is carried out by the sandbox.")
    return Fault(
        delay_s=duration_s(delay.get("fixedDelay")) or 0.0,
        delay_percent=percent(delay),
        abort_status=int(abort.get("httpStatus") or 0),
        abort_percent=percent(abort),
    )


def _header_edits(written: Mapping[str, Any] | None) -> HeaderEdits:
    edits = written or {}
    return HeaderEdits(
        set=tuple(sorted((edits.get("set") or {}).items())),
        add=tuple(sorted((edits.get("add") or {}).items())),
        remove=tuple(edits.get("remove") or ()),
    )
