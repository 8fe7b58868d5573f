"""Checks that a mesh knows the protocol of Service ports; a wrong guess silently disables routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.checks import MeshChecks, PortProtocols
from meshkit.meshes.view import View


def check(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find ports of Services in meshed namespaces whose protocol the mesh does not know or has to guess."""
    for namespace in sorted(view.meshed_namespaces):
        for service in view.of("Service", namespace):
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
