"""A mesh without Kubernetes: objects in a dict, real Envoys on 127.x, tiny applications behind sockets."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.outbound import OUTBOUND_PORT
from meshkit.meshes.model.pods import Peer
from meshkit.meshes.model.registry import Registry
from meshkit.sandbox.control_planes import identity
from meshkit.sandbox.control_planes.registry import DATA_PLANES, data_plane_of, peer_of
from meshkit.sandbox.dataplane import admin, envoy
from meshkit.sandbox.dataplane.config_server import ConfigServer
from meshkit.sandbox.dataplane.delivery import Delivery, Desired, Unanswered
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from meshkit.sandbox.dataplane.metrics import PodMetrics
from meshkit.sandbox.node.addresses import claim

TRANSLATORS = {"istio": istio, "linkerd": linkerd}
SIDECAR = {"istio": "istio-proxy", "linkerd": "linkerd-proxy"}
REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def service(name: str = "web", **selector: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 8080, "targetPort": 8080}]
    address = f"10.96.{len(name)}.{sum(name.encode()) % 250}"
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"svc-{name}"},
        "spec": {"selector": selector or {"app": "web"}, "ports": ports, "clusterIP": address},
    }


async def _until_answered(delivery: Delivery, desired: Desired) -> None:
    """Deliver as a control plane does, which tries again where a busy Envoy has not answered in time."""
    for _ in range(20):
        try:
            await delivery.deliver(desired)
            return
        except Unanswered:
            await asyncio.sleep(0.1)
    await delivery.deliver(desired)


class MiniMesh:
    """Call ``pod`` to start one, change ``objects``, then ``apply``."""

    def __init__(self, mesh: str, directory: Path) -> None:
        self.mesh = mesh
        self.objects: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        self.metrics: dict[str, PodMetrics] = {}
        self.answers: dict[str, int] = {}  # pod -> status its application gives
        self.grpc_statuses: dict[str, int] = {}  # pod -> the status of gRPC that its application gives
        self.delay_s: dict[str, float] = {}
        self.holding: dict[str, asyncio.Event] = {}  # pod -> what its application waits for before it answers
        self.hits: collections.Counter[str] = collections.Counter()
        self.heads: dict[str, str] = {}  # pod -> the last request's head, as its application saw it
        self._dir = directory
        self._net, self._claimed = claim(None)
        self._ips: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._watch = FolderWatch()
        self._ready: set[str] = set()
        self._servers: list[ConfigServer] = []
        self._listening: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._authority = identity.Authority.create("test")
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def pod(
        self, name: str, *, meshed: bool = True, account: str = "web", zone: str = "", **labels: str
    ) -> str:
        """Start a pod with one captured port 8080; returns its address. ``zone`` is its node's."""
        ip = f"127.{self._net}.0.{len(self._ips) + 1}"
        pod_dir = self._dir / name
        containers = [{"name": "app", "ports": [{"containerPort": 8080}]}]
        if meshed:
            containers.append({"name": SIDECAR[self.mesh]})
            if self.mesh == "istio":
                labels["security.istio.io/tlsMode"] = "istio"
        # As the mesh config that meshkit plans does for every sidecar.
        shown = {"sidecar.istio.io/statsInclusionSuffixes": "_15006.no_filter_chain_match"}
        annotations = shown if self.mesh == "istio" else {}
        meta = {"name": name, "namespace": "shop", "uid": name, "labels": labels, "annotations": annotations}
        pod = {
            "metadata": meta,
            "spec": {"containers": containers, "serviceAccountName": account, "nodeName": zone},
            "status": {"podIP": ip, "phase": "Running"},
        }
        self.objects["pods"].append(pod)
        self._ips[name] = ip
        envoy.prepare(pod_dir, pod=pod, pod_ip=ip)
        if meshed:
            application = pod_dir / "app-8080.sock"
            self._listening.append(await asyncio.start_unix_server(self._application(name), application))
            self.rotate(name)
            self._servers.append(ConfigServer(pod_dir, self._watch))
            await self._servers[-1].open()
            self._start(name, pod, pod_dir)
            await self._admin_answers(pod_dir)
            self._deliveries[name] = Delivery(pod_dir, ip, DATA_PLANES[self.mesh].style)
        else:
            self._listening.append(await asyncio.start_server(self._application(name), ip, 8080))
        return ip

    def address(self, name: str) -> str:
        """The address of a pod."""
        return self._ips[name]

    async def stats(self, name: str, wanted: str) -> list[str]:
        """The lines of Envoy's statistics of a pod with ``wanted`` in their names."""
        _, text = await admin.ask(self._dir / name, "/stats", filter=wanted)
        return text.splitlines()

    def rotate(self, name: str) -> None:
        """Give a pod a new certificate."""
        pod = self._pod(name)
        account = pod["spec"]["serviceAccountName"]
        leaf = identity.workload_leaf(self._authority, DATA_PLANES[self.mesh].proxy, "shop", account)
        identity.write_secrets(self._dir / name, leaf, self._authority.roots)

    async def restart(self, name: str) -> None:
        """End a pod's Envoy and start it again on the same files."""
        process = self.processes[name]
        process.terminate()
        await asyncio.to_thread(process.wait, 10)
        assert process.stdout
        process.stdout.close()
        self._start(name, self._pod(name), self._dir / name)

    async def apply(self) -> None:
        """Translate all objects and bring every sidecar there: new ones first, which then are ready."""
        registry = self.registry()
        translator = TRANSLATORS[self.mesh]
        jobs: dict[bool, list[Any]] = {True: [], False: []}
        for pod in self.objects["pods"]:
            name = pod["metadata"]["name"]
            if delivery := self._deliveries.get(name):
                out = translator.outbound(registry, translator.caller_of(registry, pod))
                jobs[name not in self._ready].append(
                    _until_answered(delivery, Desired(out, translator.inbound(registry, pod)))
                )
                self._ready.add(name)
        for first in (True, False):
            for outcome in await asyncio.gather(*jobs[first], return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    def registry(self) -> Registry:
        """The objects, with EndpointSlices of all pods."""
        slices = []
        for item in self.objects["services"]:
            chosen = [
                {"addresses": [self._ips[pod["metadata"]["name"]]], "conditions": {"ready": True}}
                | {"targetRef": {"name": pod["metadata"]["name"]}}
                for pod in self.objects["pods"]
                if item["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            ]
            labels = {"kubernetes.io/service-name": item["metadata"]["name"]}
            slices.append(
                {
                    "metadata": {"name": item["metadata"]["name"], "namespace": "shop", "labels": labels},
                    "ports": [{"name": "http", "port": 8080}],
                    "endpoints": chosen,
                }
            )
        nodes = [
            {"metadata": {"name": zone, "labels": {REGION: zone.partition("-")[0], ZONE: zone}}}
            for zone in {pod["spec"]["nodeName"] for pod in self.objects["pods"]}
        ]
        return Registry({**self.objects, "endpointslices": slices, "nodes": nodes})

    async def get(
        self,
        caller: str,
        url: str = "http://web:8080/",
        headers: dict[str, str] | None = None,
        method: str = "GET",
    ) -> tuple[int, str]:
        """A request of ``caller``'s application through its sidecar: status and the pod that answered."""
        proxy = f"http://{self._ips[caller]}:{OUTBOUND_PORT}"
        async with self.session.request(method, url, proxy=proxy, headers=headers) as answer:
            return answer.status, await answer.text()

    async def split(self, caller: str, n: int, **options: Any) -> collections.Counter[tuple[int, str]]:
        """How ``n`` requests were answered."""
        return collections.Counter([await self.get(caller, **options) for _ in range(n)])

    async def eventually(self, check: Callable[[], object]) -> None:
        """Check until it is not False and asserts nothing wrong, at most 30 s: Envoy writes its log later,
        and a mirrored request arrives after the answer.
        """
        deadline_s = asyncio.get_running_loop().time() + 30
        while True:
            try:
                assert check() is not False, "not within 30 s"
                return
            except AssertionError:
                if asyncio.get_running_loop().time() > deadline_s:
                    raise
            await asyncio.sleep(0.05)

    async def until_served_by(self, pod: str) -> None:
        """Ask until this pod answers, at most 30 s."""
        async with asyncio.timeout(30):
            while (await self.get("client"))[1] != pod:  # noqa: ASYNC110 - an answer has no event
                await asyncio.sleep(0.1)

    async def until_failed(self, pod: str, n: int) -> None:
        """Ask until this pod has failed ``n`` times, at most 30 s, and until it is ejected."""
        async with asyncio.timeout(30):
            for _ in range(n):
                while await self.get("client") != (500, pod):  # which pod is asked is left to chance
                    pass
        await self.until_ejected(pod)

    async def until_ejected(self, pod: str) -> None:
        """Ask until 20 answers in a row are of other pods, at most 30 s: Envoy's workers learn of an ejection
        when its main thread has had CPU.
        """
        async with asyncio.timeout(30):
            while (500, pod) in await self.split("client", 20):
                pass

    def _application(self, name: str) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with (
                contextlib.closing(writer),
                contextlib.suppress(asyncio.IncompleteReadError, ConnectionError),
            ):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.hits[name] += 1
                    self.heads[name] = head.decode()
                    await asyncio.sleep(self.delay_s.get(name, 0))
                    if name in self.holding:
                        await self.holding[name].wait()
                    lines = [f"HTTP/1.1 {self.answers.get(name, 200)} X", f"content-length: {len(name)}"]
                    if name in self.grpc_statuses:
                        lines.append(f"grpc-status: {self.grpc_statuses[name]}")
                    writer.write("\r\n".join([*lines, "", name]).encode())

        return serve

    async def tls_server(self, folder: Path) -> int:
        """A server outside the mesh that says whether its caller showed a certificate; returns its port.

        Leaves ca.pem, cert.pem and key.pem in ``folder``; its name is tls.example.
        """
        authority = identity.Authority.create("outside")
        leaf = authority.leaf(names=["tls.example"])
        for name, text in (("ca", authority.certificate), ("cert", leaf.certificate), ("key", leaf.key)):
            (folder / f"{name}.pem").write_text(text)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        context.verify_mode = ssl.CERT_OPTIONAL

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await reader.readuntil(b"\r\n\r\n")
                who = "known" if writer.get_extra_info("peercert") else "anonymous"
                writer.write(f"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{who}".encode())
                await writer.drain()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        self._listening.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _start(self, name: str, pod: dict[str, Any], pod_dir: Path) -> None:
        with (pod_dir / "envoy.log").open("wb") as log:
            process = subprocess.Popen(envoy.command(pod_dir), stdout=subprocess.PIPE, stderr=log)
        self.processes[name] = process
        plane = data_plane_of(pod)
        assert plane
        self.metrics[name] = plane.metrics(pod, self._peer)
        self._tasks.append(asyncio.create_task(self._read_log(name, process)))

    async def _read_log(self, name: str, process: subprocess.Popen[bytes]) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
        while line := await reader.readline():
            self.metrics[name].observe(line.decode())

    async def _admin_answers(self, pod_dir: Path) -> None:
        for _ in range(500):
            with contextlib.suppress(aiohttp.ClientError, OSError):
                if (await admin.ask(pod_dir, "/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.01)
        raise TimeoutError(
            "Envoy did not start: " + "".join(p.read_text() for p in self._dir.glob("*/envoy.log"))
        )

    def _peer(self, address: str) -> Peer | None:
        ip = address.partition(":")[0]
        return next((peer_of(p) for p in self.objects["pods"] if p["status"]["podIP"] == ip), None)

    def _pod(self, name: str) -> dict[str, Any]:
        return next(pod for pod in self.objects["pods"] if pod["metadata"]["name"] == name)

    async def close(self) -> None:
        """Stop every process and task."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            await asyncio.to_thread(process.wait, 10)
        await asyncio.gather(*self._tasks)
        for process in self.processes.values():
            assert process.stdout
            process.stdout.close()
        for server in [*self._servers, *self._listening]:
            server.close()
        await self.session.close()
        self._claimed.close()

    def documents(self, name: str) -> dict[str, Any]:
        """What a pod's Envoy was given."""
        return {path.stem: json.loads(path.read_text()) for path in (self._dir / name).glob("?ds.json")}


@contextlib.asynccontextmanager
async def shop(mesh: str, directory: Path) -> AsyncIterator[MiniMesh]:
    """A client and web v1, v2 of one pod each behind the Service web (Linkerd: also web-v1, web-v2)."""
    made = MiniMesh(mesh, directory)
    try:
        await asyncio.gather(
            made.pod("client", account="client", app="client"),
            made.pod("web-v1", app="web", version="v1"),
            made.pod("web-v2", app="web", version="v2"),
        )
        made.objects["services"] = [service()]
        if mesh == "linkerd":
            made.objects["services"] += [service(f"web-{v}", app="web", version=v) for v in ("v1", "v2")]
        await made.apply()
        yield made
    finally:
        await made.close()
