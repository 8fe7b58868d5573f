"""Translate the AuthorizationPolicies that apply to a port of a pod.

DENY before ALLOW; without any ALLOW for the pod all is allowed, with one only what one of them names. A
policy in the root namespace holds for the whole mesh. A rule of an ALLOW policy that cannot be judged never
holds: leaving a condition out would let in whom it was meant to keep out.

A TCP port has no requests. There an ALLOW rule with a field of HTTP never holds, and a DENY rule holds
without these fields, so it refuses more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from meshkit.kube.selectors import contains
from meshkit.meshes.istio.meaning.hosts import inbound_protocol, tcp_ports
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.inbound import All, Authorization, Condition, Policy, Rule, Subject
from meshkit.meshes.model.outbound import Object, PortProtocol, Problem, StringMatch
from meshkit.meshes.model.pods import captured_of, port_numbers
from meshkit.meshes.model.registry import Registry

DRY_RUN = "istio.io/dry-run"
Json = Mapping[str, Any]
_HTTP = {
    *("requestPrincipals", "notRequestPrincipals", "hosts", "notHosts"),
    *("methods", "notMethods", "paths", "notPaths"),
}
_WITH_DOMAIN = {"principals", "notPrincipals", "trustDomains", "notTrustDomains"}
_HTTP_KEYS = ("request.headers[", "request.auth.")
_Matcher = Callable[[str, str], StringMatch]
"""From a written value and the policy's namespace to what is compared."""


def authorization_of(registry: Registry, pod: Object, protocol: PortProtocol = "http") -> Authorization:
    """All policies that hold for a pod's ports of a protocol."""
    found: dict[tuple[str, bool], list[Policy]] = {}
    domains = trust_domains(registry)
    for namespace in dict.fromkeys((registry.root_namespace, pod["metadata"]["namespace"])):
        for item in registry.of("authorizationpolicies", namespace):
            action = _spec(item).get("action", "ALLOW")
            if action in ("ALLOW", "DENY") and holds_for(item, pod):
                found.setdefault((action, is_dry(item)), []).append(policy_of(item, protocol, domains))

    def of(action: str, dry: bool) -> tuple[Policy, ...]:
        return tuple(found.get((action, dry), ()))

    return Authorization(
        of("DENY", False), of("ALLOW", False) or None, of("DENY", True), of("ALLOW", True) or None
    )


def problems(registry: Registry) -> tuple[Problem, ...]:
    """Problems for policies and fields without effect, found once for all callers."""
    return registry.derived("problems of policies", lambda: _problems(registry))


def _problems(registry: Registry) -> tuple[Problem, ...]:
    unsupported = (
        Problem(item, "NotSupported", message)
        for item in registry.of("authorizationpolicies")
        for message in dict.fromkeys(_without_effect(item))
    )
    return (*unsupported, *_on_tcp_ports(registry))


def _without_effect(item: Object) -> Iterable[str]:
    spec = _spec(item)
    match spec.get("action"):
        case "CUSTOM":
            yield "action CUSTOM: the sandbox has no external authorizer, so the policy is ignored."
        case "AUDIT":
            yield "action AUDIT: the sandbox writes no audit log, and the policy rejects no request."
    if spec.get("targetRef") or spec.get("targetRefs"):
        yield "targetRefs: they select gateways and waypoints; sidecars ignore the policy."
    for rule in spec.get("rules") or ():
        yield from _unjudged(rule)


def _spec(item: Object) -> Mapping[str, Any]:
    return item.get("spec") or {}


def is_dry(item: Object) -> bool:
    """Whether a policy is only counted and not enforced."""
    return (item["metadata"].get("annotations") or {}).get(DRY_RUN) == "true"


def holds_for(item: Object, pod: Object) -> bool:
    """Whether a policy selects a pod, if it is of its namespace or of the root namespace."""
    spec = _spec(item)
    if spec.get("targetRef") or spec.get("targetRefs"):
        return False
    return contains(pod["metadata"].get("labels"), (spec.get("selector") or {}).get("matchLabels"))


def trust_domains(registry: Registry) -> tuple[str, ...]:
    """The trust domains of the mesh: its own and the aliases of it."""
    try:
        mesh, _ = MeshConfig.of(registry)
    except ValueError:
        return (CLUSTER_DOMAIN,)
    return (mesh.trust_domain, *mesh.trust_domain_aliases)


def policy_of(item: Object, protocol: PortProtocol, domains: Collection[str] = ()) -> Policy:
    """A policy as it holds for ports of a protocol. ``domains`` are the trust domains of the mesh.

    Identities are written with the domain that every mesh has by default; Istio takes that one for its own.
    """
    meta, written = item["metadata"], _spec(item).get("rules") or ()
    if set(domains) - {CLUSTER_DOMAIN}:
        written = [_in_default_domain(rule, domains) for rule in written]
    if protocol == "tcp":
        without = _spec(item).get("action") == "DENY"
        written = [_without_http(rule) for rule in written if without or not _http_fields(rule)]
    rules = tuple(_rule(rule, meta["namespace"]) for rule in written)
    return Policy(f"{meta['namespace']}/{meta['name']}", rules)


def _rule(written: Mapping[str, Any], namespace: str) -> Rule:
    sources = tuple(_all(entry.get("source"), _SOURCE, namespace) for entry in written.get("from") or ())
    asked = (entry.get("operation") for entry in written.get("to") or ())
    operations = tuple(_all(operation, _OPERATION, namespace) for operation in asked)
    when = tuple(each for entry in written.get("when") or () for each in _when(entry, namespace))
    return Rule(sources or ((),), operations or ((),), when)


def _all(
    written: Mapping[str, Any] | None, fields: Mapping[str, tuple[Subject, _Matcher]], namespace: str
) -> All:
    found = []
    for name, (subject, matcher) in fields.items():
        negative = f"not{name[0].upper()}{name[1:]}"
        for field, inverted in ((name, False), (negative, True)):
            if values := (written or {}).get(field):
                listed = tuple(matcher(str(value), namespace) for value in values)
                found.append(Condition(subject, listed, inverted=inverted))
    return tuple(found)


def _when(entry: Mapping[str, Any], namespace: str) -> Iterable[Condition]:
    key = str(entry["key"])
    header = re.fullmatch(r"request\.headers\[(.+)\]", key)
    subject, matcher = ("header", _text) if header else _KEYS.get(key, ("nothing", _text))
    for field, inverted in (("values", False), ("notValues", True)):
        if values := entry.get(field):
            listed = tuple(matcher(str(value), namespace) for value in values)
            yield Condition(subject, listed, name=header[1].lower() if header else "", inverted=inverted)


def _unjudged(rule: Mapping[str, Any]) -> Iterable[str]:
    for entry in rule.get("from") or ():
        for field in ("requestPrincipals", "notRequestPrincipals"):
            if (entry.get("source") or {}).get(field):
                yield f"{field}: the sandbox reads no JWT, so no request has a request principal."
    for entry in rule.get("when") or ():
        key = str(entry["key"])
        if key not in _KEYS and not key.startswith("request.headers["):
            yield f"when key {key}: the sandbox cannot know it, so no value of it ever holds."


def _in_default_domain(rule: Json, domains: Collection[str]) -> Json:
    sources = []
    for entry in rule.get("from") or ():
        written = dict(entry.get("source") or {})
        for name in _WITH_DOMAIN & set(written):
            written[name] = [_defaulted(str(each), domains) for each in written[name] or ()]
        sources.append({**entry, "source": written})
    when = []
    for entry in rule.get("when") or ():
        changed = dict(entry)
        if entry["key"] in ("source.principal", "source.trustDomain"):
            for name in {"values", "notValues"} & set(entry):
                changed[name] = [_defaulted(str(each), domains) for each in entry[name] or ()]
        when.append(changed)
    return {**rule, "from": sources, "when": when}


def _defaulted(text: str, domains: Collection[str]) -> str:
    """A trust domain, or a principal in it, with the domain that every mesh has by default."""
    domain, slash, rest = text.partition("/")
    return f"{CLUSTER_DOMAIN}{slash}{rest}" if domain in domains else text


def _http_fields(rule: Json) -> list[str]:
    """The fields of a rule that only requests have."""
    named = [name for entry in rule.get("from") or () for name in entry.get("source") or ()]
    named += [name for entry in rule.get("to") or () for name in entry.get("operation") or ()]
    keys = [str(entry["key"]) for entry in rule.get("when") or ()]
    return sorted({*_HTTP & set(named), *(key for key in keys if key.startswith(_HTTP_KEYS))})


def _without_http(rule: Json) -> Json:
    def rest(fields: Json | None) -> Json:
        return {name: value for name, value in (fields or {}).items() if name not in _HTTP}

    return {
        "from": [{"source": rest(entry.get("source"))} for entry in rule.get("from") or ()],
        "to": [{"operation": rest(entry.get("operation"))} for entry in rule.get("to") or ()],
        "when": [entry for entry in rule.get("when") or () if not entry["key"].startswith(_HTTP_KEYS)],
    }


def _on_tcp_ports(registry: Registry) -> Iterable[Problem]:
    """Rules with fields of HTTP that reach a TCP port, where they mean something else."""
    pods = registry.derived("pods with tcp ports", lambda: _tcp_ports(registry))
    for item in registry.of("authorizationpolicies"):
        action = _spec(item).get("action", "ALLOW")
        rules = [(n, rule) for n, rule in enumerate(_spec(item).get("rules") or ()) if _http_fields(rule)]
        if not rules or action not in ("ALLOW", "DENY") or is_dry(item):
            continue
        ports = sorted({port for pod, port in pods if _reaches(registry, item, pod)})
        for number, rule in rules:
            if reached := [port for port in ports if _names(rule, port)]:
                message = f"spec.rules[{number}]: {_on_tcp(rule, action, reached)}"
                yield Problem(item, "HttpFieldsOnTcpPort", message)


def _on_tcp(rule: Json, action: str, ports: Iterable[int]) -> str:
    fields, where = ", ".join(_http_fields(rule)), " and ".join(f"port {port}" for port in ports)
    begin = f"{where} of its pods is TCP for Istio, without {fields}: the rule"
    if action == "ALLOW":
        return f"{begin} lets nobody in there."
    rest = _without_http(rule)
    callers = all(entry["source"] for entry in rest["from"]) and bool(rest["from"])
    if callers or any(entry["key"] != "destination.port" for entry in rest["when"]):
        return f"{begin} holds without them there, and refuses more."
    return f"{begin} refuses every connection there."


def _tcp_ports(registry: Registry) -> list[tuple[Object, int]]:
    """The pods with TCP ports and the numbers of these, which no container needs to declare."""
    found: dict[tuple[str, str, int], tuple[Object, int]] = {}
    for listed in tcp_ports(registry).values():
        for service, port in listed:
            for pod in registry.pods_of(service):
                numbers = port_numbers(pod, port.get("targetPort") or int(port["port"]))
                for number in captured_of(pod, PROXY, numbers):
                    if inbound_protocol(registry, pod, number) == "tcp":
                        meta = pod["metadata"]
                        found[meta["namespace"], meta["name"], number] = pod, number
    return list(found.values())


def _reaches(registry: Registry, item: Object, pod: Object) -> bool:
    namespace = item["metadata"]["namespace"]
    return namespace in (registry.root_namespace, pod["metadata"]["namespace"]) and holds_for(item, pod)


def _names(rule: Json, port: int) -> bool:
    """Whether a rule leaves a port in: by its operations and its conditions on the port."""
    operations = [entry.get("operation") or {} for entry in rule.get("to") or ()] or [{}]
    asked = [(each.get("ports"), each.get("notPorts")) for each in operations]
    when = [entry for entry in rule.get("when") or () if entry["key"] == "destination.port"]
    return any(_is_in(port, *each) for each in asked) and all(
        _is_in(port, entry.get("values"), entry.get("notValues")) for entry in when
    )


def _is_in(port: int, listed: Iterable[str] | None, left_out: Iterable[str] | None) -> bool:
    return str(port) in (listed or (str(port),)) and str(port) not in (left_out or ())


def pattern_of(value: str) -> StringMatch:
    """``*`` is any value, ``*x`` ends so, ``x*`` begins so."""
    if value == "*":
        return StringMatch("present")
    if value.startswith("*"):
        return StringMatch("suffix", value[1:])
    return StringMatch("prefix", value[:-1]) if value.endswith("*") else StringMatch("exact", value)


def _text(value: str, namespace: str) -> StringMatch:
    del namespace
    return pattern_of(value)


def _host(value: str, namespace: str) -> StringMatch:
    found = _text(value, namespace)
    return found if found.kind == "present" else StringMatch(found.kind, found.value, ignore_case=True)


def _path(value: str, namespace: str) -> StringMatch:
    """Templates: ``{*}`` is one segment, ``{**}`` any number of them."""
    if "{*}" not in value and "{**}" not in value:
        return _text(value, namespace)
    parts = re.split(r"(\{\*\*?\})", value)
    return StringMatch("regex", "".join({"{*}": "[^/]+", "{**}": ".*"}.get(p, re.escape(p)) for p in parts))


def _principal(value: str, namespace: str) -> StringMatch:
    found = _text(value, namespace)
    if found.kind in ("present", "suffix"):
        return found
    return StringMatch(found.kind, f"spiffe://{found.value}")


def _namespace(value: str, namespace: str) -> StringMatch:
    del namespace
    return StringMatch("regex", f".*/ns/{_any(value)}/.*")


def _account(value: str, namespace: str) -> StringMatch:
    """``namespace/name``, or a name in the policy's own namespace."""
    where, _, name = value.rpartition("/")
    return StringMatch("regex", f".*/ns/{re.escape(where or namespace)}/sa/{re.escape(name)}")


def _trust_domain(value: str, namespace: str) -> StringMatch:
    del namespace
    return StringMatch("regex", f"spiffe://{_any(value)}/.*")


def _any(value: str) -> str:
    return "[^/]*".join(re.escape(part) for part in value.split("*"))


_SOURCE: Mapping[str, tuple[Subject, _Matcher]] = {
    "principals": ("identity", _principal),
    "namespaces": ("identity", _namespace),
    "serviceAccounts": ("identity", _account),
    "trustDomains": ("identity", _trust_domain),
    "ipBlocks": ("source_ip", _text),
    "remoteIpBlocks": ("remote_ip", _text),
    "requestPrincipals": ("nothing", _text),
}
_OPERATION: Mapping[str, tuple[Subject, _Matcher]] = {
    "hosts": ("host", _host),
    "ports": ("port", _text),
    "methods": ("method", _text),
    "paths": ("path", _path),
}
_KEYS: Mapping[str, tuple[Subject, _Matcher]] = {
    "source.principal": ("identity", _principal),
    "source.namespace": ("identity", _namespace),
    "source.serviceAccount": ("identity", _account),
    "source.trustDomain": ("identity", _trust_domain),
    "source.ip": ("source_ip", _text),
    "remote.ip": ("remote_ip", _text),
    "destination.port": ("port", _text),
    "connection.sni": ("sni", _text),
}
