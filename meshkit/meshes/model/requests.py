"""Which route of a proxy a request takes, and whether a server's proxy lets it in.

The rules are Envoy's, as the sandbox renders the same model: the virtual host by domain, then the first route
whose conditions hold, then the authorization of the server's first route that matches.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshkit.meshes.model import patterns
from meshkit.meshes.model.inbound import All, Authorization, Condition, Inbound, InboundRoute, Policy, Rule
from meshkit.meshes.model.outbound import HeaderEdits, Match, NamedMatch, Route, StringMatch, VirtualHost

Pairs = tuple[tuple[str, str], ...]
_PORT = 80
_REPEAT = re.compile(r"[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_MAX_STEPS = 1_000_000
"""Of a substitution, where Python's expressions backtrack: the text's length to the power of the repeats."""


class NotKnown(Exception):
    """A condition that cannot be evaluated; the text says which."""


class Matching(str):
    """A text of which is known only that it matches the regular expression that it consists of."""


@dataclass(frozen=True)
class Request:
    """An HTTP request as an application sends it to a host.

    Without a port it is port 80, or the first port of a Service without port 80. ``path`` has no query.
    """

    host: str
    port: int | None = None
    method: str = "GET"
    path: str = "/"
    query: Pairs = ()
    headers: Pairs = ()

    @property
    def authority(self) -> str:
        """The host that the request names: its header ``host`` if it has one, else host and port."""
        named = next((value for name, value in self.headers if name.lower() == "host"), "")
        return named or (self.host if self.port in (None, _PORT) else f"{self.host}:{self.port}")

    def header(self, name: str) -> str | None:
        """The value of a header, or of a pseudo-header such as ``:authority``; None if it has none."""
        match name.lower():
            case ":authority" | "host":
                return self.authority
            case ":method":
                return self.method
            case ":path":
                return self.path
            case ":scheme":
                return "http"
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ",".join(found) if found else None


class Taken(NamedTuple):
    """The route that a request takes, and the one of its matches that holds."""

    route: Route
    match: Match


class Sender(NamedTuple):
    """The caller as the server's proxy sees it.

    ``identity`` is the name in its certificate, None without one; an empty ``address`` is not known. ``sni``
    is the name that its TLS asks for.
    """

    identity: str | None
    address: str = ""
    sni: str = ""


class Decision(NamedTuple):
    """Whether a server's proxy lets a request in.

    ``status`` is the proxy's own answer if not, ``by`` the policy that decided, empty if none did.
    """

    status: int | None
    by: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the request reaches the application."""
        return self.status is None


def domains_of(hosts: Iterable[VirtualHost]) -> Mapping[str, VirtualHost]:
    """The virtual hosts by their domains."""
    return {domain.lower(): host for host in hosts for domain in host.domains}


def virtual_host_of(by_domain: Mapping[str, VirtualHost], request: Request) -> VirtualHost | None:
    """The virtual host of a request: exact domain, longest suffix, longest prefix wildcard, then ``*``."""
    own = any(name.lower() == "host" for name, _ in request.headers)
    # Clients leave out port 80; both forms name it where it exists.
    name = request.authority if own or request.port is None else f"{request.host}:{request.port}"
    domain = _domain(by_domain, name.lower())
    return by_domain[domain] if domain is not None else None


def route_of(host: VirtualHost, request: Request) -> Taken | None:
    """The first route of which a match holds; None is answered with 404. Raises NotKnown."""
    for route in host.routes:
        for match in route.matches:
            if holds(match, request):
                return Taken(route, match)
    return None


def holds(match: Match, request: Request) -> bool:
    """Whether all conditions of a match hold for a request. Raises NotKnown."""
    if match.path is not None and not _path_holds(match.path, request.path):
        return False
    if match.method is not None and not text_holds(match.method, request.method):
        return False
    return all(_header_holds(each, request) for each in match.headers) and all(
        _named_holds(each, dict(reversed(request.query)).get(each.name)) for each in match.query
    )


def text_holds(match: StringMatch, text: str) -> bool:
    """Whether a condition holds for a text. Raises NotKnown for a regular expression that Python lacks."""
    if isinstance(text, Matching):
        return match == StringMatch("regex", str(text)) or _holds_for_all(match)
    value = match.value
    if match.kind == "regex":
        return _regex_holds(value, text)
    if match.kind == "present":
        return bool(text)
    if match.ignore_case:
        value, text = value.lower(), text.lower()
    match match.kind:
        case "exact":
            return text == value
        case "suffix":
            return text.endswith(value)
        case "segments":
            whole = value.rstrip("/")
            return not whole or text == whole or text.startswith(f"{whole}/")
    return text.startswith(value)


def sent(request: Request, taken: Taken) -> Request:
    """The request as the server gets it: with the route's path, host and headers. Raises NotKnown."""
    edits, path = taken.route.request_headers, request.path
    rewrite = taken.route.rewrite
    if rewrite and not isinstance(path, Matching):
        if rewrite.regex:
            path = _substituted(*rewrite.regex, path)
        elif rewrite.prefix and taken.match.path is not None and taken.match.path.kind != "regex":
            path = rewrite.prefix + path[len(taken.match.path.value) :]
    return replace(request, path=path or "/", headers=_edited(request.headers, edits))


def decide(inbound: Inbound, request: Request, sender: Sender) -> Decision:
    """What a server's proxy does with a request that arrived on a captured port. Raises NotKnown."""
    route = next((each for each in inbound.routes if holds(each.match, request)), None)
    if route is None:
        return Decision(404)
    return _decision(route, request, sender, inbound.port)


def _decision(route: InboundRoute, request: Request, sender: Sender, port: int) -> Decision:
    if route.status is not None:
        return Decision(route.status, route.name)
    rules: Authorization = route.authorization
    for policy in rules.deny:
        if _policy_holds(policy, request, sender, port):
            return Decision(403, policy.name)
    if rules.allow is None:
        return Decision(None)
    for policy in rules.allow:
        if _policy_holds(policy, request, sender, port):
            return Decision(None, policy.name)
    return Decision(403)


def _policy_holds(policy: Policy, request: Request, sender: Sender, port: int) -> bool:
    return any(_rule_holds(rule, request, sender, port) for rule in policy.rules)


def _rule_holds(rule: Rule, request: Request, sender: Sender, port: int) -> bool:
    def all_hold(conditions: All) -> bool:
        return all(_condition_holds(each, request, sender, port) for each in conditions)

    return any(map(all_hold, rule.sources)) and any(map(all_hold, rule.operations)) and all_hold(rule.when)


def _condition_holds(condition: Condition, request: Request, sender: Sender, port: int) -> bool:
    return any(_value_holds(condition, value, request, sender, port) for value in condition.values) != (
        condition.inverted
    )


def _value_holds(
    condition: Condition, value: StringMatch, request: Request, sender: Sender, port: int
) -> bool:
    match condition.subject:
        case "identity":
            known = sender.identity is not None
            return known and (value.kind == "present" or text_holds(value, sender.identity or ""))
        case "source_ip" | "remote_ip":
            return _is_within(sender.address, value.value)
        case "path":
            return text_holds(value, request.path)
        case "port":
            return value.value == str(port)
        case "sni":
            return text_holds(value, sender.sni)
        case "nothing":
            return False
    name = {"method": ":method", "host": ":authority"}.get(condition.subject, condition.name)
    return _named_holds(NamedMatch(name, value), request.header(name))


def _is_within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise NotKnown(f"whether the caller's address is in {network}") from error


def _domain(domains: Mapping[str, VirtualHost], name: str) -> str | None:
    if name in domains:
        return name
    ends = [d for d in domains if d.startswith("*") and len(d) > 1 and _longer_end(name, d[1:])]
    begins = [d for d in domains if d.endswith("*") and len(d) > 1 and _longer_begin(name, d[:-1])]
    return max(ends, key=len, default=None) or max(begins, key=len, default="*" if "*" in domains else None)


def _longer_end(name: str, end: str) -> bool:
    return name.endswith(end) and len(name) > len(end)


def _longer_begin(name: str, begin: str) -> bool:
    return name.startswith(begin) and len(name) > len(begin)


def _path_holds(match: StringMatch, path: str) -> bool:
    """A path that must only be present is any path."""
    return match.kind == "present" or text_holds(match, path)


def _header_holds(condition: NamedMatch, request: Request) -> bool:
    value = request.header(condition.name)
    if condition.invert and condition.match.kind != "present":
        return not text_holds(condition.match, value or "")
    return _named_holds(condition, value) != condition.invert


def _named_holds(condition: NamedMatch, value: str | None) -> bool:
    if condition.match.kind == "present":
        return value is not None
    return value is not None and text_holds(condition.match, value)


def _holds_for_all(match: StringMatch) -> bool:
    everything = {("prefix", "/"), ("segments", "/"), ("prefix", ""), ("regex", ".*")}
    return match.kind == "present" or (match.kind, match.value) in everything


def _regex_holds(pattern: str, text: str) -> bool:
    try:
        return patterns.matches(f"^(?:{pattern})$", text)
    except patterns.TooCostly as error:
        what = f"whether a text of {len(text)} characters matches the regular expression {pattern!r}"
        raise NotKnown(what) from error
    except patterns.Unreadable as error:
        raise NotKnown(f"whether {text!r} matches the regular expression {pattern!r}") from error


def _substituted(pattern: str, substitution: str, path: str) -> str:
    not_known = NotKnown(f"the rewrite of the path by {pattern!r}")
    if _REPEATED_GROUP.search(pattern) or len(path) ** len(_REPEAT.findall(pattern)) > _MAX_STEPS:
        raise not_known
    try:
        return re.sub(pattern, substitution, path, flags=re.ASCII)
    except (re.error, IndexError, OverflowError, RecursionError) as error:
        raise not_known from error


def _edited(headers: Pairs, edits: HeaderEdits) -> Pairs:
    dropped = {name.lower() for name in edits.remove} | {name.lower() for name, _ in edits.set}
    named = {"host"} if edits.authority else set()
    kept = tuple((name, value) for name, value in headers if name.lower() not in dropped | named)
    host = (("host", edits.authority),) if edits.authority else ()
    return (*kept, *edits.set, *edits.add, *host)
