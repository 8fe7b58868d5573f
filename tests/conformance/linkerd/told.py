"""What Linkerd's controllers answer to proxies, as lines.

The answers are messages as ``linkerd diagnostics`` prints them: a choice of several fields is an object whose
only key is the name of the chosen one, and what has its default value is left out.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.meshes.linkerd.meaning.hostnames import narrowed
from meshkit.meshes.model.outbound import HeaderEdits, Match, NamedMatch, Redirect, StringMatch
from tests.conformance.linkerd import lines

Json = Mapping[str, Any]
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "HEAD", "TRACE")
_SCHEMES = ("http", "https")
_DOMAIN = ".svc.cluster.local"


def outbound(policy: Json, profile: Json, itself: str) -> dict[str, Any]:
    """What a caller's proxy does for a port of the Service ``itself`` (web.shop:8080).

    A profile with routes or overrides comes before the policy, and either can say that the port is opaque.
    """
    kind, protocol = _chosen(policy["protocol"], "Kind")
    if profile.get("opaque_protocol") or kind in ("Opaque", "Tls"):
        return {"protocol": "tcp"}
    if profile.get("routes") or profile.get("dst_overrides"):
        shares = [
            (_short(each["authority"]), each.get("weight", 0)) for each in profile.get("dst_overrides") or ()
        ]
        line = lines.joined(lines.of_match(Match()), lines.of_shares(shares or [(itself, 1)]))
        return {"protocol": "http", "routes": [line]}
    served = protocol["http1"] if kind == "Detect" else protocol
    found = [
        (match, line)
        for route in served.get("routes") or ()
        for rule in route.get("rules") or ()
        for match, line in _rule(route, rule)
    ]
    return {
        "protocol": "http",
        "routes": lines.ranked(found),
        "breaker": _breaker(served.get("failure_accrual") or {}),
    }


def _rule(route: Json, rule: Json) -> Iterator[tuple[Match, str]]:
    filters = [_chosen(each, "Kind") for each in rule.get("filters") or ()]
    redirect = next((written for kind, written in filters if kind == "Redirect"), None)
    for match in _matches(route, rule):
        head = lines.of_match(match)
        if redirect is not None:
            yield match, lines.joined(head, lines.of_redirect(_redirect(redirect)))
            continue
        timeouts = rule.get("timeouts") or {}
        timeout_s = _seconds(timeouts.get("request"))
        yield (
            match,
            lines.joined(
                head,
                lines.of_shares(_shares(rule)),
                f"timeout {timeout_s:g} s" if timeout_s else "",
                _retry(rule.get("retry") or {}),
                *(_edits(kind, written) for kind, written in filters),
            ),
        )


def _shares(rule: Json) -> Iterator[lines.Share]:
    kind, written = _chosen(rule.get("backends") or {"Kind": {"Empty": {}}}, "Kind")
    for entry in written.get("backends") or ():
        weight = entry.get("weight", 0) if kind == "RandomAvailable" else 1
        of_route = entry["backend"] if kind == "RandomAvailable" else entry
        told = [_chosen(each, "Kind") for each in of_route.get("filters") or ()]
        if any(name == "FailureInjector" for name, _ in told):
            yield lines.LOST, weight
            continue
        name, backend = _chosen(of_route["backend"], "Kind")
        _, found = _chosen(backend["discovery"], "Kind") if name == "Balancer" else ("", {"path": name})
        edits = lines.joined(*(_edits(kind, written) for kind, written in told))
        yield _short(found["path"]) + (f" ({edits})" if edits else ""), weight


def _short(authority: str) -> str:
    """web.shop:8080 of web.shop.svc.cluster.local:8080."""
    host, _, port = authority.partition(":")
    return f"{host.rstrip('.').removesuffix(_DOMAIN)}:{port}"


def _matches(route: Json, rule: Json) -> Iterator[Match]:
    """The matches of a rule, each with every host of the route."""
    hosts = [_host(each) for each in route.get("hosts") or ()]
    for written in rule.get("matches") or ({},):
        yield from (match for _, match in narrowed({"spec": {"hostnames": hosts}}, _match(written)))


def _match(written: Json) -> Match:
    rpc = written.get("rpc")
    if rpc is not None:
        service, method = rpc.get("service"), rpc.get("method")
        path = (
            StringMatch("exact", f"/{service}/{method}") if method else StringMatch("prefix", f"/{service}/")
        )
        path = path if service else StringMatch("segments", "/")
    else:
        path = _path(written.get("path") or {})
    return Match(
        path=path,
        method=_method(written["method"]) if written.get("method") else None,
        headers=tuple(_named(each, is_bytes=True) for each in written.get("headers") or ()),
        query=tuple(_named(each, is_bytes=False) for each in written.get("query_params") or ()),
    )


def _path(written: Json) -> StringMatch:
    kind, value = _chosen(written or {"Kind": {"Prefix": "/"}}, "Kind")
    return StringMatch({"Exact": "exact", "Prefix": "segments", "Regex": "regex"}[kind], value)  # type: ignore[arg-type]


def _method(written: Json) -> StringMatch:
    kind, value = _chosen(written, "Type")
    return StringMatch("exact", _METHODS[value] if kind == "Registered" else value)


def _named(written: Json, *, is_bytes: bool) -> NamedMatch:
    kind, value = _chosen(written, "Value")
    text = _text(value) if is_bytes and kind == "Exact" else value
    return NamedMatch(written["name"], StringMatch("regex" if kind == "Regex" else "exact", text))


def _host(written: Json) -> str:
    kind, value = _chosen(written, "Match")
    return value if kind == "Exact" else "*." + ".".join(reversed(value["reverse_labels"]))


def _redirect(written: Json) -> Redirect:
    _, scheme = _chosen(written.get("scheme") or {"Type": {"": None}}, "Type")
    how, path = _chosen(written.get("path") or {"Replace": {"": ""}}, "Replace")
    return Redirect(
        status=written.get("status", 0),
        scheme=_SCHEMES[scheme] if isinstance(scheme, int) else scheme or "",
        host=written.get("host", ""),
        port=written.get("port", 0),
        path=path if how == "Full" else "",
        prefix=path if how == "Prefix" else "",
    )


def _edits(kind: str, written: Json) -> str:
    if kind not in ("RequestHeaderModifier", "ResponseHeaderModifier"):
        return ""

    def pairs(key: str) -> tuple[tuple[str, str], ...]:
        headers = (written.get(key) or {}).get("headers") or ()
        return tuple((each["name"], _text(each["value"])) for each in headers)

    edits = HeaderEdits(pairs("set"), pairs("add"), tuple(written.get("remove") or ()))
    return lines.of_edits("request" if kind.startswith("Request") else "response", edits)


def _retry(written: Json) -> str:
    ranges = (written.get("conditions") or {}).get("status_ranges") or ()
    statuses = (code for each in ranges for code in range(each["start"], each["end"] + 1))
    return lines.of_retry(written.get("max_retries", 0), statuses, _seconds(written.get("timeout")))


def _breaker(written: Json) -> str:
    if not written:
        return ""
    kind, told = _chosen(written, "Kind")
    if kind != "ConsecutiveFailures":
        return kind
    backoff = told.get("backoff") or {}
    least_s, most_s = (_seconds(backoff.get(name)) or 0.0 for name in ("min_backoff", "max_backoff"))
    return lines.of_breaker(told.get("max_failures", 0), least_s, most_s)


def inbound(server: Json) -> dict[str, Any]:
    """What a server's proxy does for one of its ports."""
    kind, protocol = _chosen(server["protocol"], "Kind")
    labels = server.get("labels") or {}
    named = f"{labels.get('group', '')}/{labels.get('kind')}/{labels.get('name')}".removeprefix("/")
    of_server = [right for each in server.get("authorizations") or () for right in _rights(each)]
    if kind in ("Opaque", "Tls"):
        return {"protocol": "tcp", "server": named, "routes": [lines.of_rights(of_server)]}
    found = []
    for route in protocol.get("http_routes") or protocol.get("routes") or ():
        rights = [right for each in route.get("authorizations") or () for right in _rights(each)]
        allowed = f"allowed: {lines.of_rights([*of_server, *rights])}"
        for rule in route.get("rules") or ():
            for match in _matches(route, rule):
                found.append((match, lines.joined(lines.of_match(match), allowed)))
    return {"protocol": "http", "server": named, "routes": lines.ranked(found)}


def _rights(written: Json) -> Iterator[lines.Right]:
    for who in _who(written["authentication"]):
        for network in written.get("networks") or ():
            without = [_network(each) for each in network.get("except") or ()]
            yield who, _network(network["net"]) + (f" without {', '.join(without)}" if without else "")


def _who(written: Json) -> list[str]:
    kind, permit = _chosen(written, "Permit")
    if kind == "Unauthenticated":
        return [lines.ANYONE]
    clients, told = _chosen(permit, "Clients")
    if clients == "Unauthenticated":
        return ["any mesh TLS"]
    suffixes = [".".join(each.get("parts") or ()) for each in told.get("suffixes") or ()]
    found = [f"*.{each}" if each else lines.IN_THE_MESH for each in suffixes]
    return [*(each["name"] for each in told.get("identities") or ()), *found]


def _network(written: Json) -> str:
    kind, value = _chosen(written["ip"], "Ip")
    if kind == "Ipv4":
        return f"{ipaddress.IPv4Address(value)}/{written.get('prefix_len', 0)}"
    whole = (value.get("first", 0) << 64) + value.get("last", 0)
    return f"{ipaddress.IPv6Address(whole)}/{written.get('prefix_len', 0)}"


def _chosen(message: Json, name: str) -> tuple[str, Any]:
    """The chosen field of a choice, and its value."""
    ((kind, value),) = message[name].items()
    return kind, value if value is not None else {}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def _seconds(written: Json | None) -> float | None:
    return written.get("seconds", 0) + written.get("nanos", 0) / 1e9 if written else None
