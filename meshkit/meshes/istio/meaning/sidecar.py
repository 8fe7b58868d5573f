"""Translate Istio's objects to the proxy model, for one caller at a time.

Follows istiod. Hosts come from Services and ServiceEntries (``istio_hosts``), their policies from
DestinationRules (``istio_destination``, ``istio_policy``, ``istio_balancing``), their routes from
VirtualServices (``istio_virtualservice``, ``istio_routes``, ``istio_match``, ``istio_actions``). What is not
carried out is a Problem on the object, and a match that cannot be judged never holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from meshkit.facts import Kind
from meshkit.meshes.gateway_api.meaning import matches as gateway_api
from meshkit.meshes.istio.meaning import (
    authorization as istio_authorization,
)
from meshkit.meshes.istio.meaning import (
    gateway_routes as istio_gateway,
)
from meshkit.meshes.istio.meaning.destinations.clusters import Clusters
from meshkit.meshes.istio.meaning.destinations.load_balancing import places_that_matter
from meshkit.meshes.istio.meaning.destinations.rules import DestinationRules, unreached
from meshkit.meshes.istio.meaning.hosts import hosts_for, inbound_protocol, locality_of
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.mutual_tls import workload_mode
from meshkit.meshes.istio.meaning.proxy import PROXY as PROXY
from meshkit.meshes.istio.meaning.routes import Routing
from meshkit.meshes.istio.meaning.unregistered_hosts import elsewhere
from meshkit.meshes.istio.meaning.virtual_services import VirtualServices
from meshkit.meshes.istio.meaning.visibility import Caller, labels_that_matter
from meshkit.meshes.model.inbound import Inbound, InboundMode, InboundRoute
from meshkit.meshes.model.outbound import (
    Locality,
    Object,
    Outbound,
    Problem,
    VirtualHost,
    once,
)
from meshkit.meshes.model.pods import captured_ports
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation

statuses = istio_gateway.statuses
route_problems = istio_gateway.route_problems
NOT_CARRIED = {
    "gateways": "Gateway: there are no gateways in the sandbox; routes hold for sidecars only.",
    "gateways.gateway": "Gateway: there are no gateways in the sandbox, so nobody serves its listeners.",
    "sidecars": "Sidecar is not supported: every proxy is taken to know every host, whatever egress lists.",
    "requestauthentications": "RequestAuthentication is not supported: the sandbox verifies no tokens.",
    "workloadentries": "WorkloadEntry is not supported by the sandbox.",
}
KINDS: Mapping[str, Kind] = {
    "namespaces": Kind("v1", "Namespace"),
    "nodes": Kind("v1", "Node"),
    "pods": Kind("v1", "Pod"),
    "services": Kind("v1", "Service"),
    "configmaps": Kind("v1", "ConfigMap"),
    "endpointslices": Kind("discovery.k8s.io/v1", "EndpointSlice"),
    "virtualservices": Kind("networking.istio.io/v1", "VirtualService"),
    "destinationrules": Kind("networking.istio.io/v1", "DestinationRule"),
    "serviceentries": Kind("networking.istio.io/v1", "ServiceEntry"),
    "gateways": Kind("networking.istio.io/v1", "Gateway"),
    "sidecars": Kind("networking.istio.io/v1", "Sidecar"),
    "workloadentries": Kind("networking.istio.io/v1", "WorkloadEntry"),
    "requestauthentications": Kind("security.istio.io/v1", "RequestAuthentication"),
    "peerauthentications": Kind("security.istio.io/v1", "PeerAuthentication"),
    "authorizationpolicies": Kind("security.istio.io/v1", "AuthorizationPolicy"),
    "gateways.gateway": Kind("gateway.networking.k8s.io/v1", "Gateway"),
    **gateway_api.KINDS,
}
"""The resources that the conversion reads; of configmaps only the control plane's own namespace."""
_MODES: Mapping[str, InboundMode] = {"DISABLE": "plaintext", "PERMISSIVE": "permissive", "STRICT": "strict"}


def caller_of(registry: Registry, pod: Object) -> Caller:
    """The caller for a pod: pods with equal callers share a configuration."""
    meta, node = pod["metadata"], pod["spec"].get("nodeName", "")
    matter, places = labels_that_matter(registry), places_that_matter(registry)
    labels = tuple(sorted((k, v) for k, v in (meta.get("labels") or {}).items() if k in matter))
    locality = locality_of(registry, node) if places.locality else Locality()
    return Caller(meta["namespace"], labels, locality, node if places.node else "")


def outbound(registry: Registry, caller: Caller) -> Outbound:
    """The outbound configuration of the sidecars of equal callers."""
    work = Translation(registry, caller.namespace)
    mesh, problems = MeshConfig.of(registry)
    work.problems += [*problems, *_not_carried(registry), *istio_authorization.problems(registry)]
    work.problems += istio_gateway.route_problems(registry)
    hosts = {host.name: host for host in hosts_for(work, caller, mesh.exports.get("services", ()))}
    rules = DestinationRules(work, caller, mesh.exports.get("destinationrules", ()))
    clusters = Clusters(work, caller, mesh, hosts, rules)
    outgoing = [clusters[name] for name in clusters]  # list(clusters.values()) would count them first
    work.problems += unreached(registry, hosts)
    services = VirtualServices(work, caller, mesh.exports.get("virtualservices", ()))
    services.tell()
    routing = Routing(work, caller, mesh, hosts, clusters, clusters.policies, services)
    virtual = [
        VirtualHost(
            host.name,
            port.number,
            host.domains[port.number],
            routing.of_tcp(host, port.number)
            if port.read_as == "tcp"
            else istio_gateway.routes_of(routing, host, port.number) or routing.of_host(host, port.number),
            port.read_as,
        )
        for host in hosts.values()
        for port in host.ports
    ]
    work.problems += [*routing.on_tcp_ports(), *istio_gateway.on_tcp_ports(routing)]
    rest, far = elsewhere(routing)
    return Outbound(_distinct((*virtual, *rest)), (*outgoing, *far), once(work.problems))


def inbound(registry: Registry, pod: Object) -> tuple[Inbound, ...]:
    """The captured ports of a pod, with their protocols, mutual TLS modes and authorization."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    found = []
    for port in captured_ports(pod, PROXY):
        mode = _MODES[workload_mode(registry, meta["namespace"], labels, port)]
        protocol = inbound_protocol(registry, pod, port)
        authorization = istio_authorization.authorization_of(registry, pod, protocol)
        found.append(Inbound(port, mode, (InboundRoute(authorization=authorization),), protocol=protocol))
    return tuple(found)


def _distinct(hosts: Iterable[VirtualHost]) -> tuple[VirtualHost, ...]:
    """Hosts without the domains that an earlier one has: Envoy takes each only once."""
    taken: set[str] = set()
    found = []
    for host in hosts:
        left = tuple(domain for domain in dict.fromkeys(host.domains) if domain not in taken)
        taken |= set(left)
        if left:
            found.append(replace(host, domains=left))
    return tuple(found)


def _not_carried(registry: Registry) -> list[Problem]:
    return [
        Problem(item, "NotSupported", sentence)
        for resource, sentence in NOT_CARRIED.items()
        for item in registry.of(resource)
    ]
