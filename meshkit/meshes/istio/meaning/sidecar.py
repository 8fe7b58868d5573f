"""Translate Istio's objects to the proxy model, for one caller at a time.

Follows istiod. Hosts come from Services and ServiceEntries (``istio_hosts``), their policies from
DestinationRules (``istio_destination``, ``istio_policy``, ``istio_balancing``), their routes from
VirtualServices (``istio_virtualservice``, ``istio_routes``, ``istio_match``, ``istio_actions``). What is not
carried out is a Problem on the object, and a match that cannot be judged never holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshkit.facts import Kind
from meshkit.kube.selectors import contains
from meshkit.meshes.gateway_api.meaning import matches as gateway_api
from meshkit.meshes.istio.meaning import (
    authorization as istio_authorization,
)
from meshkit.meshes.istio.meaning import (
    gateway_routes as istio_gateway,
)
from meshkit.meshes.istio.meaning import load_balancing as locality
from meshkit.meshes.istio.meaning.destinations import DestinationRules, unreached
from meshkit.meshes.istio.meaning.hosts import Host, HostPort, Workload, hosts_for, locality_of
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.istio.meaning.routes import Routing
from meshkit.meshes.istio.meaning.traffic_policy import Policy, policy_of
from meshkit.meshes.istio.meaning.unregistered_hosts import elsewhere
from meshkit.meshes.istio.meaning.virtual_services import VirtualServices
from meshkit.meshes.istio.meaning.visibility import Caller, labels_that_matter
from meshkit.meshes.model.inbound import Inbound, InboundMode, InboundRoute
from meshkit.meshes.model.outbound import (
    Cluster,
    Endpoint,
    Locality,
    Object,
    Outbound,
    Problem,
    VirtualHost,
    cluster_name,
)
from meshkit.meshes.model.pods import captured_ports
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.model.translation import Translation

statuses = istio_gateway.statuses
NOT_CARRIED = {
    "gateways": "Gateway: there are no gateways in the sandbox; routes hold for sidecars only.",
    "sidecars": "Sidecar is not supported by the sandbox: every proxy gets the routes of every host.",
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
    **gateway_api.KINDS,
}
"""The resources that the conversion reads; of configmaps only the control plane's own namespace."""
_MODES: Mapping[str, InboundMode] = {"DISABLE": "plaintext", "PERMISSIVE": "permissive", "STRICT": "strict"}


def caller_of(registry: Registry, pod: Object) -> Caller:
    """The caller for a pod: pods with equal callers share a configuration."""
    meta, node = pod["metadata"], pod["spec"].get("nodeName", "")
    matter = labels_that_matter(registry)
    labels = tuple(sorted((k, v) for k, v in (meta.get("labels") or {}).items() if k in matter))
    return Caller(meta["namespace"], labels, locality_of(registry, node), node)


def outbound(registry: Registry, caller: Caller) -> Outbound:
    """The outbound configuration of the sidecars of equal callers."""
    work = Translation(registry, caller.namespace)
    mesh, problems = MeshConfig.of(registry)
    work.problems += [*problems, *_not_carried(registry), *istio_authorization.problems(registry)]
    hosts = {host.name: host for host in hosts_for(work, caller)}
    clusters, policies = _clusters(work, caller, mesh, hosts)
    work.problems += unreached(registry, hosts)
    services = VirtualServices(work, caller, mesh.exports.get("virtualservices", ()))
    routing = Routing(work, caller, mesh, hosts, clusters, policies, services)
    virtual = [
        VirtualHost(
            host.name,
            port.number,
            host.domains[port.number],
            istio_gateway.routes_of(routing, host, port.number) or routing.of_host(host, port.number),
        )
        for host in hosts.values()
        for port in host.ports
    ]
    rest, far = elsewhere(routing)
    return Outbound(_distinct((*virtual, *rest)), (*clusters.values(), *far), _once(work.problems))


def inbound(registry: Registry, pod: Object) -> tuple[Inbound, ...]:
    """The captured ports of a pod and their mutual TLS modes."""
    meta = pod["metadata"]
    routes = (InboundRoute(authorization=istio_authorization.authorization_of(registry, pod)),)
    labels = meta.get("labels") or {}
    return tuple(
        Inbound(port, _MODES[workload_mode(registry, meta["namespace"], labels, port)], routes)
        for port in captured_ports(pod, PROXY)
    )


def workload_mode(registry: Registry, namespace: str, labels: Mapping[str, str], port: int) -> str:
    """The mode of one port of a workload: what its proxy asks for, and what callers know of it.

    Port before workload before namespace before mesh, the oldest of each; UNSET inherits; nothing at all is
    PERMISSIVE.
    """
    for item in registry.of("peerauthentications", namespace):
        spec = item.get("spec") or {}
        selector = (spec.get("selector") or {}).get("matchLabels")
        if selector and namespace != registry.root_namespace and contains(labels, selector):
            ports = {int(number): value for number, value in (spec.get("portLevelMtls") or {}).items()}
            chosen = _port_mode(ports.get(port, {})) or _mtls_mode(spec)
            return chosen or namespace_mode(registry, namespace)
    return namespace_mode(registry, namespace)


def namespace_mode(registry: Registry, namespace: str) -> str:
    """The mode of a namespace without regard to workloads: with DISABLE no caller begins mutual TLS."""
    for scope in (namespace, registry.root_namespace):
        for item in registry.of("peerauthentications", scope):
            spec = item.get("spec") or {}
            if not (spec.get("selector") or {}).get("matchLabels"):
                mode = _mtls_mode(spec)
                if mode:
                    return mode
                break
    return "PERMISSIVE"


def _mtls_mode(spec: Mapping[str, Any] | None) -> str | None:
    return _port_mode((spec or {}).get("mtls") or {})


def _port_mode(value: Mapping[str, Any]) -> str | None:
    mode = value.get("mode", "UNSET")
    return mode if mode in _MODES else None


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


def _once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, however many ports and subsets it was met at."""
    return tuple({problem.key: problem for problem in problems}.values())


def _not_carried(registry: Registry) -> list[Problem]:
    return [
        Problem(item, "NotSupported", sentence)
        for resource, sentence in NOT_CARRIED.items()
        for item in registry.of(resource)
    ]


def _clusters(
    work: Translation, caller: Caller, mesh: MeshConfig, hosts: Mapping[str, Host]
) -> tuple[dict[str, Cluster], dict[str, Policy]]:
    """By name: the cluster of every port and subset, and the policy it follows."""
    rules = DestinationRules(work, caller, mesh.exports.get("destinationrules", ()))
    clusters: dict[str, Cluster] = {}
    policies: dict[str, Policy] = {}
    for host in hosts.values():
        rule = rules.of(host)
        for port in host.ports:
            for subset, labels in rule.subsets.items():
                policy = policy_of(
                    rule.policy, rule.subset_policies.get(subset), host, port, mesh, work, rule.owner
                )
                cluster = _cluster(work, caller, mesh, host, port, subset, labels, policy)
                clusters[cluster.name], policies[cluster.name] = cluster, policy
    return clusters, policies


def _cluster(
    work: Translation,
    caller: Caller,
    mesh: MeshConfig,
    host: Host,
    port: HostPort,
    subset: str,
    labels: Mapping[str, str],
    policy: Policy,
) -> Cluster:
    chosen = [each for each in host.workloads.get(port.number, ()) if contains(each.labels, labels)]
    endpoints, weights = _endpoints(work.registry, caller, mesh, host, policy, chosen)
    automatic = (
        mesh.automatic_tls
        and not host.external
        and namespace_mode(work.registry, host.namespace) != "DISABLE"
    )
    return Cluster(
        name=cluster_name(port.number, subset, host.name),
        endpoints=endpoints,
        identities=policy.names or host.identities,
        tls=policy.tls or ("auto" if automatic else "never"),
        balancing=locality.weighted(policy.balancing, weights),
        protocol=policy.protocol,
        limits=policy.limits,
        outlier=policy.outlier,
        as_asked=host.as_asked and not chosen,
    )


def _endpoints(
    registry: Registry,
    caller: Caller,
    mesh: MeshConfig,
    host: Host,
    policy: Policy,
    chosen: Iterable[Workload],
) -> tuple[tuple[Endpoint, ...], tuple[tuple[Locality, int], ...]]:
    """The endpoints in the order that locality gives them, and the weights of localities where they count."""
    listed = tuple(chosen)
    weights: tuple[tuple[Locality, int], ...] = ()
    setting, always = locality.effective_locality(policy.locality, host.item, mesh.locality)
    ranks: dict[Workload, int] = {}
    if setting is not None and setting.get("distribute"):
        listed, weights = locality.distributed(setting, caller, listed)
    elif setting is not None and (always or policy.outlier):
        ranks = locality.priorities(setting, caller, listed)
    return tuple(
        Endpoint(
            each.address,
            each.port,
            each.takes_mutual_tls
            and workload_mode(registry, host.namespace, each.labels, each.port) != "DISABLE",
            each.locality,
            ranks.get(each, 0),
            each.weight,
        )
        for each in listed
    ), weights
