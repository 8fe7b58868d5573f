"""Linkerd's inbound policy: the Server of a port, its routes, and who may take them.

A port without a Server is ruled by the pod's default policy, fixed when the pod was made; with one, only by
what AuthorizationPolicies allow on the Server, its namespace, or a route. A Server with routes answers 404 to
what none of them takes. Kubelet's probes pass by themselves only while a Server has no routes. A TCP port has
no routes, so nothing but the policies of its Server and namespace hold for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshkit.facts import Kind
from meshkit.kube.selectors import holds
from meshkit.meshes.gateway_api.meaning import matches as gateway_api
from meshkit.meshes.linkerd.meaning import hostnames, protocols, rate_limits
from meshkit.meshes.linkerd.meaning.precedence import rank
from meshkit.meshes.linkerd.meaning.proxy import PROXY
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.inbound import (
    All,
    Authorization,
    Condition,
    Inbound,
    InboundRoute,
    Policy,
    Rule,
)
from meshkit.meshes.model.outbound import Match, Object, Problem, StringMatch
from meshkit.meshes.model.pods import captured_ports, port_numbers
from meshkit.meshes.model.registry import Registry

GROUP = "policy.linkerd.io"
KINDS: Mapping[str, Kind] = {
    "servers.policy": Kind(f"{GROUP}/v1beta3", "Server"),
    "httproutes.policy": Kind(f"{GROUP}/v1beta3", "HTTPRoute"),
    "authorizationpolicies.policy": Kind(f"{GROUP}/v1alpha1", "AuthorizationPolicy"),
    "meshtlsauthentications.policy": Kind(f"{GROUP}/v1alpha1", "MeshTLSAuthentication"),
    "serverauthorizations.policy": Kind(f"{GROUP}/v1beta1", "ServerAuthorization"),
    "networkauthentications.policy": Kind(f"{GROUP}/v1alpha1", "NetworkAuthentication"),
    **rate_limits.KINDS,
}
ROUTES = {
    "httproutes": (gateway_api.GROUP, "HTTPRoute"),
    "grpcroutes": (gateway_api.GROUP, "GRPCRoute"),
    "httproutes.policy": (GROUP, "HTTPRoute"),
}
"""Where routes are kept in the registry, and the group and kind each has there."""
INBOUND_POLICY = "config.linkerd.io/default-inbound-policy"
NOT_FOUND = "not-found"
"""The name of what answers 404 on a Server with routes."""
ALL = "all-unauthenticated"
POLICIES = (ALL, "all-authenticated", "cluster-unauthenticated", "cluster-authenticated", "audit", "deny")
_ANYONE = Condition("identity", (StringMatch("present"),))
NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
"""The networks of the cluster: those of the sandbox's pods, and the chart's value clusterNetworks."""
_CLUSTER = Condition("source_ip", tuple(StringMatch("exact", network) for network in NETWORKS))
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


class InvalidPolicy(Exception):
    """An AuthorizationPolicy that Linkerd leaves out, and why."""


def inbound(registry: Registry, pod: Object) -> tuple[Inbound, ...]:
    """The captured ports of a pod. Linkerd's proxy takes both mutual TLS and plain text everywhere."""
    return tuple(_inbound(registry, pod, port) for port in captured_ports(pod, PROXY))


def _inbound(registry: Registry, pod: Object, port: int) -> Inbound:
    servers = servers_of(registry, pod, port)
    if not servers:
        written = (pod["metadata"].get("annotations") or {}).get(INBOUND_POLICY, ALL)
        policy = written if written in POLICIES else ALL
        authorization = Authorization(allow=_default_policy(policy))
        if protocols.of_pod(pod, port) == "tcp":
            return _tcp(port, authorization, f"/default/{policy}")
        return Inbound(port, "permissive", _default_routes(pod, port, authorization), f"/default/{policy}")
    server = servers[0]
    name = server["metadata"]["name"]
    allowed = (
        *_allowed(registry, server, ("Server", name), ("Namespace", server["metadata"]["namespace"])),
        *server_authorizations(registry, server),
        *_default_policy(server["spec"].get("accessPolicy", "deny")),
    )
    if protocols.of_server(server) == "tcp":
        return _tcp(port, Authorization(allow=allowed), f"{GROUP}/server/{name}")
    routes = _routes(registry, server, allowed)
    routes = routes or _default_routes(pod, port, Authorization(allow=allowed))
    limit = rate_limits.of_server(registry, server)
    return Inbound(port, "permissive", routes, f"{GROUP}/server/{name}", limit=limit)


def _tcp(port: int, authorization: Authorization, server: str) -> Inbound:
    return Inbound(port, "permissive", (InboundRoute(authorization=authorization),), server, "tcp")


def servers_of(registry: Registry, pod: Object, port: int) -> list[Object]:
    """The Servers of one port of a pod, the oldest first. Linkerd refuses a second one."""
    meta = pod["metadata"]
    return [
        server
        for server in registry.of("servers.policy", meta["namespace"])
        if holds(server["spec"].get("podSelector"), meta.get("labels") or {})
        and port in port_numbers(pod, server["spec"]["port"])
    ]


def _default_policy(name: str) -> tuple[Policy, ...]:
    if name == "deny" or name not in POLICIES:
        return ()
    conditions: All = (_ANYONE,) if name.endswith("-authenticated") else ()
    conditions += (_CLUSTER,) if name.startswith("cluster-") else ()
    return (Policy(f"/default/{name}", (Rule((conditions,)),)),)


def _default_routes(pod: Object, port: int, authorization: Authorization) -> tuple[InboundRoute, ...]:
    """What kubelet asks for is open to all, the rest as the policy says."""
    everyone = Authorization(allow=(Policy("/default/probe"),))
    probes = tuple(
        InboundRoute(
            "/default/probe", Match(StringMatch("exact", path), StringMatch("exact", "GET")), everyone
        )
        for path in _probe_paths(pod, port)
    )
    return (*probes, InboundRoute("/default/default", Match(), authorization))


def _probe_paths(pod: Object, port: int) -> list[str]:
    asked = {
        str(container[probe]["httpGet"].get("path") or "/").partition("?")[0]
        for container in pod["spec"].get("containers") or ()
        for probe in _PROBES
        if "httpGet" in (container.get(probe) or {})
        and port in port_numbers(pod, container[probe]["httpGet"]["port"])
    }
    return sorted(asked)


def _routes(registry: Registry, server: Object, allowed: tuple[Policy, ...]) -> tuple[InboundRoute, ...]:
    """The routes on a Server, the more specific and then the older first; without any, none."""
    ranked = []
    for resource, (group, kind) in ROUTES.items():
        for item in registry.of(resource, server["metadata"]["namespace"]):
            if not is_on(item, server) or (kind == "HTTPRoute" and _has_grpc(registry, server)):
                continue
            name = item["metadata"]["name"]
            who = Authorization(allow=(*_allowed(registry, server, (kind, name), group=group), *allowed))
            route = InboundRoute(f"{group}/{kind}/{name}", authorization=who)
            age = (item["metadata"].get("creationTimestamp") or "", name)
            rules: Iterable[Mapping[str, Any]] = item["spec"].get("rules") or ({},)
            for rule in rules:
                ranked += [
                    ((*by_host, *rank(match, kind), *age), replace(route, match=narrowed))
                    for match in gateway_api.matches_of(rule, kind)
                    for by_host, narrowed in hostnames.narrowed(item, match)
                ]
    if not ranked:
        return ()
    ordered = [route for _, route in sorted(ranked, key=lambda pair: pair[0])]
    return (*ordered, InboundRoute(NOT_FOUND, status=404))


def _has_grpc(registry: Registry, server: Object) -> bool:
    """Beside a route of gRPC those of HTTP on the same Server are in conflict, and do not count."""
    return any(is_on(item, server) for item in registry.of("grpcroutes", server["metadata"]["namespace"]))


def is_on(item: Object, server: Object) -> bool:
    """Whether a route has a Server as its parent."""
    return any(
        parent.get("kind") == "Server"
        and parent.get("group") == GROUP
        and parent["name"] == server["metadata"]["name"]
        for parent in item["spec"].get("parentRefs") or ()
    )


def unread_routes(registry: Registry, server: Object) -> Iterable[Problem]:
    """Problems for the routes on a Server whose port is TCP, where they have no effect."""
    name, protocol = server["metadata"]["name"], server["spec"].get("proxyProtocol")
    for resource in ROUTES if protocols.of_server(server) == "tcp" else ():
        for item in registry.of(resource, server["metadata"]["namespace"]):
            if is_on(item, server):
                message = f"Server {name} has proxyProtocol {protocol}: Linkerd reads no requests there, "
                yield Problem(item, "OpaquePort", message + "and the route has no effect on it.")


def _allowed(
    registry: Registry, server: Object, *targets: tuple[str, str], group: str | None = None
) -> tuple[Policy, ...]:
    """The AuthorizationPolicies of a Server's namespace for one of the targets (kind, name)."""
    found = []
    for item in registry.of("authorizationpolicies.policy", server["metadata"]["namespace"]):
        target = item["spec"]["targetRef"]
        if (target["kind"], target["name"]) not in targets or group not in (None, target.get("group", "")):
            continue
        try:
            rule = Rule(sources(registry, item))
        except InvalidPolicy:
            continue
        found.append(Policy(f"{GROUP}/authorizationpolicy/{item['metadata']['name']}", (rule,)))
    return tuple(found)


def server_authorizations(registry: Registry, server: Object) -> Iterator[Policy]:
    """The policies of the kind before AuthorizationPolicy, which names a Server or selects it by labels."""
    meta = server["metadata"]
    for item in registry.of("serverauthorizations.policy", meta["namespace"]):
        name, selector = item["spec"]["server"].get("name"), item["spec"]["server"].get("selector") or {}
        if name == meta["name"] if name else holds(selector, meta.get("labels") or {}):
            try:
                rule = Rule(clients(item))
            except InvalidPolicy:
                continue
            yield Policy(f"{GROUP}/serverauthorization/{item['metadata']['name']}", (rule,))


def clients(item: Object) -> tuple[All, ...]:
    """Whom a ServerAuthorization lets in: callers from its networks, by their identity or without one."""
    client = item["spec"]["client"]
    networks = tuple(_network(entry) for entry in client.get("networks") or ()) or ((),)
    if client.get("unauthenticated"):
        return networks
    mesh_tls = client.get("meshTLS")
    if not mesh_tls:
        raise InvalidPolicy("spec.client names neither meshTLS nor unauthenticated")
    if mesh_tls.get("unauthenticatedTLS"):
        return tuple((_ANYONE, *network) for network in networks)
    accounts = [{"kind": "ServiceAccount", **each} for each in mesh_tls.get("serviceAccounts") or ()]
    named = {"identities": mesh_tls.get("identities"), "identityRefs": accounts}
    values = tuple(_identities({"metadata": item["metadata"], "spec": named}))
    if not values:
        raise InvalidPolicy("spec.client.meshTLS names nobody")
    return tuple((Condition("identity", values), *network) for network in networks)


def sources(registry: Registry, item: Object) -> tuple[All, ...]:
    """An identity *and* a network, where both are asked for; a network may leave parts of it out."""
    identity: All = ()
    networks: tuple[All, ...] = ((),)
    for reference in item["spec"].get("requiredAuthenticationRefs") or ():
        namespace = reference.get("namespace") or item["metadata"]["namespace"]
        kind, name = reference["kind"], reference["name"]
        if kind == "ServiceAccount":
            named = StringMatch("exact", PROXY.identity(namespace, name))
            identity = (Condition("identity", (named,)),)
        elif kind == "MeshTLSAuthentication":
            found = _find(registry, "meshtlsauthentications.policy", kind, name, namespace)
            identity = (Condition("identity", tuple(_identities(found))),)
        elif kind == "NetworkAuthentication":
            found = _find(registry, "networkauthentications.policy", kind, name, namespace)
            networks = tuple(_network(entry) for entry in found["spec"]["networks"])
        else:
            raise InvalidPolicy(f"{kind} is no way to authenticate")
    return tuple((*identity, *network) for network in networks)


def _find(registry: Registry, resource: str, kind: str, name: str, namespace: str) -> Object:
    for item in registry.of(resource, namespace):
        if item["metadata"]["name"] == name:
            return item
    raise InvalidPolicy(f"there is no {kind} {namespace}/{name}")


def _identities(item: Object) -> Iterable[StringMatch]:
    for name in item["spec"].get("identities") or ():
        if name == "*":
            yield StringMatch("present")
        elif name.startswith("*."):
            yield StringMatch("suffix", name[1:])
        else:
            yield StringMatch("exact", name)
    for reference in item["spec"].get("identityRefs") or ():
        if reference["kind"] == "Namespace":
            ending = f".{reference['name']}.serviceaccount.identity.linkerd.{CLUSTER_DOMAIN}"
            yield StringMatch("suffix", ending)
        else:
            namespace = reference.get("namespace") or item["metadata"]["namespace"]
            yield StringMatch("exact", PROXY.identity(namespace, reference["name"]))


def _network(entry: Mapping[str, Any]) -> All:
    inside = Condition("source_ip", (StringMatch("exact", entry["cidr"]),))
    without = tuple(StringMatch("exact", each) for each in entry.get("except") or ())
    return (inside, Condition("source_ip", without, inverted=True)) if without else (inside,)
