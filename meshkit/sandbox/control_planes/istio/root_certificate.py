"""The mesh's roots as ConfigMap ``istio-ca-root-cert`` in every namespace, as istiod writes them.

Real sidecars mount it to know whom to believe; the sandbox's take their roots from the node, so here it is
for people and for what reads it. Like istiod's, it is made again when it is deleted and put right when it is
changed, and the namespaces of Kubernetes' own that istiod leaves out are left out.
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
_LEFT_OUT = {"kube-public", "kube-node-lease", "local-path-storage"}


async def publish(api: ApiClient, namespace: str, secret: CaSecret) -> None:
    """Keep the ConfigMaps as they should be, until cancelled. ``namespace`` has the ``secret`` of the CA."""
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
            found = authority_in(secret, mirror.objects["secrets"].get(f"{namespace}/{secret.name}"), None)
            if mirror.is_synced and found:
                for key in _lacking(mirror, found.roots):
                    await _write(api, mirror, key, found.roots)


def _lacking(mirror: Mirror, roots: str) -> list[str]:
    """The namespaces whose ConfigMap is not there, or not right."""
    names = [
        item["metadata"]["name"]
        for item in mirror.objects["namespaces"].values()
        if "deletionTimestamp" not in item["metadata"]
    ]
    held = mirror.objects["configmaps"]
    return [
        name
        for name in sorted(set(names) - _LEFT_OUT)
        if (held.get(f"{name}/{CONFIG_MAP}") or {}).get("data") != {KEY: roots}
    ]


async def _write(api: ApiClient, mirror: Mirror, namespace: str, roots: str) -> None:
    meta = {"name": CONFIG_MAP, "namespace": namespace, "labels": _LABELS}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {KEY: roots}}
    there = mirror.objects["configmaps"].get(f"{namespace}/{CONFIG_MAP}")
    try:
        if there is None:
            await api.create("configmaps", item)
        else:
            await api.update("configmaps", {**there, "data": {KEY: roots}})
    except (ApiError, aiohttp.ClientError, OSError) as problem:
        _LOG.info("%s in %s not written: %s", CONFIG_MAP, namespace, problem)
