"""Writes the ConfigMaps that istiod keeps in every namespace: the mesh's roots and the revoked certificates.

Real sidecars mount ``istio-ca-root-cert`` to verify their peers. The sandbox's sidecars receive their roots
from the node, so here it serves users and other programs. ``istio-ca-crl`` is empty, as for any CA that was
not plugged in with a list of revoked certificates. As with istiod, both are created again when they are
deleted and restored when they are changed, and the system namespaces that istiod skips are skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aiohttp

from meshkit.sandbox.control_planes.api_client import ApiClient, ApiError, Mirror
from meshkit.sandbox.control_planes.authority import CaSecret, authority_in

_LOG = logging.getLogger("roots")
CONFIG_MAP, KEY = "istio-ca-root-cert", "root-cert.pem"
REVOKED, REVOKED_KEY = "istio-ca-crl", "ca-crl.pem"
_LABELS = {"istio.io/config": "true"}
_SKIPPED_NAMESPACES = {"kube-public", "kube-node-lease", "local-path-storage"}


async def publish(api: ApiClient, namespace: str, secret: CaSecret) -> None:
    """Reconcile the ConfigMaps until cancelled; ``namespace`` contains the ``secret`` of the CA."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep(api, namespace, secret, CONFIG_MAP, lambda roots: {KEY: roots}))
        tasks.create_task(_keep(api, namespace, secret, REVOKED, lambda roots: {REVOKED_KEY: ""}))


async def _keep(
    api: ApiClient, namespace: str, secret: CaSecret, name: str, data: Callable[[str], dict[str, str]]
) -> None:
    """Keep the ConfigMap ``name`` in every namespace; ``data`` returns its content for the CA's roots."""
    mirror = Mirror(
        api,
        ["namespaces", "configmaps", "secrets"],
        within={"secrets": namespace},
        named={"configmaps": name},
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(mirror.run())
        while True:
            await mirror.changed.wait()
            mirror.changed.clear()
            ca = authority_in(secret, mirror.objects["secrets"].get(f"{namespace}/{secret.name}"), None)
            if mirror.is_synced and ca:
                wanted = data(ca.roots)
                for key in _outdated_namespaces(mirror, name, wanted):
                    await _write(api, mirror, key, name, wanted)


def _outdated_namespaces(mirror: Mirror, name: str, wanted: dict[str, str]) -> list[str]:
    """Return the namespaces whose ConfigMap is missing or differs."""
    names = [
        item["metadata"]["name"]
        for item in mirror.objects["namespaces"].values()
        if "deletionTimestamp" not in item["metadata"]
    ]
    config_maps = mirror.objects["configmaps"]
    return [
        namespace
        for namespace in sorted(set(names) - _SKIPPED_NAMESPACES)
        if (config_maps.get(f"{namespace}/{name}") or {}).get("data") != wanted
    ]


async def _write(api: ApiClient, mirror: Mirror, namespace: str, name: str, data: dict[str, str]) -> None:
    meta = {"name": name, "namespace": namespace, "labels": _LABELS}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    existing = mirror.objects["configmaps"].get(f"{namespace}/{name}")
    try:
        if existing is None:
            await api.create("configmaps", item)
        else:
            await api.update("configmaps", {**existing, "data": data})
    except (ApiError, aiohttp.ClientError, OSError) as problem:
        _LOG.info("cannot write %s in %s: %s", name, namespace, problem)
