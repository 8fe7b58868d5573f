"""Istio's meaning: Services, VirtualServices, DestinationRules and PeerAuthentications as a proxy model.

Follows istiod: the first match of the oldest VirtualService of a host wins and the others are dropped; a
DestinationRule is looked up in the caller's, the Service's, then the root namespace; subset policies override
field by field while portLevelSettings replace; no timeout and two retries unless said otherwise. What is not
carried out is a Problem on the object, and a match that cannot be judged never matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.proxies.inbound import Inbound, InboundMode, InboundRoute
from meshkit.sandbox.proxies.istio_authorization import authorization_of, problems
from meshkit.sandbox.proxies.istio_policy import Policy, policy_of
from meshkit.sandbox.proxies.istio_routes import plain_route, routes_of
from meshkit.sandbox.proxies.model import (
    Cluster,
    Endpoint,
    Object,
    Outbound,
    Problem,
    VirtualHost,
    cluster_name,
)
from meshkit.sandbox.proxies.pods import (
    ISTIO,
    TLS_MODE_LABEL,
    Registry,
    captured_ports,
    domains_of,
    full_host,
    host_of,
    selects,
    service_account,
    workload_identity,
)
from meshkit.sandbox.proxies.translation import Translation

__all__ = ["RESOURCES", "inbound", "namespace_mode", "outbound", "problems"]
RESOURCES = (
    *("namespaces", "pods", "services", "endpointslices.discovery.k8s.io"),
    *("virtualservices.networking.istio.io", "destinationrules.networking.istio.io"),
    *("peerauthentications.security.istio.io", "authorizationpolicies.security.istio.io"),
)
_MODES: Mapping[str, InboundMode] = {"DISABLE": "plaintext", "PERMISSIVE": "permissive", "STRICT": "strict"}


def outbound(registry: Registry, namespace: str) -> Outbound:
    """What the sidecars of one namespace do with the requests of their applications."""
    work = Translation(registry, namespace)
    routing = _virtual_services(work)
    hosts: list[VirtualHost] = []
    clusters: dict[str, Cluster] = {}
    policies: dict[str, Policy] = {}
    for service in registry.of("services"):
        rule = _DestinationRule.of(work, service)
        for port in service["spec"].get("ports") or ():
            for subset, labels in rule.subsets.items():
                policy = policy_of(
                    rule.traffic_policy, rule.subset_policies.get(subset), int(port["port"]), work, rule.owner
                )
                cluster = _cluster(work, service, port, subset, labels, policy)
                clusters[cluster.name] = cluster
                policies[cluster.name] = policy
    for service in registry.of("services"):
        for port in service["spec"].get("ports") or ():
            number = int(port["port"])
            host = host_of(service)
            item = routing.get(host)
            routes = (
                routes_of(work, item, number, clusters, policies)
                if item
                else (plain_route(host, number, policies),)
            )
            hosts.append(VirtualHost(host, number, domains_of(service, number, namespace), routes))
    return Outbound(tuple(hosts), tuple(clusters.values()), tuple(work.problems))


def inbound(registry: Registry, pod: Object) -> tuple[Inbound, ...]:
    """The captured ports of a pod and the mutual TLS each asks for.

    Workload before namespace before mesh, the oldest of each; UNSET inherits; nothing at all is PERMISSIVE.
    """
    meta = pod["metadata"]
    broad = namespace_mode(registry, meta["namespace"])
    chosen = None
    for item in registry.of("peerauthentications", meta["namespace"]):
        selector = (item["spec"].get("selector") or {}).get("matchLabels")
        if (
            selector
            and meta["namespace"] != registry.root_namespace
            and selects(selector, meta.get("labels"))
        ):
            chosen = item["spec"]
            break
    mode = _mtls_mode(chosen) or broad
    by_port = {
        int(port): _port_mode(value) for port, value in ((chosen or {}).get("portLevelMtls") or {}).items()
    }
    routes = (InboundRoute(authorization=authorization_of(registry, pod)),)
    return tuple(Inbound(port, _MODES[by_port.get(port) or mode], routes) for port in captured_ports(pod))


def namespace_mode(registry: Registry, namespace: str) -> str:
    """The mode of a namespace without regard to workloads: all that a caller's automatic mutual TLS sees."""
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


@dataclass(frozen=True)
class _DestinationRule:
    """All that holds for one host: its subsets ("" is the whole Service) and the policies."""

    owner: Object | None
    traffic_policy: Mapping[str, Any]
    subsets: Mapping[str, Mapping[str, str]]
    subset_policies: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, work: Translation, service: Object) -> _DestinationRule:
        """The rules of the first namespace that has any for this host, merged:

        subsets join, the oldest policy wins.
        """
        host = host_of(service)
        found: list[Object] = []
        for namespace in dict.fromkeys(
            (work.namespace, service["metadata"]["namespace"], work.registry.root_namespace)
        ):
            found = [
                item
                for item in work.registry.of("destinationrules", namespace)
                if full_host(item["spec"].get("host", ""), namespace) == host
                and _exported(item, work.namespace)
            ]
            if found:
                break
        subsets: dict[str, Mapping[str, str]] = {"": {}}
        subset_policies: dict[str, Mapping[str, Any]] = {}
        policy: Mapping[str, Any] = {}
        for item in found:
            policy = policy or item["spec"].get("trafficPolicy") or {}
            for subset in item["spec"].get("subsets") or ():
                if subset["name"] not in subsets:
                    subsets[subset["name"]] = subset.get("labels") or {}
                    subset_policies[subset["name"]] = subset.get("trafficPolicy") or {}
            if item["spec"].get("workloadSelector"):
                work.ignore(
                    item, "spec.workloadSelector is not carried out: the rule holds for every caller."
                )
        return cls(found[0] if found else None, policy, subsets, subset_policies)


def _cluster(
    work: Translation,
    service: Object,
    port: Mapping[str, Any],
    subset: str,
    labels: Mapping[str, str],
    policy: Policy,
) -> Cluster:
    registry, namespace = work.registry, service["metadata"]["namespace"]
    taken = registry.backings(service, port)
    backings = [
        b for b in taken if not labels or (b.pod and selects(labels, b.pod["metadata"].get("labels")))
    ]
    accounts = sorted({service_account(pod) for pod in registry.pods_of(service)})
    automatic = namespace_mode(registry, namespace) != "DISABLE"
    return Cluster(
        name=cluster_name(int(port["port"]), subset, host_of(service)),
        endpoints=tuple(
            Endpoint(b.address, b.port, bool(b.pod) and _takes_mutual_tls(b.pod)) for b in backings
        ),
        identities=tuple(workload_identity(ISTIO, namespace, account) for account in accounts),
        tls=policy.tls or ("auto" if automatic else "never"),
        load_balancer=policy.load_balancer,
        limits=policy.limits,
        outlier=policy.outlier,
    )


def _takes_mutual_tls(pod: Object | None) -> bool:
    return bool(pod) and ((pod or {})["metadata"].get("labels") or {}).get(TLS_MODE_LABEL) == "istio"


def _virtual_services(work: Translation) -> dict[str, Object]:
    """Host -> the VirtualService that rules it for these callers."""
    found: dict[str, Object] = {}
    for item in work.registry.of("virtualservices"):
        spec = item.get("spec") or {}
        if "mesh" not in (spec.get("gateways") or ["mesh"]) or not _exported(item, work.namespace):
            continue
        for written in spec.get("hosts") or ():
            host = full_host(written, item["metadata"]["namespace"])
            if "*" in host:
                work.ignore(
                    item, f"spec.hosts: {written!r}: wildcard hosts are not carried out by the sandbox."
                )
            elif host in found:
                first = found[host]["metadata"]
                message = f"{host} is already routed by {first['namespace']}/{first['name']}, which is older."
                work.problems.append(Problem(item, "HostConflict", message))
            else:
                found[host] = item
    return found


def _exported(item: Object, namespace: str) -> bool:
    scopes = item["spec"].get("exportTo") or ["*"]
    own = item["metadata"]["namespace"]
    return "*" in scopes or namespace in scopes or ("." in scopes and own == namespace)
