"""Linkerd's clusterNetworks: do they contain the cluster's pods and Services?

Linkerd looks up no address outside of them: traffic to such an address gets no mutual TLS, no routes and no
metrics.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.linkerd.checks.chart_values import CONFIG_MAP, chart_values
from meshkit.meshes.view import View

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check(view: View) -> Iterator[Finding]:
    """Addresses outside of ``clusterNetworks``: one finding each for nodes, pods and Services."""
    value = str(chart_values(view).get("clusterNetworks") or "")
    if not value:
        return
    where = f"ConfigMap {view.home}/{CONFIG_MAP}"
    try:
        networks = [ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",")]
    except ValueError as problem:
        message = f"clusterNetworks cannot be read: {problem}."
        remedy = "Write networks with commas between them."
        yield codes.finding(codes.OUTSIDE_CLUSTER_NETWORKS, where, message, remedy)
        return
    for addresses in (_nodes(view), _pods(view), _services(view)):
        outside = [(name, address) for name, address in addresses if not _contain(networks, address)]
        if outside:
            name, address = outside[0]
            others = f" and {len(outside) - 1} others" if len(outside) > 1 else ""
            message = f"clusterNetworks ({value}) do not contain {name} ({address}){others}."
            yield codes.finding(codes.OUTSIDE_CLUSTER_NETWORKS, where, message)


def _nodes(view: View) -> Iterator[tuple[str, str]]:
    for node in view.of("Node"):
        spec = node.get("spec") or {}
        for network in spec.get("podCIDRs") or [spec.get("podCIDR")]:
            if network:
                yield f"the pods of {title(node)}", network


def _pods(view: View) -> Iterator[tuple[str, str]]:
    for pod in view.of("Pod"):
        address = (pod.get("status") or {}).get("podIP")
        if address and not pod["spec"].get("hostNetwork"):
            yield title(pod), address


def _services(view: View) -> Iterator[tuple[str, str]]:
    for service in view.of("Service"):
        address = service["spec"].get("clusterIP")
        if address and address != "None":
            yield title(service), address


def _contain(networks: Sequence[Network], text: str) -> bool:
    if "/" not in text:
        address = ipaddress.ip_address(text)
        return any(address in network for network in networks)
    inner = ipaddress.ip_network(text, strict=False)
    return any(
        inner.network_address in network and inner.prefixlen >= network.prefixlen for network in networks
    )
