"""The conditions and actions of routes in words, for traces of requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from meshkit.meshes.model.outbound import (
    Cluster,
    Fault,
    HeaderEdits,
    Match,
    NamedMatch,
    OriginTLS,
    Retry,
    Route,
    StringMatch,
)

EVERY_REQUEST = "every request"
_PSEUDO_HEADERS = {":authority": "host", ":path": "path", ":method": "method", ":scheme": "scheme"}
_VERBS = {
    "exact": "is {}",
    "prefix": "starts with {}",
    "suffix": "ends with {}",
    "segments": "is or is below {}",
    "regex": "matches {}",
    "present": "is present",
}


def conditions(match: Match) -> str:
    """The conditions of a match: ``path starts with /api, header x-user is jason``."""
    parts = []
    if match.path and not _is_any(match.path):
        parts.append(_says("path", match.path))
    if match.method:
        parts.append(_says("method", match.method))
    parts += [_named("header", each) for each in match.headers]
    parts += [_named("query parameter", each) for each in match.query]
    return ", ".join(parts) or EVERY_REQUEST


def actions(route: Route) -> tuple[str, ...]:
    """What a route does with a request besides forwarding it, one sentence each."""
    return tuple(_actions(route))


def settings(cluster: Cluster) -> tuple[str, ...]:
    """The settings of a cluster that are not the usual ones: ``limits.max_connections 100``."""
    found = [f"protocol {cluster.protocol}"] if cluster.protocol != "http1" else []
    for name in ("balancing", "limits", "outlier"):
        found += _unusual(name, getattr(cluster, name))
    return tuple(found)


def answer(route: Route) -> str:
    """The answer that a proxy gives itself on this route; empty if it forwards."""
    if route.direct:
        return f"{route.direct.status}: the caller's proxy answers itself"
    if route.redirect:
        to = route.redirect
        where = "".join(
            (f"{to.scheme}://" if to.scheme else "", to.host, f":{to.port}" if to.port else "", to.path)
        )
        return f"{to.status}: redirect to {where or to.prefix or 'the same place'}"
    return ""


def number(value: float) -> str:
    """A number as people write it: ``2.5``, ``30``."""
    return f"{value:.4g}"


def server_tls(tls: OriginTLS) -> str:
    """The TLS to a server outside the mesh."""
    name = f", server name {tls.sni}" if tls.sni else ""
    return f"TLS without the mesh's certificate{name}"


def _actions(route: Route) -> Iterator[str]:
    if route.timeout_s:
        yield f"timeout {number(route.timeout_s)} s"
    if route.retry and route.retry.attempts:
        yield _retry(route.retry)
    if route.fault:
        yield from _fault(route.fault)
    for mirror in route.mirrors:
        yield f"mirrors {number(mirror.percent)} % to {cluster_words(mirror.cluster)}"
    if route.rewrite:
        to = route.rewrite.prefix or " -> ".join(route.rewrite.regex or ())
        yield f"rewrites the path: {to}"
    yield from _edits("request", route.request_headers)
    yield from _edits("response", route.response_headers)
    if route.cors:
        yield f"CORS for {', '.join(_says('origin', each) for each in route.cors.origins) or 'no origin'}"
    for key in route.hash_keys:
        yield f"keeps requests of one {key.source} {key.name}".rstrip() + " at one endpoint"


def cluster_words(name: str) -> str:
    """The name of a cluster in words: ``web.shop.svc.cluster.local:8080 subset v1``."""
    parts = name.split("|")
    if len(parts) != 4:
        return name
    subset = f" subset {parts[2]}" if parts[2] else ""
    return f"{parts[3]}:{parts[1]}{subset}"


def _retry(retry: Retry) -> str:
    reasons = ", ".join((*retry.retry_on, *map(str, retry.statuses)))
    each = f", {number(retry.per_try_timeout_s)} s for each try" if retry.per_try_timeout_s else ""
    return f"at most {retry.attempts} retries on {reasons}{each}"


def _fault(fault: Fault) -> Iterator[str]:
    if fault.delay_percent and fault.delay_s:
        yield f"delays {number(fault.delay_percent)} % by {number(fault.delay_s)} s"
    if fault.abort_percent:
        status = f"gRPC status {fault.abort_grpc_status}" if fault.abort_grpc_status else fault.abort_status
        yield f"aborts {number(fault.abort_percent)} % with {status}"


def _edits(side: str, edits: HeaderEdits) -> Iterator[str]:
    for verb, pairs in (("sets", edits.set), ("adds", edits.add)):
        for name, value in pairs:
            yield f"{verb} {side} header {name}: {value}"
    for name in edits.remove:
        yield f"removes {side} header {name}"
    if edits.authority:
        yield f"sets the host to {edits.authority}"


def _named(what: str, condition: NamedMatch) -> str:
    name = _PSEUDO_HEADERS.get(condition.name, f"{what} {condition.name}")
    return f"not: {_says(name, condition.match)}" if condition.invert else _says(name, condition.match)


def _says(what: str, match: StringMatch) -> str:
    case = " in any case" if match.ignore_case else ""
    return f"{what} {_VERBS[match.kind].format(match.value or repr(''))}{case}"


def _is_any(path: StringMatch) -> bool:
    return path.kind == "present" or (path.kind in ("prefix", "segments") and path.value in ("/", ""))


def _unusual(name: str, value: Any) -> Iterator[str]:
    """The fields of a dataclass that differ from their defaults."""
    if value is None:
        return
    usual = type(value)()
    if name == "outlier" and value == usual:
        yield "outlier: the usual ejection"
    for each in fields(value):
        set_to = getattr(value, each.name)
        if set_to != getattr(usual, each.name):
            if is_dataclass(set_to):
                yield from _unusual(f"{name}.{each.name}", set_to)
            else:
                yield f"{name}.{each.name} {set_to}"
