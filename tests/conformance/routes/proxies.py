"""The two Envoys of a case: one obeys the real istiod, the other the sandbox."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.model.registry import Registry
from meshkit.sandbox.control_planes import identity
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE
from meshkit.sandbox.dataplane import admin, envoy
from meshkit.sandbox.dataplane.config_server import ConfigServer
from meshkit.sandbox.dataplane.delivery import Delivery, Desired
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from meshkit.sandbox.dataplane.pod_directory import admin_socket
from tests.conformance.routes.world import Object

REJECTED = r"(cds|lds|rds\..*)\.update_rejected$"
START_S = 20.0
NOBODY = ("127.0.0.1", 1)


@dataclass(frozen=True)
class Client:
    """Whose proxy it is. One that ``serves`` belongs to a pod of a Service, at that pod's ``address``."""

    namespace: str
    labels: Mapping[str, str]
    name: str = "client"
    address: str = ""
    serves: tuple[int, ...] = ()

    @property
    def pod(self) -> Object:
        meta = {"name": self.name, "namespace": self.namespace, "uid": self.name, "labels": dict(self.labels)}
        app = {"name": "app", "ports": [{"containerPort": port} for port in self.serves]}
        return {
            "metadata": meta,
            "spec": {"containers": [{"name": "istio-proxy"}, app], "serviceAccountName": "default"},
        }


class Proxy:
    """A running Envoy."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.address = address
        self._process = process
        self._dir = directory
        self.config_server: ConfigServer | None = None

    @classmethod
    async def started(cls, directory: Path, address: str, command: list[str]) -> Proxy:
        """Start it and wait until its administration interface answers."""
        with (directory / "envoy.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 - it is there in a millisecond
                command, stdout=subprocess.DEVNULL, stderr=log
            )
        proxy = cls(address, process, directory)
        try:
            async with asyncio.timeout(START_S):
                while not await proxy._answers():
                    if process.poll() is not None:
                        raise RuntimeError(f"Envoy ended:\n{(directory / 'envoy.log').read_text()[-2000:]}")
                    await asyncio.sleep(0.01)
        except BaseException:
            await proxy.stop()
            raise
        return proxy

    async def config(self) -> dict[str, Any]:
        """What it obeys: route configurations, clusters and listeners by name."""
        dump = json.loads((await admin.ask(self._dir, "/config_dump", include_eds=""))[1])["configs"]
        found: dict[str, Any] = {"routes": {}, "clusters": {}, "endpoints": {}, "listeners": {}}
        for part in dump:
            for item in part.get("dynamic_route_configs", ()):
                found["routes"][item["route_config"]["name"]] = item["route_config"]
            for item in part.get("dynamic_listeners", ()):
                # Without certificates one that takes mutual TLS stays warming: what it would do is told.
                state = item.get("active_state") or item.get("warming_state") or {}
                found["listeners"][item["name"]] = state.get("listener", {})
            for item in part.get("dynamic_active_clusters", ()):
                found["clusters"][item["cluster"]["name"]] = item["cluster"]
            for item in part.get("dynamic_endpoint_configs", ()):
                found["endpoints"][item["endpoint_config"]["cluster_name"]] = item["endpoint_config"]
        for name, cluster in found["clusters"].items():
            if "load_assignment" in cluster:
                found["endpoints"][name] = cluster["load_assignment"]
        return found

    async def rejections(self) -> int:
        """How many documents it has refused."""
        _, text = await admin.ask(self._dir, "/stats", filter=REJECTED)
        return sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines())

    async def stop(self) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        if self.config_server is not None:
            self.config_server.close()

    async def _answers(self) -> bool:
        try:
            status, _ = await admin.ask(self._dir, "/ready")
        except (aiohttp.ClientError, OSError):
            return False
        return status in (200, 503)  # 503: it waits for its first configuration


async def of_istiod(client: Client, xds: tuple[str, int], directory: Path, address: str) -> Proxy:
    """An Envoy that asks istiod, as a sidecar without interception: its listeners stand in a Sidecar."""
    directory = _fresh(directory)
    (directory / "bootstrap.json").write_text(json.dumps(_bootstrap(client, xds, directory, address)))
    command = [str(envoy.binary()), "-c", str(directory / "bootstrap.json"), "--concurrency", "1"]
    command += ["--disable-hot-restart", "-l", "warning"]
    return await Proxy.started(directory, address, command)


async def of_sandbox(
    client: Client,
    objects: Mapping[str, list[Object]],
    directory: Path,
    address: str,
) -> Proxy:
    """An Envoy that obeys the sandbox's translation of the objects, delivered as the sandbox delivers it."""
    directory = _fresh(directory)
    pod = client.pod
    envoy.prepare(directory, pod=pod, pod_ip=address)
    authority = identity.Authority.create("routes")
    leaf = identity.workload_leaf(authority, DATA_PLANE.proxy, client.namespace, "default")
    identity.write_secrets(directory, leaf, authority.roots)
    server = ConfigServer(directory, FolderWatch())
    await server.open()
    proxy = await Proxy.started(directory, address, envoy.command(directory))
    proxy.config_server = server
    try:
        registry = Registry(objects)
        outbound = istio.outbound(registry, istio.caller_of(registry, pod))
        inbounds = istio.inbound(registry, pod) if client.serves else ()
        await Delivery(directory, address, DATA_PLANE.style).deliver(Desired(outbound, inbounds))
    except BaseException:
        await proxy.stop()
        raise
    return proxy


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _bootstrap(client: Client, xds: tuple[str, int], directory: Path, address: str) -> Object:
    namespace = client.namespace
    name = f"{client.name}.{namespace}"
    ads = {"ads": {}, "resource_api_version": "V3"}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "node": {
            "id": f"sidecar~{client.address or address}~{name}~{namespace}.svc.cluster.local",
            "cluster": name,
            "metadata": {
                "ISTIO_VERSION": "1.31.0",
                "NAMESPACE": namespace,
                "CLUSTER_ID": "Kubernetes",
                "INTERCEPTION_MODE": "NONE",
                "LABELS": dict(client.labels),
                "SERVICE_ACCOUNT": "default",
            },
        },
        "admin": {"address": {"pipe": {"path": str(admin_socket(directory))}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        # Certificates would come from pilot-agent at the second; nobody is there.
        "static_resources": {
            "clusters": [_static("xds", *xds, http2), _static("sds-grpc", *NOBODY, http2)],
        },
    }


def _static(name: str, address: str, port: int, options: Object) -> Object:
    return {
        "name": name,
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(address, port)}}]}],
        },
    }


def _socket(address: str, port: int) -> Object:
    return {"socket_address": {"address": address, "port_value": port}}
