"""Runs one pod, from its binding to a node until its deletion.

Start: the runner allocates the address, the folder and the token, then runs the init containers in order,
then the sidecar and, once that is ready, the application, so that a program's first request finds its proxy.
When no container will restart (restartPolicy Never, or OnFailure after success), the runner stops the
sidecars.

End: the pod becomes not ready at once, which removes it from every EndpointSlice. After ``DRAIN_S``, when
callers have received the change, SIGTERM goes to the application and then to the sidecar; SIGKILL follows
after the grace period.
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
from meshkit.sandbox.controllers.loop import Turns
from meshkit.sandbox.controllers.objects import key_of
from meshkit.sandbox.dataplane.exposition import PeerLookup
from meshkit.sandbox.dataplane.folder_watch import FolderWatch
from meshkit.sandbox.dataplane.pod_directory import ADDRESS_FILE, TOKEN_FILE, pod_folder
from meshkit.sandbox.node import images
from meshkit.sandbox.node.addresses import Addresses
from meshkit.sandbox.node.container import Container, ContainerContext
from meshkit.sandbox.node.environment import (
    NodeConfig,
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
    """The services that all pods of the agent share."""

    client: LocalClient
    addresses: Addresses
    config: NodeConfig
    peers: PeerLookup
    token_of: Any
    """Returns the ServiceAccount token for a pod."""
    volumes: Volumes
    watch: FolderWatch = field(default_factory=FolderWatch)
    turns: Turns = field(default_factory=Turns)
    """For the writers of pod statuses."""


class PodRunner:
    """Runs one pod; ``pod`` is the object at the time of its binding, whose spec does not change."""

    def __init__(self, pod: dict[str, Any], node: Node) -> None:
        self.pod, self._node = pod, node
        self.uid: str = pod["metadata"]["uid"]
        self.ip = node.addresses.take()
        self.dir = pod_folder(node.config.run, self.uid)
        self.terminating = False
        self.peer = peer_of(pod)
        self._listen = listen_addresses(pod, self.ip, self.dir)
        plane = data_plane_of(pod)
        self._sidecar = Sidecar(pod, plane, self.ip, self.dir, node.peers, node.watch) if plane else None
        spec = pod["spec"]
        self.init = [
            self._container(container, is_init=True) for container in spec.get("initContainers") or ()
        ]
        self.main = [self._container(container, is_init=False) for container in spec["containers"]]
        self._notice = _ineffective_notice(pod)
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
        context = ContainerContext(
            environment=lambda: self._environment(spec, image, proxy),
            pod_dir=self.dir,
            address_of=lambda port: self._listen.get(port, f"tcp:{self.ip}:{port}"),
            changed=lambda: self._changed.set(),
            record_event=self._record_event,
            restart=policy,
            log_lines=proxy.count if proxy else None,
            is_ready=proxy.is_ready if proxy else None,
        )
        return Container(spec, image, context, restarts=restarts_before(self.pod, spec["name"]))

    async def _environment(
        self, spec: dict[str, Any], image: Image | None, proxy: Sidecar | None
    ) -> dict[str, str]:
        """Return the environment for one run of a container, with the current ConfigMaps."""
        namespace = key_of(self.pod)[0]
        config_maps = {
            name: await self._node.client.get("configmaps", name, namespace) or {}
            for name in config_maps_of(spec)
        }
        own = sandbox_environment(self.pod, spec, self.ip, self._node.config)
        env = container_environment(self.pod, spec, self.ip, self._node.config, config_maps)
        if proxy is not None:
            proxy.write_proxy_info(env)
        return process_environment(own, env, image.reads if image else ())

    @property
    def containers(self) -> list[Container]:
        """All containers of the pod, init containers first."""
        return [*self.init, *self.main]

    def start(self) -> None:
        """Start the pod in the background."""
        self._starting = asyncio.create_task(self._run())
        self._tasks = [asyncio.create_task(self._publish()), self._starting]

    async def _run(self) -> None:
        if not self._status.get("startTime"):
            await self._warn_about_ignored_fields()
        try:
            await self._prepare()
            self._changed.set()  # Publish the address; from now on a control plane may write into the folder.
            await self._start_containers()
            await self._end_sidecars()
        except (OSError, ApiError) as exc:
            log.error("pod %s/%s: %s", *key_of(self.pod), exc)
            await self._record_event("Warning", "FailedCreatePodSandBox", str(exc))

    async def _warn_about_ignored_fields(self) -> None:
        if ignored := ignored_fields(self.pod):
            text = f"The sandbox ignores {', '.join(ignored)}: it does not support these fields."
            await self._record_event("Warning", "NotSupported", text)
        if self._notice:
            await self._record_event("Warning", "NotSupported", self._notice)

    async def _prepare(self) -> None:
        """Create the pod's folder with its token, its address, its volumes and the sidecar's files."""
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True, mode=0o700)
        token = self.dir / TOKEN_FILE
        token.touch(mode=0o600)
        token.write_text(await self._node.token_of(self.pod))
        (self.dir / ADDRESS_FILE).write_text(self.ip)
        await self._mount()
        if self._sidecar is not None:
            await self._sidecar.open()

    async def _mount(self) -> None:
        """Write the volumes, and retry until all referenced objects exist."""
        while True:
            try:
                await self._node.volumes.open(self.pod, self.dir)
            except MountFailed as problem:
                for container in self.containers:
                    container.set_waiting_message(str(problem))
                await self._record_event("Warning", "FailedMount", str(problem))
                await asyncio.sleep(MOUNT_RETRY_S)
            else:
                return

    async def _start_containers(self) -> None:
        spec = self.pod["spec"]
        for init_spec, container in zip(spec.get("initContainers") or (), self.init, strict=True):
            if init_spec.get("restartPolicy") == "Always":
                self._launch(container)
                await container.became_ready.wait()
            else:
                await container.run()
                if container.exit_code != 0:
                    await _stop(self.init, SIDECAR_GRACE_S)
                    return
        proxies = [item for item in self.main if is_proxy(item.name)]
        for proxy in proxies:
            self._launch(proxy)
            await proxy.became_ready.wait()
        for container in self.main:
            if container not in proxies:
                self._launch(container)

    async def _end_sidecars(self) -> None:
        """Stop the sidecars when no application container will restart."""
        await asyncio.gather(*(container.over.wait() for container in self.main))
        await _stop(self.init, SIDECAR_GRACE_S)

    def _launch(self, container: Container) -> None:
        self._tasks.append(asyncio.create_task(container.run()))

    async def _publish(self) -> None:
        """Write the pod's status after each change, until the pod is deleted."""
        namespace, name = key_of(self.pod)
        while True:
            await self._changed.wait()
            await self._node.turns.next()
            self._changed.clear()
            self._status = pod_status(
                self.pod,
                self._status,
                self.ip,
                [container.status() for container in self.init],
                [container.status() for container in self.main],
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

    async def _record_event(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        with contextlib.suppress(ApiError):
            await self._node.client.record_event(self.pod, reason, message, type=kind, source=SOURCE)

    async def stop(self, grace_s: float) -> None:
        """Drain and stop the pod within ``grace_s``; return when all processes have ended."""
        was_ready = bool(self.main) and all(container.ready for container in self.main)
        self.terminating = True
        if self._starting is not None:
            self._starting.cancel()
        self._changed.set()
        drain_s = min(DRAIN_S, grace_s / 2) if was_ready else 0.0
        await asyncio.sleep(drain_s)
        applications = [container for container in self.main if not is_proxy(container.name)]
        others = [container for container in self.containers if container not in applications]
        await _stop(applications, max(0.0, grace_s - drain_s))
        await _stop(others, min(grace_s, SIDECAR_GRACE_S))
        self.close()

    async def end(self, grace_s: float) -> None:
        """Stop all processes without draining; return when they have ended."""
        self.terminating = True
        if self._starting is not None:
            self._starting.cancel()
        await _stop(self.containers, grace_s)

    def kill(self) -> None:
        """Kill all processes immediately."""
        for container in self.containers:
            container.kill()

    def crash(self) -> None:
        """Kill the pod without a status update, as if its node lost power."""
        self.terminating = True
        self.close()
        self.kill()

    def close(self) -> None:
        """Release the pod's address, volumes and tasks; its folder remains until ``remove_folder``."""
        for task in self._tasks:
            task.cancel()
        self._node.volumes.close(self.dir)
        if self._sidecar is not None:
            self._sidecar.close()
        self._node.addresses.give_back(self.ip)

    def remove_folder(self) -> None:
        """Remove the pod's folder."""
        shutil.rmtree(self.dir, ignore_errors=True)


def _ineffective_notice(pod: dict[str, Any]) -> str:
    """Return the notice about variables that the pod's programs do not receive; empty if there are none."""
    names = ", ".join(ineffective_variables(pod))
    return names and (
        f"The sandbox runs the pod without {names}: a pod's variables must not affect how the program of an "
        "image is loaded."
    )


async def _stop(containers: Sequence[Container], grace_s: float) -> None:
    await asyncio.gather(*(container.stop(grace_s) for container in containers))
