"""Puts a case into the world, starts both proxies, and reads what they obey and how they answer."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import itertools
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.model.outbound import OUTBOUND_PORT
from meshkit.meshes.model.registry import resource_names
from meshkit.sandbox.dataplane import pod_directory as poddir
from tests.conformance.routes import answers, meaning, proxies
from tests.conformance.routes.answers import Answers
from tests.conformance.routes.cases import Case, Group
from tests.conformance.routes.istiod import MESH, Istiod, crds
from tests.conformance.routes.world import BACKENDS, PORTS, World

T = TypeVar("T")
SETTLE_S = 20.0
ENDPOINTS_S = 2.0
LISTENERS, SERVED = "listeners", "served"
_SETTLED = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}


@dataclass
class Side:
    """What one proxy did: the meaning of its routes and clusters for each group, and its answers."""

    meanings: list[Mapping[str, Any]] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)
    rejections: int = 0


class Bench:
    """One world and one istiod for all cases. Everything runs on one event loop in a thread of its own."""

    def __init__(self, pilot: Path, istioctl: Path, directory: Path) -> None:
        self._pilot, self._istioctl, self._directory = pilot, istioctl, directory
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._numbers = itertools.count(1)

    def open(self) -> None:
        self._thread.start()
        self._run(self._open(), 120)

    def close(self) -> None:
        self._run(self._close(), 60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, case: Case) -> tuple[Side, Side]:
        """(istiod's, the sandbox's)."""
        return self._run(self._case(case), 100)

    def istiod_rejections(self) -> Mapping[str, float]:
        return self._run(self._istiod.rejections(), 10)

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def _open(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30))
        found = await asyncio.to_thread(crds, self._istioctl)
        self._world = await World.start(self._directory, found, MESH)
        self._real, self._ours, self._beside = (self._world.address(group, 1) for group in (200, 201, 203))
        self._fixed = await self._world.apply([_listeners(self._real), _settled(0)])
        self._istiod = await Istiod.start(
            self._pilot, self._world.kubeconfig, self._world.address(202, 1), self._directory, self._session
        )

    async def _close(self) -> None:
        await asyncio.to_thread(self._istiod.stop)
        await self._session.close()
        await self._world.close()

    async def _case(self, case: Case) -> tuple[Side, Side]:
        client = self._client(case)
        written = [
            *case.objects,
            *([_served(client, case, self._real, self._beside)] if client.serves else []),
        ]
        applied = await self._world.apply(written)
        try:
            number = await self._tell(applied)
            objects = await self._world.objects(resource_names(istio.KINDS))
            objects["sidecars"] = [
                item for item in objects["sidecars"] if item["metadata"]["name"] not in (LISTENERS, SERVED)
            ]
            _declare(objects["services"], case)
            async with self._running(
                proxies.of_istiod(client, self._istiod.xds, self._dir("real"), self._real)
            ) as real:
                await self._until_settled(real, number, case)
                first = await self._side(case, real, lambda group: group.port)
            async with self._running(
                proxies.of_sandbox(client, objects, self._dir("ours"), self._ours)
            ) as ours:
                if client.serves:
                    await self._world.serve_socket(client.name, poddir.app_socket(self._dir("ours"), 8080))
                second = await self._side(
                    case, ours, lambda group: group.port if client.serves else OUTBOUND_PORT
                )
        finally:
            await self._world.remove(written)
        return first, second

    def _client(self, case: Case) -> proxies.Client:
        if not case.server:
            return proxies.Client(case.namespace, case.labels)
        backend = next(each for each in BACKENDS if each.name == case.server)
        labels = {"app": backend.service, "version": backend.version}
        address = self._world.addresses[backend.name]
        return proxies.Client(backend.namespace, labels, backend.name, address, (8080,))

    async def _tell(self, applied: list[dict[str, Any]]) -> int:
        """Wait until istiod has the objects, then change one more: who obeys that one obeys them all."""
        wanted = [item for item in (*applied, *self._fixed) if item["kind"] != "Service"]
        async with asyncio.timeout(SETTLE_S):
            while not await self._istiod.holds(wanted):  # noqa: ASYNC110 - istiod tells nobody
                await asyncio.sleep(0.02)
        number = next(self._numbers)
        spec = _settled(number)["spec"]
        changed = await self._world.client.merge_patch(
            "virtualservices.networking.istio.io", "settled", "settled", {"spec": spec}
        )
        self._fixed[1] = changed
        return number

    async def _until_settled(self, proxy: proxies.Proxy, number: int, case: Case) -> None:
        """Wait until the proxy obeys the change made last, and has endpoints in its clusters."""
        async with asyncio.timeout(SETTLE_S):
            while True:
                config = await proxy.config()
                if set(map(str, PORTS.values())) <= set(config["routes"]) and _number(config) == number:
                    break
                await asyncio.sleep(0.02)
        with contextlib.suppress(TimeoutError):  # a subset that no pod is in may have none for good
            async with asyncio.timeout(ENDPOINTS_S):
                while meaning.without_endpoints(await proxy.config()):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def _side(self, case: Case, proxy: proxies.Proxy, port: Any) -> Side:
        side = Side()
        config = await proxy.config()
        for group in case.groups:
            side.meanings.append(
                meaning.of_inbound(config, group.port)
                if case.server
                else meaning.of_authority(config, group.to, group.port)
            )
            if "answers" in case.compare:
                side.answers.append(
                    await answers.send(
                        *(group, proxy.address, port(group), case.observe, self._session, self._world.hits)
                    )
                )
        side.rejections = await proxy.rejections()
        return side

    @contextlib.asynccontextmanager
    async def _running(self, starting: Coroutine[Any, Any, proxies.Proxy]) -> AsyncIterator[proxies.Proxy]:
        proxy = await starting
        try:
            yield proxy
        finally:
            await proxy.stop()

    def _dir(self, name: str) -> Path:
        return self._directory / name


def compared(case: Case, real: Side, ours: Side) -> dict[str, list[str]]:
    """routes, clusters, answers -> what differs."""
    found: dict[str, list[str]] = {}
    for kind in case.compare:
        if kind == "answers":
            pairs = zip(case.groups, real.answers, ours.answers, strict=True)
            found[kind] = [
                text for group, one, other in pairs for text in answers.differences(group, one, other)
            ]
        else:
            found[kind] = _unlike(kind, case.groups, real, ours)
    return {kind: texts for kind, texts in found.items() if texts}


def _unlike(kind: str, groups: tuple[Group, ...], real: Side, ours: Side) -> list[str]:
    found = []
    for group, one, other in zip(groups, real.meanings, ours.meanings, strict=True):
        lines = difflib.unified_diff(
            *(_lines(each[kind]) for each in (one, other)), "istiod", "sandbox", n=1, lineterm=""
        )
        text = "\n".join([f"{kind} of {group.to}", *lines])
        if one[kind] != other[kind] and text not in found:
            found.append(text)
    return found


def _lines(value: Any) -> list[str]:
    return yaml.safe_dump(value, default_flow_style=None, width=100).splitlines()


def _listeners(address: str) -> dict[str, Any]:
    """Without interception istiod opens a listener where a Sidecar says: one for each port of Services."""
    egress = [
        {
            "port": {"number": port, "protocol": "HTTP", "name": name},
            "bind": address,
            "captureMode": "NONE",
            "hosts": ["*/*"],
        }
        for name, port in PORTS.items()
    ]
    meta = {"name": LISTENERS, "namespace": "istio-system"}
    api = "networking.istio.io/v1"
    return {"apiVersion": api, "kind": "Sidecar", "metadata": meta, "spec": {"egress": egress}}


def _served(client: proxies.Client, case: Case, address: str, beside: str) -> dict[str, Any]:
    """The same for a server: it listens for its application, which answers where it always does."""
    made = _listeners(beside)
    ingress = {
        "port": {"number": 8080, "protocol": case.protocol, "name": case.protocol.lower()},
        "bind": address,
        "captureMode": "NONE",
        "defaultEndpoint": "0.0.0.0:8080",  # the address of the pod itself
    }
    spec = {"workloadSelector": {"labels": dict(client.labels)}, "ingress": [ingress], **made["spec"]}
    return {**made, "metadata": {"name": SERVED, "namespace": client.namespace}, "spec": spec}


def _declare(services: list[dict[str, Any]], case: Case) -> None:
    """Declare the protocol of a case on port 8080, where the sandbox reads what a Sidecar says to istiod."""
    for port in (port for service in services for port in service["spec"]["ports"] if port["port"] == 8080):
        port["appProtocol"] = case.protocol.lower()


def _settled(number: int) -> dict[str, Any]:
    route = [{"destination": {"host": "settled"}}]
    http = [{"match": [{"uri": {"exact": f"/{number}"}}], "route": route}]
    meta = {"name": "settled", "namespace": "settled"}
    return {**_SETTLED, "metadata": meta, "spec": {"hosts": ["settled"], "http": http}}


def _number(config: Mapping[str, Any]) -> int:
    routes = meaning.of_authority(config, "settled.settled:8080", 8080)["routes"]
    return int(routes[0]["match"]["path"][1].strip("/") or 0) if routes else 0
