"""Checks of the ports of Services: that pods have them, and that the mesh knows their protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live
from meshkit.meshes import registry
from meshkit.meshes.checks import MeshChecks, PortProtocols
from meshkit.meshes.model.pods import target_port
from meshkit.meshes.view import View


def check(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find ports of Services in meshed namespaces that lead nowhere or whose protocol is not known."""
    for namespace in sorted(view.meshed_namespaces):
        for service in view.of("Service", namespace):
            yield from _leading_nowhere(view, service)
            for port in service["spec"].get("ports") or ():
                if port.get("protocol", "TCP") == "TCP":
                    yield from _port(view.mesh, title(service), port, rules.port_protocols)


def _port(mesh: str, where: str, port: Mapping[str, Any], protocols: PortProtocols) -> Iterator[Finding]:
    number, declared, name = port["port"], port.get("appProtocol"), str(port.get("name") or "")
    if declared:
        if declared.lower() not in protocols.app_protocols:
            effect = protocols.unknown_effect
            message = f"{mesh} does not know appProtocol {declared!r} of port {number} and {effect}."
            yield codes.finding(codes.UNKNOWN_APP_PROTOCOL, where, message)
    elif protocols.name_prefixes is not None and name.partition("-")[0] not in protocols.name_prefixes:
        message = f"port {number} declares no protocol, by appProtocol or by its name: {mesh} guesses it."
        yield codes.finding(codes.NO_PROTOCOL, where, message)


def _leading_nowhere(view: View, service: Object) -> Iterator[Finding]:
    """Find ports that lead to a named port which none of the Service's pods has."""
    for port in service["spec"].get("ports") or ():
        name = port.get("targetPort")
        if not isinstance(name, str) or name.isdigit():
            continue
        objects = view.registry(registry.mesh(view.mesh).meaning.KINDS)
        pods = list(filter(is_live, objects.pods_of(service)))
        if pods and all(target_port(pod, port) is None for pod in pods):
            message = (
                f"port {port['port']} leads to port {name!r} of its pods, and none of them has such a port."
            )
            yield codes.finding(codes.TARGET_PORT_MISSING, title(service), message)
