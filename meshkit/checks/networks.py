"""Do the networks that Linkerd takes for the cluster's own hold its pods and Services? What lies outside is
looked up by nobody: no mutual TLS, no routes, no metrics.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.view import View, finding

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check(view: View) -> Iterator[Finding]:
    """Addresses outside of ``clusterNetworks``: one finding each for nodes, pods and Services."""
    written = str(view.settings.get("clusterNetworks") or "")
    if view.mesh != "linkerd" or not written:
        return
    where = f"ConfigMap {view.home}/linkerd-config"
    try:
        networks = [ipaddress.ip_network(each.strip(), strict=False) for each in written.split(",")]
    except ValueError as problem:
        message = f"clusterNetworks cannot be read: {problem}."
        yield finding("MK1302", "error", where, message, "Write networks, with commas between them.")
        return
    for told in (_nodes(view), _pods(view), _services(view)):
        outside = [(name, address) for name, address in told if not _holds(networks, address)]
        if outside:
            name, address = outside[0]
            others = f" and {len(outside) - 1} others" if len(outside) > 1 else ""
            message = f"clusterNetworks ({written}) do not hold {name} ({address}){others}."
            remedy = "Upgrade linkerd-control-plane with clusterNetworks that do, then restart the workloads."
            yield finding("MK1302", "error", where, message, remedy)


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


def _holds(networks: Sequence[Network], written: str) -> bool:
    if "/" not in written:
        address = ipaddress.ip_address(written)
        return any(address in network for network in networks)
    inner = ipaddress.ip_network(written, strict=False)
    return any(
        inner.network_address in network and inner.prefixlen >= network.prefixlen for network in networks
    )
