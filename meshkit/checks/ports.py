"""What protocol a mesh takes a Service's ports for. A wrong guess is silent: routes and metrics just stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Finding
from meshkit.meshes.view import View, finding

_ISTIO = {
    *("http", "http2", "grpc", "grpc-web", "https", "tls", "tcp", "udp", "mongo", "redis", "mysql"),
    *("kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"),
}
"""appProtocol values and prefixes of port names that Istio 1.31 knows (pkg/config/kube/conversion.go)."""
_LINKERD = {"http", "kubernetes.io/h2c", "linkerd.io/opaque", "linkerd.io/tcp"}
"""appProtocol values that Linkerd knows; any other makes a port plain TCP, without routes and metrics."""


def check(view: View) -> Iterator[Finding]:
    """Ports of Services in meshed namespaces whose protocol the mesh does not know or has to guess."""
    for namespace in sorted(view.meshed_namespaces):
        for service in view.of("Service", namespace):
            for port in service["spec"].get("ports") or ():
                if port.get("protocol", "TCP") == "TCP":
                    for severity, code, message, remedy in _problems(view.mesh, port):
                        yield finding(code, severity, service, message, remedy)


def _problems(mesh: str, port: Mapping[str, Any]) -> Iterator[tuple[Any, str, str, str]]:
    number, declared, name = port["port"], port.get("appProtocol"), str(port.get("name") or "")
    known = _ISTIO if mesh == "istio" else _LINKERD
    if declared and declared.lower() not in known:
        effect = "guesses it" if mesh == "istio" else "takes the port as plain TCP: no routes, no metrics"
        message = f"{mesh} does not know appProtocol {declared!r} of port {number} and {effect}."
        yield "warning", "MK0901", message, "Use 'http' or 'kubernetes.io/h2c', which both meshes know."
    elif not declared and mesh == "istio" and name.partition("-")[0] not in _ISTIO:
        message = (
            f"port {number} declares no protocol, neither by appProtocol nor by its name: Istio guesses."
        )
        yield "info", "MK0902", message, "Set appProtocol, or name the port http-..., grpc-..., tcp-..."
