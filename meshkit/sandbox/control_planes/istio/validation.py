"""The warnings with which istiod's validation webhook admits an object: of what is unused or deprecated.

The texts are those of istiod 1.31, so that a client prints what it would print on another cluster. istiod
also refuses objects that are not valid; the sandbox's API server checks definitions, nothing here refuses.
Not told: prefixes of paths that overlap, hosts that a Sidecar repeats, ciphers that Istio does not know,
private keys in a JWKS, and what depends on the allocation of addresses.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]
_NO_LABELS = "workload selector specified without labels"
_FOR_ALL = f"{_NO_LABELS}, will be applied to all services in namespace"
_LARGE_BYTES = 100 * 1024
_MANY_CERTIFICATES = 2
_TLS_PREFIX = {"SIMPLE": "SIMPLE TLS", "MUTUAL": "MUTUAL TLS", "OPTIONAL_MUTUAL": "MUTUAL TLS"}
_HTTP = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY")
_TCP = ("TCP", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL")
_OF_CONNECTIONS = (
    *("principals", "notPrincipals", "ipBlocks", "notIpBlocks", "namespaces", "notNamespaces"),
    *("remoteIpBlocks", "notRemoteIpBlocks", "serviceAccounts", "notServiceAccounts"),
)
"""Fields of a policy's source that istiod takes for known on a TCP port."""
_REFUSES_TCP = (
    "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of "
    "only HTTP attributes in a DENY rule; it is recommended to explicitly specify the port"
)
_CERTIFICATES = (
    *("caCrl", "serverCertificate", "privateKey", "caCertificates", "tlsCertificates"),
    *("credentialName", "credentialNames"),
)


def warnings_of(item: Json) -> tuple[str, ...]:
    """The warnings for an object of Istio that is created or changed."""
    of_kind = _KINDS.get(str(item.get("kind")))
    return tuple(of_kind(item.get("spec") or {})) if of_kind else ()


def _virtual_service(spec: Json) -> Iterator[str]:
    yield from _legacy_gateways(spec.get("gateways") or ())
    for route in spec.get("http") or ():
        if "mirrorPercent" in route:
            yield 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'
        body = (route.get("directResponse") or {}).get("body") or {}
        if len(str(body.get("string") or "").encode()) > _LARGE_BYTES:
            yield "large direct_responses may impact control plane performance"
    for route in spec.get("tls") or ():
        for match in route.get("match") or ():
            for host in filter(_is_address, match.get("sniHosts") or ()):
                yield (
                    f"using an IP address ({json.dumps(host)}) goes against SNI spec and most clients do not "
                    "support this"
                )
    for kind in ("http", "tcp", "tls"):
        yield from _unused(spec.get(kind) or ())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _legacy_gateways(names: Sequence[str]) -> Iterator[str]:
    """A gateway that is named as a host; istiod stops at the first name without a slash."""
    for name in names:
        if "/" not in name:
            if "." in name:
                parts = name.split(".")
                recommended = json.dumps(f"{parts[1]}/{parts[0]}")
                yield (
                    f"using legacy gatewayName format {json.dumps(name)}; prefer the <namespace>/<name> "
                    f"format: {recommended}"
                )
            return


def _unused(routes: Sequence[Json]) -> Iterator[str]:
    """Routes behind one that takes every request, and matches that an earlier route has."""
    seen: dict[str, int] = {}
    takes_all = False
    for number, route in enumerate(routes):
        name, matches = _named(route, number), route.get("match") or ()
        if not matches:
            if takes_all:
                yield f"virtualService rule {name} not used (only the last rule can have no matches)"
            takes_all = True
            continue
        repeated = 0
        for place, match in enumerate(matches):
            if takes_all:
                yield f"virtualService rule {name} not used (route without matches defined before)"
                continue
            written = json.dumps({**match, "name": ""}, sort_keys=True)
            if written in seen:
                first = _named(routes[seen[written]], seen[written])
                yield (
                    f"virtualService rule {name} match {_named(match, place)} is not used "
                    f"(duplicate/overlapping match in rule {first})"
                )
                repeated += 1
            else:
                seen[written] = number
        if repeated == len(matches):
            yield f"virtualService rule {name} not used (all matches used by prior rules)"


def _named(part: Json, number: int) -> str:
    return json.dumps(part["name"]) if part.get("name") else f"#{number}"


def _destination_rule(spec: Json) -> Iterator[str]:
    # istiod tells nothing of the policies of subsets and ports.
    policy = spec.get("trafficPolicy") or {}
    outlier, balancer = policy.get("outlierDetection"), policy.get("loadBalancer") or {}
    if (outlier or {}).get("consecutiveErrors"):
        yield (
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or "
            "consecutive5xxErrors instead"
        )
    if (balancer.get("consistentHash") or {}).get("minimumRingSize"):
        yield (
            "consistent hash MinimumRingSize is deprecated, use ConsistentHashLB's RingHash configuration "
            "instead"
        )
    locality = balancer.get("localityLbSetting") or {}
    if (locality.get("failover") or locality.get("failoverPriority")) and outlier is None:
        yield "outlier detection policy must be provided for failover"


def _gateway(spec: Json) -> Iterator[str]:
    for server in spec.get("servers") or ():
        tls, protocol = server.get("tls") or {}, str((server.get("port") or {}).get("protocol", "")).upper()
        if tls.get("minProtocolVersion") in ("TLSV1_0", "TLSV1_1") and not tls.get("cipherSuites"):
            yield (
                "TLS version below TLSV1_2 require setting compatible ciphers as by default they no longer "
                "include compatible ciphers."
            )
        mode = str(tls.get("mode") or "PASSTHROUGH") if tls else ""
        if mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH") and any(tls.get(name) for name in _CERTIFICATES):
            yield f"{mode} mode does not use certificates, they will be ignored"
        if mode in _TLS_PREFIX and len(tls.get("tlsCertificates") or ()) > _MANY_CERTIFICATES:
            yield f"{_TLS_PREFIX[mode]} can support up to 2 server certificates"
        if tls.get("httpsRedirect") and protocol not in _HTTP:
            yield "tls.httpsRedirect should only be used with http servers"


def _sidecar(spec: Json) -> Iterator[str]:
    if _selects_without_labels(spec, "workloadSelector", "labels"):
        yield f"sidecar: {_FOR_ALL}"
    for listener in spec.get("ingress") or ():
        port = listener.get("port") or {}
        protocol = str(port.get("protocol", ""))
        if (listener.get("connectionPool") or {}).get("http") is not None and protocol.upper() not in _HTTP:
            yield (
                f"sidecar: HTTP connection pool settings are configured for port {port.get('number', 0)} "
                f"({json.dumps(port.get('name', ''))}) but its protocol is not HTTP ({protocol}); only TCP "
                "settings will apply"
            )


def _envoy_filter(spec: Json) -> Iterator[str]:
    yield (
        "EnvoyFilter exposes internal implementation details that may change at any time. Prefer other APIs "
        "if possible, and exercise extreme caution, especially around upgrades."
    )
    if _selects_without_labels(spec, "workloadSelector", "labels"):
        yield f"Envoy filter: {_FOR_ALL}"


def _service_entry(spec: Json) -> Iterator[str]:
    if _selects_without_labels(spec, "workloadSelector", "labels"):
        yield f"service entry: {_FOR_ALL}"
    if spec.get("resolution", "NONE") == "NONE" and "workloadSelector" in spec:
        yield "workloadSelector should not be set when resolution mode is NONE"
    if spec.get("resolution") == "STATIC":
        for endpoint in spec.get("endpoints") or ():
            yield from _workload_entry(endpoint)
    protocols = {str(port.get("protocol", "")).upper() for port in spec.get("ports") or ()}
    if spec.get("addresses") and len(spec.get("hosts") or ()) > 1 and not protocols.isdisjoint(_TCP):
        yield (
            "service entry can not have more than one host specified simultaneously with address and tcp port"
        )


def _workload_entry(spec: Json) -> Iterator[str]:
    if not spec.get("address") and spec.get("network"):
        yield f"address is unset with network {json.dumps(spec['network'])}"


def _policy(spec: Json) -> Iterator[str]:
    if _selects_without_labels(spec, "selector", "matchLabels"):
        yield _NO_LABELS


def _authorization_policy(spec: Json) -> Iterator[str]:
    yield from _policy(spec)
    if spec.get("action") == "DENY":
        yield from (_REFUSES_TCP for rule in spec.get("rules") or () if _names_only_http(rule))


def _names_only_http(rule: Json) -> bool:
    """Whether a TCP port knows no field of a rule, as istiod counts them; conditions do not count."""
    operations = [each.get("operation") or {} for each in rule.get("to") or ()]
    if operations:
        return not any(each.get("ports") or each.get("notPorts") for each in operations)
    sources = [each.get("source") or {} for each in rule.get("from") or ()]
    return bool(sources) and not any(each.get(field) for each in sources for field in _OF_CONNECTIONS)


def _telemetry(spec: Json) -> Iterator[str]:
    yield from _policy(spec)
    tracing = spec.get("tracing") or ()
    if len(tracing) > 1:
        yield "multiple tracing is not currently supported"
    for each in tracing:
        if len(each.get("providers") or ()) > 1:
            yield "multiple providers is not currently supported"


def _selects_without_labels(spec: Json, selector: str, labels: str) -> bool:
    return spec.get(selector) is not None and not spec[selector].get(labels)


_KINDS: Mapping[str, Callable[[Json], Iterator[str]]] = {
    "VirtualService": _virtual_service,
    "DestinationRule": _destination_rule,
    "Gateway": _gateway,
    "Sidecar": _sidecar,
    "EnvoyFilter": _envoy_filter,
    "ServiceEntry": _service_entry,
    "WorkloadEntry": _workload_entry,
    "AuthorizationPolicy": _authorization_policy,
    "PeerAuthentication": _policy,
    "RequestAuthentication": _policy,
    "WasmPlugin": _policy,
    "Telemetry": _telemetry,
}
