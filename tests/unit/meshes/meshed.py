"""Small objects of a meshed namespace, for tests of what a Snapshot means."""

from __future__ import annotations

from typing import Any

SIDECAR = {"istio": "istio-proxy", "linkerd": "linkerd-proxy"}


def sidecar(mesh: str, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    """A running pod with a proxy of the mesh."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"client-{namespace}", "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "app"}, {"name": SIDECAR[mesh]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }


def service(name: str, *ports: int, namespace: str = "shop") -> dict[str, Any]:
    """A Service with HTTP ports."""
    listed = [{"name": f"http-{port}", "port": port, "appProtocol": "http"} for port in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "10.9.0.1", "selector": {"app": name}, "ports": listed},
    }
