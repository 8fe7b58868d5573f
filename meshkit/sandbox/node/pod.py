"""One pod: from its binding to a node until nothing of it is left.

Start: address, folder, token; init containers in order; the sidecar, and once that is ready the application,
so that a program's first request finds its proxy. A pod whose containers all end for good (restartPolicy
Never, or OnFailure and well) is over, and its sidecars are ended. End: not ready at once, which takes the pod
out of every EndpointSlice; after ``DRAIN_S``, when callers have had time to learn of it, SIGTERM to the
application, then to the sidecar; SIGKILL when the grace period is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.control_planes.registry import data_plane_of, is_proxy, peer_of
from meshkit.sandbox.controllers.objects import key_of
from meshkit.sandbox.dataplane.exposition import PeerLookup
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from meshkit.sandbox.dataplane.pod_directory import TOKEN_FILE, pod_folder
from meshkit.sandbox.node import images
from meshkit.sandbox.node.addresses import Addresses
from meshkit.sandbox.node.container import Container, Setting
from meshkit.sandbox.node.environment import (
    Surroundings,
    config_maps_of,
    container_environment,
    listen_addresses,
    process_environment,
    sandbox_environment,
)
from meshkit.sandbox.node.podstatus import pod_status, restarts_before
from meshkit.sandbox.node.programs import Image
from meshkit.sandbox.node.sidecar import Sidecar
from meshkit.sandbox.node.unsupported import ignored_fields, ineffective_variables
from meshkit.sandbox.node.volumes import MountFailed, Volumes

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

SOURCE = "kubelet"
DRAIN_S = 1.0
SIDECAR_GRACE_S = 2.0
RETRY_S = 0.5
MOUNT_RETRY_S = 1.0


@dataclass(frozen=True)
class Node:
    """What every pod of the agent shares."""

    client: LocalClient
    addresses: Addresses
    around: Surroundings
    peers: PeerLookup
    token_of: Any
    """From a pod to the token of its ServiceAccount."""
    volumes: Volumes
    watch: FolderWatch = field(default_factory=FolderWatch)


class PodRunner:
    """Runs one pod. ``pod`` is the object as it was bound; its spec does not change."""

    def __init__(self, pod: dict[str, Any], node: Node) -> None:
        self.pod, self._node = pod, node
        self.uid: str = pod["metadata"]["uid"]
        self.ip = node.addresses.take()
        self.dir = pod_folder(node.around.run, self.uid)
        self.terminating = False
        self.peer = peer_of(pod)
        self._listen = listen_addresses(pod, self.ip, self.dir)
        plane = data_plane_of(pod)
        self._sidecar = Sidecar(pod, plane, self.ip, self.dir, node.peers, node.watch) if plane else None
        spec = pod["spec"]
        self.init = [self._container(each, is_init=True) for each in spec.get("initContainers") or ()]
        self.main = [self._container(each, is_init=False) for each in spec["containers"]]
        self._notice = _without_effect(pod)
        self._changed = asyncio.Event()
        self._status: dict[str, Any] = pod.get("status") or {}
        self._starting: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _container(self, spec: dict[str, Any], *, is_init: bool) -> Container:
        proxy = self._sidecar if is_proxy(spec["name"]) else None
        native = is_init and spec.get("restartPolicy") == "Always"
        policy: Literal["Always", "OnFailure", "Never"] = self.pod["spec"].get("restartPolicy", "Always")
        if is_init:
            policy = "Always" if native else "OnFailure" if policy != "Never" else "Never"
        image = images.find(spec["image"], is_setup=is_init and not native)
        setting = Setting(
            environment=lambda: self._environment(spec, image, proxy),
            pod_dir=self.dir,
            address_of=lambda port: self._listen.get(port, f"tcp:{self.ip}:{port}"),
            changed=lambda: self._changed.set(),
            tell=self._tell,
            restart=policy,
            log_lines=proxy.count if proxy else None,
            is_ready=proxy.is_ready if proxy else None,
        )
        return Container(spec, image, setting, restarts=restarts_before(self.pod, spec["name"]))

    async def _environment(
        self, spec: dict[str, Any], image: Image | None, proxy: Sidecar | None
    ) -> dict[str, str]:
        """The environment of one life of a container: ConfigMaps are read anew each time."""
        namespace = key_of(self.pod)[0]
        found = {
            name: await self._node.client.get("configmaps", name, namespace) or {}
            for name in config_maps_of(spec)
        }
        own = sandbox_environment(self.pod, spec, self.ip, self._node.around)
        env = container_environment(self.pod, spec, self.ip, self._node.around, found)
        if proxy is not None:
            proxy.introduce(env)
        return process_environment(own, env, image.reads if image else ())

    @property
    def containers(self) -> list[Container]:
        """All of them, init containers first."""
        return [*self.init, *self.main]

    def start(self) -> None:
        """Begin; returns at once."""
        self._starting = asyncio.create_task(self._run())
        self._tasks = [asyncio.create_task(self._publish()), self._starting]

    async def _run(self) -> None:
        if not self._status.get("startTime"):
            await self._tell_what_is_ignored()
        try:
            await self._prepare()
            self._changed.set()  # the address is known, and a control plane may write into the folder
            await self._start_containers()
            await self._end_sidecars()
        except (OSError, ApiError) as exc:
            log.error("pod %s/%s: %s", *key_of(self.pod), exc)
            await self._tell("Warning", "FailedCreatePodSandBox", str(exc))

    async def _tell_what_is_ignored(self) -> None:
        if ignored := ignored_fields(self.pod):
            text = f"The sandbox runs the pod without {', '.join(ignored)}: it does not honour these fields."
            await self._tell("Warning", "NotSupported", text)
        if self._notice:
            await self._tell("Warning", "NotSupported", self._notice)

    async def _prepare(self) -> None:
        """A fresh folder with the pod's token, its volumes, and what the sidecar needs."""
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True, mode=0o700)
        token = self.dir / TOKEN_FILE
        token.touch(mode=0o600)
        token.write_text(await self._node.token_of(self.pod))
        await self._mount()
        if self._sidecar is not None:
            await self._sidecar.open()

    async def _mount(self) -> None:
        """The volumes, as soon as all that they are made of is there."""
        while True:
            try:
                await self._node.volumes.open(self.pod, self.dir)
            except MountFailed as problem:
                for container in self.containers:
                    container.wait_because(str(problem))
                await self._tell("Warning", "FailedMount", str(problem))
                await asyncio.sleep(MOUNT_RETRY_S)
            else:
                return

    async def _start_containers(self) -> None:
        specs = self.pod["spec"]
        for spec, container in zip(specs.get("initContainers") or (), self.init, strict=True):
            if spec.get("restartPolicy") == "Always":
                self._launch(container)
                await container.became_ready.wait()
            else:
                await container.run()
                if container.exit_code != 0:
                    await _stop(self.init, SIDECAR_GRACE_S)
                    return
        proxies = [each for each in self.main if is_proxy(each.name)]
        for proxy in proxies:
            self._launch(proxy)
            await proxy.became_ready.wait()
        for container in self.main:
            if container not in proxies:
                self._launch(container)

    async def _end_sidecars(self) -> None:
        """When the application has ended for good, its sidecars have nothing left to do."""
        await asyncio.gather(*(each.over.wait() for each in self.main))
        await _stop(self.init, SIDECAR_GRACE_S)

    def _launch(self, container: Container) -> None:
        self._tasks.append(asyncio.create_task(container.run()))

    async def _publish(self) -> None:
        """Write the pod's status after each change, for as long as the pod is there."""
        namespace, name = key_of(self.pod)
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._status = pod_status(
                self.pod,
                self._status,
                self.ip,
                [each.status() for each in self.init],
                [each.status() for each in self.main],
                terminating=self.terminating,
                message=self._notice,
            )
            try:
                await self._node.client.update_status("pods", name, namespace, self._status)
            except ApiError as exc:
                if exc.code == 404:
                    return
                log.warning("status of pod %s/%s: %s", namespace, name, exc.message)
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _tell(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        with contextlib.suppress(ApiError):
            await self._node.client.record_event(self.pod, reason, message, type=kind, source=SOURCE)

    async def stop(self, grace_s: float) -> None:
        """End the pod as Kubernetes does, within ``grace_s``; returns when no process is left."""
        was_ready = bool(self.main) and all(each.ready for each in self.main)
        self.terminating = True
        if self._starting is not None:
            self._starting.cancel()
        self._changed.set()
        drain_s = min(DRAIN_S, grace_s / 2) if was_ready else 0.0
        await asyncio.sleep(drain_s)
        applications = [each for each in self.main if not is_proxy(each.name)]
        others = [each for each in self.containers if each not in applications]
        await _stop(applications, max(0.0, grace_s - drain_s))
        await _stop(others, min(grace_s, SIDECAR_GRACE_S))
        self.close()

    async def end(self, grace_s: float) -> None:
        """End every process without draining; returns when none is left."""
        self.terminating = True
        if self._starting is not None:
            self._starting.cancel()
        await _stop(self.containers, grace_s)

    def kill(self) -> None:
        """End every process now."""
        for container in self.containers:
            container.kill()

    def crash(self) -> None:
        """End as the pods of a node that loses its power: at once, and nobody says so."""
        self.terminating = True
        self.close()
        self.kill()

    def close(self) -> None:
        """Give back what the pod held; its folder stays until ``forget``."""
        for task in self._tasks:
            task.cancel()
        self._node.volumes.close(self.dir)
        if self._sidecar is not None:
            self._sidecar.close()
        self._node.addresses.give_back(self.ip)

    def forget(self) -> None:
        """Remove the pod's folder."""
        shutil.rmtree(self.dir, ignore_errors=True)


def _without_effect(pod: dict[str, Any]) -> str:
    """The sentence about variables of the pod that its programs do not get; empty when it has none."""
    names = ", ".join(ineffective_variables(pod))
    return names and (
        f"The sandbox runs the pod without {names}: no variable of a pod decides how the program of an image "
        "is loaded."
    )


async def _stop(containers: Sequence[Container], grace_s: float) -> None:
    await asyncio.gather(*(each.stop(grace_s) for each in containers))
