"""What Linkerd's admission webhooks refuse: policies and routes that its controllers could not read.

A cluster without these webhooks, or with one that failed while its failure policy was Ignore, may hold such
objects. Linkerd's policy controller then leaves them out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from meshkit.kube.metadata import group_of
from meshkit.meshes.gateway_api.meaning.matches import GROUP as GATEWAY_API
from meshkit.meshes.gateway_api.meaning.routes import parents_of
from meshkit.meshes.linkerd.meaning import reliability
from meshkit.meshes.linkerd.meaning.authorization import GROUP, POLICIES
from meshkit.meshes.model.durations import duration_s
from meshkit.meshes.model.outbound import Object

Json = Mapping[str, Any]
PROTOCOLS = ("unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS")
_CORE = ("", "core")
_TARGETS = {(GROUP, "Server"), (GROUP, "HTTPRoute"), (GATEWAY_API, "HTTPRoute"), (GATEWAY_API, "GRPCRoute")}
_ACCOUNTS = {(group, "ServiceAccount") for group in _CORE}
_MESH_TLS, _NETWORK = (GROUP, "MeshTLSAuthentication"), (GROUP, "NetworkAuthentication")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_LOOKS_AROUND = re.compile(r"\(\?<?[=!]")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def refusal(item: Object, others: Iterable[Object] = ()) -> str:
    """Why a webhook refuses an object, as ``field: problem``; empty if it takes it.

    ``others`` are the Servers of the namespace, of which no second may select a port.
    """
    group = group_of(item)
    rule = _RULES.get((group, str(item.get("kind"))))
    if rule is None:
        return ""
    problems = rule(item)
    if (group, item["kind"]) == (GROUP, "Server"):
        problems = (*problems, *_rivals(item, others))
    return next(iter(problems), "")


def _server(item: Object) -> Iterator[str]:
    spec = item["spec"]
    protocol, access = spec.get("proxyProtocol", "unknown"), spec.get("accessPolicy", "deny")
    if protocol not in PROTOCOLS:
        yield f"spec.proxyProtocol: {protocol!r} is none of {', '.join(PROTOCOLS)}"
    if access not in POLICIES:
        yield f"spec.accessPolicy: {access!r} is none of {', '.join(POLICIES)}"
    port = spec.get("port")
    if isinstance(port, int) and not 0 < port < 65536:
        yield f"spec.port: {port} is no port"


def _rivals(item: Object, others: Iterable[Object]) -> Iterator[str]:
    """Like Linkerd's webhook, it finds equal selectors and those that select all, not all that overlap."""
    meta, spec = item["metadata"], item["spec"]
    for other in others:
        if other["metadata"]["name"] == meta["name"] or other["spec"].get("port") != spec.get("port"):
            continue
        for kind in ("podSelector", "externalWorkloadSelector"):
            mine, theirs = spec.get(kind), other["spec"].get(kind)
            if (
                mine is not None
                and theirs is not None
                and (_is_all(mine) or _is_all(theirs) or mine == theirs)
            ):
                name = f"{meta['namespace']}/{other['metadata']['name']}"
                yield f"spec.{kind}: Server {name} already selects port {spec['port']} of these pods"


def _is_all(selector: Json) -> bool:
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def _authorization_policy(item: Object) -> Iterator[str]:
    target, namespace = item["spec"]["targetRef"], item["metadata"]["namespace"]
    kind = _typed(target)
    if kind in {(group, "Namespace") for group in _CORE}:
        if target["name"] != namespace:
            yield f"spec.targetRef: the policy of namespace {namespace} cannot target {target['name']}"
    elif kind not in _TARGETS:
        yield f"spec.targetRef: a policy cannot target {_name(kind)}, but a Server, a route or the namespace"
    references = [_typed(each) for each in item["spec"].get("requiredAuthenticationRefs") or ()]
    unknown = [each for each in references if each not in {_MESH_TLS, _NETWORK, *_ACCOUNTS}]
    if unknown:
        yield f"spec.requiredAuthenticationRefs: {_name(unknown[0])} is no authentication"
    identities = sum(each == _MESH_TLS or each in _ACCOUNTS for each in references)
    if identities > 1:
        yield "spec.requiredAuthenticationRefs: only one MeshTLSAuthentication or ServiceAccount is allowed"
    if references.count(_NETWORK) > 1:
        yield "spec.requiredAuthenticationRefs: only one NetworkAuthentication is allowed"


def _mesh_tls(item: Object) -> Iterator[str]:
    for index, name in enumerate(item["spec"].get("identities") or ()):
        labels = name.removeprefix("*.").split(".")
        if name != "*" and not all(map(_LABEL.fullmatch, labels)):
            yield f"spec.identities[{index}]: {name!r} is not *, *.suffix or a DNS name"
    for index, reference in enumerate(item["spec"].get("identityRefs") or ()):
        kind = _typed(reference)
        if kind in {(group, "Namespace") for group in _CORE}:
            if reference.get("namespace"):
                yield f"spec.identityRefs[{index}]: a Namespace has no namespace"
        elif kind not in _ACCOUNTS:
            yield f"spec.identityRefs[{index}]: {_name(kind)} is no ServiceAccount or Namespace"


def _networks(item: Object) -> Iterator[str]:
    networks = item["spec"].get("networks") or ()
    if not networks:
        yield "spec.networks: name one at least"
    for index, entry in enumerate(networks):
        where = f"spec.networks[{index}]"
        whole = _network(entry["cidr"])
        if whole is None:
            yield f"{where}.cidr: {entry['cidr']!r} is neither an address nor a network"
            continue
        for number, text in enumerate(entry.get("except") or ()):
            part = _network(text)
            if part is None:
                yield f"{where}.except[{number}]: {text!r} is neither an address nor a network"
            elif _contains(part, whole):
                yield f"{where}.except[{number}]: {text} leaves nothing of {entry['cidr']}"
            elif not _contains(whole, part):
                yield f"{where}.except[{number}]: {text} is not in {entry['cidr']}"


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _contains(whole: Network, part: Network) -> bool:
    if isinstance(whole, ipaddress.IPv4Network) and isinstance(part, ipaddress.IPv4Network):
        return part.subnet_of(whole)
    if isinstance(whole, ipaddress.IPv6Network) and isinstance(part, ipaddress.IPv6Network):
        return part.subnet_of(whole)
    return False


def _route(item: Object) -> Iterator[str]:
    kind, group = str(item["kind"]), group_of(item)
    for index, parent in enumerate(item["spec"].get("parentRefs") or ()):
        if _typed(parent) == (GROUP, "EgressNetwork") and not parent.get("port"):
            yield f"spec.parentRefs[{index}]: an EgressNetwork needs a port"
    if parents_of(item) and (why := reliability.refusal(item["metadata"].get("annotations") or {}, kind)):
        yield f"metadata.annotations: {why.removeprefix('annotation ')}"
    for index, rule in enumerate(item["spec"].get("rules") or ()):
        where = f"spec.rules[{index}]"
        for number, match in enumerate(rule.get("matches") or ()):
            yield from _match(match, f"{where}.matches[{number}]")
        for number, entry in enumerate(rule.get("filters") or ()):
            yield from _filter(entry, f"{where}.filters[{number}]")
        for number, backend in enumerate(rule.get("backendRefs") or () if group == GATEWAY_API else ()):
            is_service = backend.get("group", "") in _CORE and backend.get("kind", "Service") == "Service"
            if is_service and not backend.get("port"):
                yield f"{where}.backendRefs[{number}]: a Service needs a port"
        if group == GROUP:
            yield from _timeouts(rule.get("timeouts") or {}, f"{where}.timeouts")


def _match(match: Json, where: str) -> Iterator[str]:
    path = match.get("path") or {}
    value, kind = str(path.get("value", "/")), path.get("type", "PathPrefix")
    if kind == "RegularExpression":
        yield from _expression(value, f"{where}.path.value")
    elif not value.startswith("/"):
        yield f"{where}.path.value: {value!r} does not begin with /"
    for field in ("headers", "queryParams"):
        for index, entry in enumerate(match.get(field) or ()):
            if entry.get("type") == "RegularExpression":
                yield from _expression(str(entry["value"]), f"{where}.{field}[{index}].value")
            if field == "headers" and not _HEADER.fullmatch(str(entry["name"])):
                yield f"{where}.headers[{index}].name: {entry['name']!r} is no name of a header"


def _expression(text: str, where: str) -> Iterator[str]:
    """Linkerd's expressions do not look around."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as problem:
        yield f"{where}: {text!r} is no regular expression: {problem}"
    else:
        if _LOOKS_AROUND.search(text):
            yield f"{where}: {text!r} looks around, which Linkerd's expressions cannot"


def _filter(entry: Json, where: str) -> Iterator[str]:
    for field in ("requestHeaderModifier", "responseHeaderModifier"):
        edits = entry.get(field) or {}
        names = [each["name"] for key in ("set", "add") for each in edits.get(key) or ()]
        for name in (*names, *(edits.get("remove") or ())):
            if not _HEADER.fullmatch(str(name)):
                yield f"{where}.{field}: {name!r} is no name of a header"


def _timeouts(written: Json, where: str) -> Iterator[str]:
    times_s = {}
    for field in ("request", "backendRequest"):
        try:
            times_s[field] = duration_s(written.get(field))
        except ValueError as problem:
            yield f"{where}.{field}: {problem}"
    request_s, backend_s = times_s.get("request"), times_s.get("backendRequest")
    if request_s is not None and backend_s is not None and backend_s > request_s:
        yield f"{where}.backendRequest: it is longer than request"


def _service_profile(item: Object) -> Iterator[str]:
    spec = item.get("spec") or {}
    for index, route in enumerate(spec.get("routes") or ()):
        where = f"spec.routes[{index}]"
        yield from _condition(route.get("condition") or {}, f"{where}.condition")
        try:
            duration_s(route.get("timeout"))
        except ValueError as problem:
            yield f"{where}.timeout: {problem}"


def _condition(written: Json, where: str) -> Iterator[str]:
    """A condition of a ServiceProfile; ``all``, ``any`` and ``not`` hold further ones."""
    if not written:
        yield f"{where}: it is empty"
    if written.get("pathRegex"):
        yield from _expression(str(written["pathRegex"]), f"{where}.pathRegex")
    for field in ("all", "any"):
        for index, inner in enumerate(written.get(field) or ()):
            yield from _condition(inner, f"{where}.{field}[{index}]")
    negated = written.get("not") or {}
    if not isinstance(negated, Mapping):
        yield f"{where}.not: it is a list, and one condition is needed"
    elif negated:
        yield from _condition(negated, f"{where}.not")


def _typed(reference: Json) -> tuple[str, str]:
    return str(reference.get("group", "")), str(reference.get("kind", ""))


def _name(kind: tuple[str, str]) -> str:
    return f"{kind[1]} of the group {kind[0]!r}" if kind[0] else kind[1]


_RULES: Mapping[tuple[str, str], Callable[[Object], Iterable[str]]] = {
    (GROUP, "Server"): _server,
    (GROUP, "AuthorizationPolicy"): _authorization_policy,
    (GROUP, "MeshTLSAuthentication"): _mesh_tls,
    (GROUP, "NetworkAuthentication"): _networks,
    (GROUP, "HTTPRoute"): _route,
    (GATEWAY_API, "HTTPRoute"): _route,
    (GATEWAY_API, "GRPCRoute"): _route,
    ("linkerd.io", "ServiceProfile"): _service_profile,
}
"""Group and kind -> the problems of an object."""
