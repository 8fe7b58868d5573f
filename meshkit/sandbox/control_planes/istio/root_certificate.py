"""Writes the mesh's roots to the ConfigMap ``istio-ca-root-cert`` in every namespace, as istiod does.

Real sidecars mount it to verify their peers. The sandbox's sidecars receive their roots from the node, so
here the ConfigMap serves users and other programs. As with istiod, it is created again when it is deleted
and restored when it is changed, and the system namespaces that istiod skips are skipped.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError, Mirror
from meshkit.sandbox.control_planes.authority import CaSecret, authority_in

_LOG = logging.getLogger("roots")
CONFIG_MAP, KEY = "istio-ca-root-cert", "root-cert.pem"
_LABELS = {"istio.io/config": "true"}
_SKIPPED_NAMESPACES = {"kube-public", "kube-node-lease", "local-path-storage"}


async def publish(api: ApiClient, namespace: str, secret: CaSecret) -> None:
    """Reconcile the ConfigMaps until cancelled; ``namespace`` contains the ``secret`` of the CA."""
    mirror = Mirror(
        api,
        ["namespaces", "configmaps", "secrets"],
        within={"secrets": namespace},
        named={"configmaps": CONFIG_MAP},
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(mirror.run())
        while True:
            await mirror.changed.wait()
            mirror.changed.clear()
            ca = authority_in(secret, mirror.objects["secrets"].get(f"{namespace}/{secret.name}"), None)
            if mirror.is_synced and ca:
                for key in _outdated_namespaces(mirror, ca.roots):
                    await _write(api, mirror, key, ca.roots)


def _outdated_namespaces(mirror: Mirror, roots: str) -> list[str]:
    """Return the namespaces whose ConfigMap is missing or differs."""
    names = [
        item["metadata"]["name"]
        for item in mirror.objects["namespaces"].values()
        if "deletionTimestamp" not in item["metadata"]
    ]
    config_maps = mirror.objects["configmaps"]
    return [
        name
        for name in sorted(set(names) - _SKIPPED_NAMESPACES)
        if (config_maps.get(f"{name}/{CONFIG_MAP}") or {}).get("data") != {KEY: roots}
    ]


async def _write(api: ApiClient, mirror: Mirror, namespace: str, roots: str) -> None:
    meta = {"name": CONFIG_MAP, "namespace": namespace, "labels": _LABELS}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {KEY: roots}}
    existing = mirror.objects["configmaps"].get(f"{namespace}/{CONFIG_MAP}")
    try:
        if existing is None:
            await api.create("configmaps", item)
        else:
            await api.update("configmaps", {**existing, "data": {KEY: roots}})
    except (ApiError, aiohttp.ClientError, OSError) as problem:
        _LOG.info("cannot write %s in %s: %s", CONFIG_MAP, namespace, problem)
