"""The node agent: runs every pod that is bound to one of the three nodes.

One agent serves all nodes; a node is a name and a zone. Every pod that the store holds when the daemon starts
is started again (its processes ended with the last daemon) under a new address, with a restart counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections import deque
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshkit.kube.nodes import PROCESS_RUNTIME, is_switched_off
from meshkit.meshes.model.pods import Peer, service_account
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.objects import is_finished, is_terminating, key_of, set_condition
from meshkit.sandbox.dataplane.pod_directory import OutsideFolder, pod_folder
from meshkit.sandbox.node.addresses import Addresses
from meshkit.sandbox.node.container import log_file
from meshkit.sandbox.node.environment import HOST_IP, NODE_CAPACITY, Surroundings
from meshkit.sandbox.node.pod import SOURCE, Node, PodRunner
from meshkit.sandbox.node.volumes import Volumes

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

log = logging.getLogger(__name__)

ZONES = {"sandbox-a": "zone-a", "sandbox-b": "zone-b", "sandbox-c": "zone-c"}
KUBELET_VERSION = "v1.37.0+meshkit.sandbox"
RUNTIME_VERSION = f"{PROCESS_RUNTIME}://1"
TOKEN_LIFETIME_S = 365 * 24 * 3600
"""Nothing renews a pod's token; it ends with its ServiceAccount."""
CLOSE_GRACE_S = 1.0


class NodeAgent:
    """Starts and stops pods as the store says. ``addresses`` are those of this sandbox's net."""

    def __init__(self, client: LocalClient, addresses: Addresses, around: Surroundings) -> None:
        self._client = client
        self._around = around
        self._volumes = Volumes(client)
        self._node = Node(client, addresses, around, self.peer, self._token, self._volumes)
        self._runners: dict[str, PodRunner] = {}
        self._by_ip: dict[str, PodRunner] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._down: set[str] = set()
        """Nodes that are switched off."""

    async def prepare(self) -> None:
        """Register the nodes.

        Mark every pod as not running yet; clear folders of pods that are gone.
        """
        for name in ZONES:
            node = await self._client.get("nodes", name)
            if node is None:
                await self._client.create("nodes", node_object(name))
            elif is_switched_off(node):
                self._down.add(name)
        pods = await self._client.list("pods")
        for pod in pods:
            status = pod.get("status") or {}
            if pod["spec"].get("nodeName") in ZONES and status.get("conditions") and not is_finished(pod):
                namespace, name = key_of(pod)
                reason = "the sandbox was restarted"
                for field in ("podIP", "podIPs"):
                    status.pop(field, None)
                before = status["conditions"]
                status["conditions"] = set_condition(before, "Ready", False, "SandboxRestarted", reason)
                await self._client.update_status("pods", name, namespace, status)
        self._around.run.mkdir(mode=0o700, exist_ok=True)
        known = {pod["metadata"]["uid"] for pod in pods}
        for folder in self._around.run.iterdir():
            if folder.is_dir() and folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    async def run(self) -> None:
        """Follow the nodes, the pods and what they mount until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._volumes.run())
            tasks.create_task(self._follow_nodes())
            tasks.create_task(self._follow_pods())

    async def _follow_nodes(self) -> None:
        """Switch nodes off and on as their annotation says."""
        async for event in self._client.watch("nodes"):
            name = key_of(event.object)[1]
            if is_switched_off(event.object):
                self._switch_off(name)
            elif name in self._down:
                await self._switch_on(name)

    def _switch_off(self, name: str) -> None:
        """Every process of the node's pods ends at once. Whoever wants to know has to find out."""
        self._down.add(name)
        for runner in [each for each in self._runners.values() if each.pod["spec"]["nodeName"] == name]:
            self._drop(runner)
            runner.crash()

    async def _switch_on(self, name: str) -> None:
        """Start the node's pods again; those that were evicted meanwhile are over."""
        self._down.discard(name)
        for pod in await self._client.list("pods"):
            if pod["spec"].get("nodeName") != name or pod["metadata"]["uid"] in self._runners:
                continue
            if is_terminating(pod):
                self._end(pod, None)
            elif not is_finished(pod):
                self._begin(pod)

    async def _follow_pods(self) -> None:
        async for event in self._client.watch("pods"):
            pod = event.object
            if pod["spec"].get("nodeName") not in ZONES or pod["spec"]["nodeName"] in self._down:
                continue
            runner = self._runners.get(pod["metadata"]["uid"])
            if event.type == "DELETED":
                if runner is not None:
                    self._drop(runner)
                    runner.kill()
                    runner.close()
                    runner.forget()
            elif is_terminating(pod):
                self._end(pod, runner)
            elif runner is None and not is_finished(pod):
                self._begin(pod)

    def _begin(self, pod: dict[str, Any]) -> None:
        if why := self._refusal(pod):
            self._in_background(self._refuse(pod, why))
            return
        runner = PodRunner(pod, self._node)
        self._runners[runner.uid] = runner
        self._by_ip[runner.ip] = runner
        runner.start()

    def _refusal(self, pod: dict[str, Any]) -> str:
        """Why a pod cannot run here; empty when it can.

        The API server refuses such a pod; one that is in the store already must not lead out of its folder.
        """
        try:
            pod_folder(self._around.run, pod["metadata"]["uid"])
        except OutsideFolder as problem:
            return str(problem)
        return ", ".join(cause.text for cause in self._client.causes("pods", pod))

    async def _refuse(self, pod: dict[str, Any], why: str) -> None:
        """Let a pod fail, and say why."""
        namespace, name = key_of(pod)
        message = f"The sandbox does not run the pod, which is not valid: {why}"
        status = {"phase": "Failed", "reason": "InvalidPod", "message": message}
        try:
            await self._client.update_status("pods", name, namespace, status)
            await self._client.record_event(pod, "InvalidPod", message, type="Warning", source=SOURCE)
        except ApiError as exc:
            log.error("pod %s/%s is not valid (%s): %s", namespace, name, why, exc.message)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _end(self, pod: dict[str, Any], runner: PodRunner | None) -> None:
        if runner is None or not runner.terminating:
            if runner is not None:
                runner.terminating = True
            self._in_background(self._finish(pod, runner))

    async def _finish(self, pod: dict[str, Any], runner: PodRunner | None) -> None:
        """Stop a pod's processes, then let the object go."""
        namespace, name = key_of(pod)
        if runner is not None:
            await runner.stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
            self._drop(runner)
        with contextlib.suppress(OutsideFolder):
            shutil.rmtree(pod_folder(self._around.run, pod["metadata"]["uid"]), ignore_errors=True)
        try:
            await self._client.delete("pods", name, namespace, grace_period_s=0)
        except ApiError as exc:
            log.error("pod %s/%s has ended but cannot be deleted: %s", namespace, name, exc.message)

    def _drop(self, runner: PodRunner) -> None:
        self._runners.pop(runner.uid, None)
        self._by_ip.pop(runner.ip, None)

    async def close(self) -> None:
        """Stop every process of every pod: a second for SIGTERM, then SIGKILL. The objects stay."""
        for task in list(self._ending):
            task.cancel()
        runners = list(self._runners.values())
        await asyncio.gather(*(runner.end(CLOSE_GRACE_S) for runner in runners))
        for runner in runners:
            runner.close()

    async def _token(self, pod: dict[str, Any]) -> str:
        namespace, name = key_of(pod)
        bound = {"name": name, "uid": pod["metadata"]["uid"]}
        return await self._client.token(namespace, service_account(pod), TOKEN_LIFETIME_S, bound)

    def peer(self, address: str) -> Peer | None:
        """The pod at ``ip:port``, for the labels of metrics."""
        runner = self._by_ip.get(address.rpartition(":")[0])
        return None if runner is None else runner.peer


def read_log(
    run: Path, pod: Mapping[str, Any], container: str, tail_lines: int | None, *, previous: bool = False
) -> str | None:
    """What a container of a pod has written in its present life, or in the one before it.

    None where it had no such life.
    """
    try:
        path = log_file(pod_folder(run, pod["metadata"]["uid"]), container, previous=previous)
    except OutsideFolder:
        return None if previous else ""
    return None if previous and not path.exists() else tail(path, tail_lines)


def tail(path: Path, lines: int | None) -> str:
    """The last lines of a file, or all; empty where there is no file yet."""
    try:
        with path.open(errors="replace") as stream:
            return stream.read() if lines is None else "".join(deque(stream, lines))
    except FileNotFoundError:
        return ""


def node_object(name: str) -> dict[str, Any]:
    """A node as it registers itself."""
    ready = set_condition([], "Ready", True, "KubeletReady", "the sandbox's node agent is running")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/region": "sandbox",
                "topology.kubernetes.io/zone": ZONES[name],
            },
        },
        "spec": {"providerID": f"meshkit://{name}"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": name}],
            "allocatable": NODE_CAPACITY,
            "capacity": NODE_CAPACITY,
            "conditions": ready,
            "nodeInfo": {
                "architecture": "",
                "bootID": "",
                "containerRuntimeVersion": RUNTIME_VERSION,
                "kernelVersion": "",
                "kubeProxyVersion": KUBELET_VERSION,
                "kubeletVersion": KUBELET_VERSION,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "meshkit sandbox",
                "systemUUID": "",
            },
        },
    }
