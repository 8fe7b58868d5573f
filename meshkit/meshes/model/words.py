"""The conditions and actions of routes in words, for traces of requests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from meshkit.meshes.model.outbound import (
    Backend,
    Cluster,
    Cors,
    DirectResponse,
    Endpoint,
    Fault,
    HashKey,
    HeaderEdits,
    Locality,
    Match,
    NamedMatch,
    OriginTLS,
    Retry,
    Route,
    StringMatch,
)

EVERY_REQUEST = "every request"
_BACKOFF_S = Retry(0, ()).backoff_s
"""The usual pause before a retry."""
_DIGEST_LENGTH = 8
_LONGEST = 60
"""The characters of the longest body that is shown as a whole."""
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
    if any(each.priority for each in cluster.endpoints):
        found.append(_failover(cluster.endpoints))
    return tuple(found)


def edits_of(backend: Backend) -> tuple[str, ...]:
    """The changes of headers on the requests and responses of one destination of a route."""
    sides = {"request": backend.request_headers, "response": backend.response_headers}
    return tuple(text for side, edits in sides.items() for text in _edits(side, edits))


def answer(route: Route) -> str:
    """The answer that a proxy gives itself on this route; empty if it forwards."""
    if route.direct:
        return f"{route.direct.status}: the caller's proxy answers itself"
    if route.redirect:
        to = route.redirect
        path = to.path or (f"{to.prefix} in place of the prefix" if to.prefix else "")
        where = "".join(
            (f"{to.scheme}://" if to.scheme else "", to.host, f":{to.port}" if to.port else "", path)
        )
        return f"{to.status}: redirect to {where or 'the same place'}"
    return ""


def number(value: float) -> str:
    """A number as people write it, with four digits: ``2.5``, ``33.33``."""
    return f"{value:.4g}"


def server_tls(tls: OriginTLS) -> str:
    """The TLS to a server outside the mesh."""
    files = [name for name in (tls.certificate, tls.key) if name]
    parts = (
        f", server name {tls.sni}" if tls.sni else "",
        f", with {' and '.join(files)}" if files else "",
        f", trusting {tls.roots}" if tls.roots else "",
        f", of {' or '.join(tls.server_names)}" if tls.server_names else "",
        "" if tls.verify else ", unverified",
    )
    return f"TLS without the mesh's certificate{''.join(parts)}"


def _actions(route: Route) -> Iterator[str]:
    if route.direct and (route.direct.body or route.direct.encoded):
        yield _body(route.direct)
    if route.timeout_s:
        yield f"timeout {_exact(route.timeout_s)} s"
    if route.retry and route.retry.attempts:
        yield _retry(route.retry)
    if route.fault:
        yield from _fault(route.fault)
    for mirror in route.mirrors:
        yield f"mirrors {_exact(mirror.percent)} % to {cluster_words(mirror.cluster)}"
    if route.rewrite:
        to = route.rewrite.prefix or " -> ".join(route.rewrite.regex or ())
        yield f"rewrites the path: {to}"
    yield from _edits("request", route.request_headers)
    yield from _edits("response", route.response_headers)
    if route.cors:
        yield _cors(route.cors)
    for key in route.hash_keys:
        yield _hash_key(key)


def cluster_words(name: str) -> str:
    """The name of a cluster in words: ``web.shop.svc.cluster.local:8080 subset v1``."""
    parts = name.split("|")
    if len(parts) != 4:
        return name
    subset = f" subset {parts[2]}" if parts[2] else ""
    return f"{parts[3]}:{parts[1]}{subset}"


def _retry(retry: Retry) -> str:
    reasons = ", ".join((*retry.retry_on, *map(str, retry.statuses)))
    parts = (
        f", {_exact(retry.per_try_timeout_s)} s for each try" if retry.per_try_timeout_s else "",
        "" if retry.backoff_s == _BACKOFF_S else f", {_exact(retry.backoff_s)} s apart at least",
        ", in other localities too" if retry.other_localities else "",
        "" if retry.avoid_previous_hosts else ", by the same endpoint too",
    )
    return f"at most {retry.attempts} retries on {reasons}{''.join(parts)}"


def _body(direct: DirectResponse) -> str:
    text = direct.body or direct.encoded
    if len(text) <= _LONGEST:
        return f"answers with {text!r}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"answers with {text[:_LONGEST]!r} and {len(text) - _LONGEST} more characters (SHA-256 {digest})"


def _cors(cors: Cors) -> str:
    parts = [f"CORS for {', '.join(_says('origin', each) for each in cors.origins) or 'no origin'}"]
    lists = {
        "methods": cors.methods,
        "request headers": cors.allowed_headers,
        "response headers": cors.exposed_headers,
    }
    parts += [f"{name} {', '.join(listed)}" for name, listed in lists.items() if listed]
    parts += [] if cors.max_age_s is None else [f"kept for {cors.max_age_s} s"]
    parts += [] if cors.credentials is None else [f"credentials {'yes' if cors.credentials else 'no'}"]
    parts += [] if cors.forward_unmatched_preflights else ["other preflights are answered by the proxy"]
    return "; ".join(parts)


def _hash_key(key: HashKey) -> str:
    set_by_proxy = "" if key.ttl_s is None else f", set for {_exact(key.ttl_s)} s where it is missing"
    attributes = "".join(f", {name} {value}".rstrip() for name, value in key.attributes)
    path = f", path {key.path}" if key.path else ""
    what = f"{key.source} {key.name}".rstrip()
    return f"keeps requests of one {what} at one endpoint{set_by_proxy}{path}{attributes}"


def _failover(endpoints: Iterable[Endpoint]) -> str:
    """The localities of endpoints by priority: ``endpoints in eu/a (2) first, then in eu/b (1)``."""
    counted = Counter((each.priority, _locality(each.locality)) for each in endpoints)
    places = [
        " and ".join(f"{name} ({count})" for (at, name), count in sorted(counted.items()) if at == rank)
        for rank in sorted({at for at, _ in counted})
    ]
    first, *others = places
    return f"endpoints in {first} first" + "".join(f", then in {place}" for place in others)


def _locality(place: Locality) -> str:
    return "/".join(filter(None, (place.region, place.zone, place.subzone))) or "no known locality"


def _exact(value: float) -> str:
    """A number with all of its digits, so that two that differ are not told alike."""
    return f"{value:.12g}"


def _fault(fault: Fault) -> Iterator[str]:
    if fault.delay_percent and fault.delay_s:
        yield f"delays {_exact(fault.delay_percent)} % by {_exact(fault.delay_s)} s"
    if fault.abort_percent:
        status = (
            f"gRPC status {fault.abort_grpc_status}"
            if fault.abort_grpc_status is not None
            else fault.abort_status
        )
        yield f"aborts {_exact(fault.abort_percent)} % with {status}"


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
