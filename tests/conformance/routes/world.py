"""The world that every case is put into: a Kubernetes API with a few Services, and a server behind each pod.

The API is the sandbox's own API server, and istiod reads it as it reads any cluster: so both sides of a
comparison see the very same objects. Nothing here decides about traffic. Each pod is an address of 127.x on
which one small server tells who answered and what it was sent.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from meshkit.sandbox.api.app import ApiServer, NodeHooks, serve
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.home import SandboxHome
from meshkit.sandbox.node.addresses import claim

Object = dict[str, Any]
NAMESPACES = ("istio-system", "shop", "other", "settled")
RESOURCES = {
    "Service": "services",
    "VirtualService": "virtualservices.networking.istio.io",
    "DestinationRule": "destinationrules.networking.istio.io",
    "ServiceEntry": "serviceentries.networking.istio.io",
    "WorkloadEntry": "workloadentries.networking.istio.io",
    "Sidecar": "sidecars.networking.istio.io",
    "PeerAuthentication": "peerauthentications.security.istio.io",
    "AuthorizationPolicy": "authorizationpolicies.security.istio.io",
}
PORTS = {"http": 8080, "http-admin": 9090}
"""Every Service has both, and its pods serve each under its own number."""


@dataclass(frozen=True)
class Backend:
    """One pod. One that is not ``healthy`` answers every request with 503."""

    service: str
    namespace: str
    version: str
    number: int
    healthy: bool = True

    @property
    def name(self) -> str:
        return f"{self.service}-{self.version}-{self.number}"


BACKENDS = (
    Backend("web", "shop", "v1", 1),
    Backend("web", "shop", "v1", 2),
    Backend("web", "shop", "v2", 1),
    Backend("web", "shop", "v2", 2),
    Backend("api", "shop", "v1", 1),
    Backend("flaky", "shop", "v1", 1),
    Backend("flaky", "shop", "v2", 1, healthy=False),
    Backend("broken", "shop", "v1", 1, healthy=False),
    Backend("store", "other", "v1", 1),
    Backend("settled", "settled", "v1", 1),
)


class World:
    """``await World.start(home)``, then ``apply`` and ``remove`` the objects of a case."""

    def __init__(self, server: ApiServer, net: int) -> None:
        self.client = server.client
        self.hits: collections.Counter[str] = collections.Counter()
        self._server = server
        self._net = net
        self._runners: dict[str, web.AppRunner] = {}
        self.addresses: dict[str, str] = {}

    @classmethod
    async def start(cls, directory: Path, crds: Iterable[Object], mesh: Mapping[str, Any]) -> World:
        """A new API server with these CRDs, the world's pods and Istio's mesh config."""
        home = SandboxHome(directory / "home")
        net, claimed = claim(None)
        world = cls(await serve(home, 0, NodeHooks(logs=lambda *_, **__: ""), host="127.0.0.1"), net)
        world.claimed, world.kubeconfig = claimed, home.kubeconfig
        for crd in crds:
            await world.client.create("customresourcedefinitions.apiextensions.k8s.io", crd)
        for name in NAMESPACES:
            await world.client.create("namespaces", {"metadata": {"name": name}})
        config = {
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": yaml.safe_dump(mesh)},
        }
        await world.client.create("configmaps", config)
        for service, namespace in sorted({(b.service, b.namespace) for b in BACKENDS}):
            await world.client.create("services", _service(service, namespace))
        for index, backend in enumerate(BACKENDS, 1):
            await world._add(backend, world.address(1, index))
        return world

    def address(self, group: int, number: int) -> str:
        """An address of this world's own."""
        return f"127.{self._net}.{group}.{number}"

    async def apply(self, objects: Iterable[Object]) -> list[Object]:
        """Create these objects, and return them as the API server has them."""
        return [await self.client.create(RESOURCES[item["kind"]], item) for item in objects]

    async def remove(self, objects: Iterable[Object]) -> None:
        for item in objects:
            meta = item["metadata"]
            await self.client.delete(RESOURCES[item["kind"]], meta["name"], meta["namespace"])

    async def objects(self, resources: Iterable[str]) -> dict[str, list[Object]]:
        """What a control plane sees, by the short name of the resource."""
        found: dict[str, list[Object]] = {}
        for name in resources:
            with contextlib.suppress(ApiError):  # a kind that this world has no CRD of
                found[name.partition(".")[0]] = await self.client.list(name)
        return found

    async def serve_socket(self, pod: str, path: Path) -> None:
        """Let a pod's application answer on a socket as well, as it does behind the sandbox's proxies."""
        await web.UnixSite(self._runners[pod], path).start()

    async def close(self) -> None:
        for runner in self._runners.values():
            await runner.cleanup()
        await self._server.close()
        self.claimed.close()

    async def _add(self, backend: Backend, address: str) -> None:
        """A pod, its place in the EndpointSlice, and the server that is its application."""
        labels = {"app": backend.service, "version": backend.version}
        meta = {"name": backend.name, "namespace": backend.namespace, "labels": labels}
        pod = {"metadata": meta, "spec": {"containers": [{"name": "app", "image": "example.test/echo"}]}}
        pod = await self.client.create("pods", pod)
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "PodScheduled")]
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready}
        await self.client.update_status("pods", backend.name, backend.namespace, status)
        target = {"kind": "Pod", "name": backend.name, "namespace": backend.namespace}
        target["uid"] = pod["metadata"]["uid"]
        piece = {
            "metadata": {
                "name": backend.name,
                "namespace": backend.namespace,
                "labels": {"kubernetes.io/service-name": backend.service},
            },
            "addressType": "IPv4",
            "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in PORTS.items()],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": target}],
        }
        await self.client.create("endpointslices.discovery.k8s.io", piece)
        await self._serve(backend, address)

    async def _serve(self, backend: Backend, address: str) -> None:
        async def answer(request: web.Request) -> web.Response:
            self.hits[backend.version] += 1
            first, _, rest = request.path.strip("/").partition("/")
            status = int(rest) if first == "status" else 200 if backend.healthy else 503
            if first == "delay":
                await asyncio.sleep(float(rest))
            told = {
                "version": backend.version,
                "service": backend.service,
                "pod": backend.name,
                "path": request.raw_path,
                "host": request.host,
                "headers": {name.lower(): value for name, value in request.headers.items()},
            }
            return web.Response(status=status, text=json.dumps(told), headers={"x-upstream": "yes"})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=3600, shutdown_timeout=0.1)
        await runner.setup()
        for port in PORTS.values():
            await web.TCPSite(runner, address, port).start()
        self._runners[backend.name] = runner
        self.addresses[backend.name] = address


def _service(name: str, namespace: str) -> Object:
    ports = [{"name": each, "port": port, "targetPort": port} for each, port in PORTS.items()]
    spec = {"selector": {"app": name}, "ports": ports}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
