"""Plan the ServiceEntry of an Egress, and tell what Istio does with requests to other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Need, Object, Snapshot
from meshkit.intent.edges.egress import Egress, EgressPort
from meshkit.kube import manifests
from meshkit.kube.metadata import title
from meshkit.kube.steps import Step
from meshkit.meshes.istio.meaning import sidecar
from meshkit.meshes.istio.meaning.mesh_config import MeshConfig
from meshkit.meshes.istio.meaning.visibility import Caller, exported
from meshkit.meshes.istio.traffic.policies import SERVICE_ENTRY
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.routing.capabilities import Limits, refuse

_MODE = "meshConfig.outboundTrafficPolicy.mode"
_TO_CHANGE = f"To change it for the whole mesh, set {_MODE} in values of the ControlPlane."
LIMITS: Limits = {
    "others": f"Istio decides this for the whole mesh: set {_MODE} in values of the ControlPlane, to"
    " REGISTRY_ONLY or ALLOW_ANY.",
}
"""The fields of an Egress that Istio cannot carry out, each with what it can do instead."""


def needs(egress: Egress) -> tuple[Need, ...]:
    """The objects that ``plan`` and the checks read."""
    return (Need(SERVICE_ENTRY, within=(egress.namespace,), optional=True),)


def plan(egress: Egress) -> tuple[Step, ...]:
    """The step that registers the hosts. Raises ``BadInput`` for what Istio does not have."""
    refuse(egress, "Istio", LIMITS)
    spec: dict[str, Any] = {"hosts": list(egress.hosts)}
    if any(port.protocol == "tcp" for port in egress.ports):
        spec["addresses"] = list(egress.addresses)
    spec["ports"] = [_port(port) for port in egress.ports]
    spec["location"] = "MESH_EXTERNAL"
    spec["resolution"] = "STATIC" if egress.addresses else "NONE" if egress.has_patterns else "DNS"
    if egress.addresses:
        spec["endpoints"] = [{"address": address} for address in egress.addresses]
    spec["exportTo"] = ["." if egress.callers == "namespace" else "*"]
    return (Step(manifests.obj(SERVICE_ENTRY, egress.name, egress.namespace, spec=spec)),)


def _port(port: EgressPort) -> dict[str, Any]:
    written: dict[str, Any] = {"number": port.number, "name": f"{port.protocol}-{port.number}"}
    written["protocol"] = port.protocol.upper()
    if port.target_port:
        written["targetPort"] = port.target_port
    return written


def findings(egress: Egress, snapshot: Snapshot) -> Iterator[Finding]:
    """Find hosts that other objects register, and tell what happens to requests to hosts that none does."""
    own = f"{SERVICE_ENTRY.kind} {egress.namespace}/{egress.name}"
    for index, host in enumerate(egress.hosts):
        for entry in _entries(host, egress, snapshot):
            if title(entry) != own:
                message = f"{title(entry)} registers {host} already, and proxies follow one of the two."
                remedy = f"Add the ports to {title(entry)}, or leave the host out of the Egress."
                where = f"egress.hosts[{index}]"
                yield codes.finding(codes.HOST_REGISTERED_ELSEWHERE, where, message, remedy)
    yield codes.finding(codes.OTHER_HOSTS, "egress.others", _of_others(snapshot), _TO_CHANGE)


def _entries(host: str, egress: Egress, snapshot: Snapshot) -> Iterator[Object]:
    for entry in snapshot.of(SERVICE_ENTRY.kind):
        hosts = [str(each).lower() for each in (entry.get("spec") or {}).get("hosts") or ()]
        if host in hosts and exported(entry, Caller(egress.namespace), ()):
            yield entry


def _of_others(snapshot: Snapshot) -> str:
    config = [each for each in snapshot.of("ConfigMap") if "mesh" in (each.get("data") or {})]
    home = str(config[0]["metadata"]["namespace"]) if config else ""
    try:
        mesh, _ = MeshConfig.of(Registry.reading(config, sidecar.KINDS, home))
    except ValueError:
        return f"what happens to requests to hosts that are not registered is not known ({_MODE})."
    if mesh.registry_only:
        return f"requests to hosts that are not registered are answered with 502 ({_MODE}: REGISTRY_ONLY)."
    return f"requests to hosts that are not registered leave the mesh as they are ({_MODE}: ALLOW_ANY)."
