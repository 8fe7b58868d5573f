"""The mesh's roots in every namespace."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.control_planes.istio import root_certificate as rootcert
from meshkit.sandbox.control_planes.istio.authorities import SELF_SIGNED

CA = Authority.create("root")


class Cluster:
    """An API server with namespaces, ConfigMaps and the CA's Secret; every write is told to who watches."""

    def __init__(self, *namespaces: str) -> None:
        self.told: list[tuple[str, str, Any]] = []
        self.watching: list[tuple[str, str | None, asyncio.Queue[tuple[str, Any]]]] = []
        self.data: dict[str, dict[str, str]] = {}
        self.revoked: dict[str, dict[str, str]] = {}
        self._version = 0
        for name in namespaces:
            self.tell("namespaces", "ADDED", name, "")
        pair = {"ca-cert.pem": CA.certificate, "ca-key.pem": CA.key}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in pair.items()}
        self.tell("secrets", "ADDED", SELF_SIGNED.name, "istio-system", data=encoded)

    def tell(self, resource: str, what: str, name: str, namespace: str, **content: Any) -> None:
        self._version += 1
        meta = {"name": name, "namespace": namespace, "resourceVersion": str(self._version)}
        item = {"metadata": meta, **content}
        self.told.append((resource, what, item))
        for watched, only, queue in self.watching:
            if watched == resource and only in (None, name):
                queue.put_nowait((what, item))

    async def watch(
        self, resource: str, namespace: str | None = None, *, name: str | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        yield "LIST", []
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        for told, what, item in self.told:
            if told == resource and name in (None, item["metadata"]["name"]):
                queue.put_nowait((what, item))
        self.watching.append((resource, name, queue))
        while True:
            yield await queue.get()

    async def create(self, resource: str, item: dict[str, Any]) -> None:
        self.written(item, "ADDED")

    async def update(self, resource: str, item: dict[str, Any]) -> None:
        self.written(item, "MODIFIED")

    def written(self, item: dict[str, Any], what: str) -> None:
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        (self.data if name == rootcert.CONFIG_MAP else self.revoked)[namespace] = item["data"]
        self.tell("configmaps", what, name, namespace, data=item["data"])

    async def until(self, *namespaces: str) -> None:
        async with asyncio.timeout(30):
            while self.data != {name: {"root-cert.pem": CA.roots} for name in namespaces}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def test_every_namespace_gets_the_roots_and_keeps_them() -> None:
    async def main() -> None:
        cluster = Cluster("default", "kube-system", "kube-public")
        publishing = asyncio.create_task(rootcert.publish(cluster, "istio-system", SELF_SIGNED))  # type: ignore[arg-type]
        await cluster.until("default", "kube-system")
        cluster.tell("namespaces", "ADDED", "shop", "")
        await cluster.until("default", "kube-system", "shop")
        cluster.written(
            {
                "metadata": {"namespace": "shop", "name": rootcert.CONFIG_MAP},
                "data": {"root-cert.pem": "another's"},
            },
            "MODIFIED",
        )
        await cluster.until("default", "kube-system", "shop")
        del cluster.data["shop"]
        cluster.tell("configmaps", "DELETED", rootcert.CONFIG_MAP, "shop")
        await cluster.until("default", "kube-system", "shop")
        assert cluster.revoked == {name: {"ca-crl.pem": ""} for name in ("default", "kube-system", "shop")}
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing

    asyncio.run(main())
