"""The objects that the API server itself writes: those that every cluster starts with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshkit.sandbox.api.auth.users import MASTERS

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

_RBAC = "rbac.authorization.k8s.io"
_SERVER = {"name": "kubernetes", "namespace": "default"}
_SERVER_IP = "10.96.0.1"


async def create_objects(client: LocalClient, ca: str) -> None:
    """Create the namespaces, RBAC objects and the client CA that every cluster starts with."""
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    to_masters = {
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": MASTERS}],
    }
    authentication = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    await _ensure(client, "namespaces", {"metadata": {"name": "default"}})
    await _ensure(client, "namespaces", {"metadata": {"name": "kube-system"}})
    await _ensure(
        client, f"clusterroles.{_RBAC}", {"metadata": {"name": "cluster-admin"}, "rules": everything}
    )
    await _ensure(
        client, f"clusterrolebindings.{_RBAC}", {"metadata": {"name": "cluster-admin"}, **to_masters}
    )
    await _ensure(client, "configmaps", {"metadata": authentication, "data": {"client-ca-file": ca}})


async def publish_address(client: LocalClient, address: str, port: int) -> None:
    """Write the Service ``kubernetes`` and its endpoint: this API server, whose port may differ each time."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "targetPort": port}]
    spec = {"clusterIP": _SERVER_IP, "ports": ports}
    await _ensure(client, "services", {"metadata": {**_SERVER, "labels": labels}, "spec": spec})
    here = [{"name": "https", "port": port, "protocol": "TCP"}]
    await client.merge_patch("services", "kubernetes", "default", {"spec": {"ports": ports}})
    await _ensure(
        client,
        "endpointslices.discovery.k8s.io",
        {
            "metadata": {**_SERVER, "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": here,
        },
    )
    await _ensure(
        client,
        "endpoints",
        {
            "metadata": {**_SERVER, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address}], "ports": here}],
        },
    )


async def _ensure(client: LocalClient, resource: str, obj: Mapping[str, Any]) -> None:
    """Create an object, or give an existing one the present endpoints."""
    metadata = obj["metadata"]
    if await client.get(resource, metadata["name"], metadata.get("namespace")) is None:
        await client.create(resource, dict(obj))
        return
    changed = {name: obj[name] for name in ("endpoints", "ports", "subsets", "data") if name in obj}
    if changed:
        await client.merge_patch(resource, metadata["name"], metadata.get("namespace"), changed)
