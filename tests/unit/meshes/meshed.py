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


def virtual_service(
    name: str,
    host: str,
    http: list[dict[str, Any]],
    *,
    namespace: str = "shop",
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> dict[str, Any]:
    """A VirtualService for one host."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {"hosts": [host], "http": http, **spec},
    }


def http_route(
    name: str, rules: list[dict[str, Any]], *, service: str = "web", port: int = 8080, namespace: str = "shop"
) -> dict[str, Any]:
    """An HTTPRoute on a port of a Service in shop."""
    parent = {"group": "", "kind": "Service", "name": service, "namespace": "shop", "port": port}
    created = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {"parentRefs": [parent], "rules": rules},
    }
