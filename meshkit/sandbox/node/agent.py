"""The node agent runs every pod that is bound to one of the three nodes.

One agent serves all nodes; a node is only a name and a zone. When the daemon starts, the agent restarts every
stored pod (its processes ended with the previous daemon) with a new address and an increased restart count.
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
from meshkit.sandbox.control_planes.registry import ports_behind_proxy
from meshkit.sandbox.controllers.loop import skipping
from meshkit.sandbox.controllers.objects import is_finished, is_terminating, key_of, set_condition, timestamp
from meshkit.sandbox.dataplane.pod_directory import (
    ADDRESS_FILE,
    OutsideFolder,
    admin_socket,
    app_socket,
    control_socket,
    pod_folder,
)
from meshkit.sandbox.node.addresses import Addresses
from meshkit.sandbox.node.container import log_file
from meshkit.sandbox.node.environment import HOST_IP, NODE_CAPACITY, NodeConfig
from meshkit.sandbox.node.pod import SOURCE, Node, PodRunner
from meshkit.sandbox.node.volumes import Volumes

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import Event, LocalClient

log = logging.getLogger(__name__)

ZONES = {"sandbox-a": "zone-a", "sandbox-b": "zone-b", "sandbox-c": "zone-c"}
KUBELET_VERSION = "v1.37.0+meshkit.sandbox"
RUNTIME_VERSION = f"{PROCESS_RUNTIME}://1"
TOKEN_LIFETIME_S = 365 * 24 * 3600
"""A pod's token is not renewed; it becomes invalid with the pod and with its ServiceAccount."""
ENVOY_ADMIN_PORT = 15000
"""Where istioctl asks a proxy, by a forwarded port; the sandbox's proxies listen on a socket instead."""
CLOSE_GRACE_S = 1.0
HEARTBEAT_S = 240.0
"""Period of the nodes' heartbeats; clients compare their clock with the last one (kubelet: 5 min)."""


class NodeAgent:
    """Starts and stops the pods that are bound to the sandbox's nodes."""

    def __init__(self, client: LocalClient, addresses: Addresses, config: NodeConfig) -> None:
        self._client = client
        self._config = config
        self._volumes = Volumes(client)
        self._node = Node(client, addresses, config, self.peer, self._token, self._volumes)
        self._runners: dict[str, PodRunner] = {}
        self._by_ip: dict[str, PodRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._down: set[str] = set()
        """The names of nodes that are switched off."""

    async def prepare(self) -> None:
        """Register the nodes, mark all pods as not ready and remove folders of deleted pods."""
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
        self._config.run.mkdir(mode=0o700, exist_ok=True)
        known = {pod["metadata"]["uid"] for pod in pods}
        for folder in self._config.run.iterdir():
            if not folder.is_dir():
                continue
            if folder.name in known:
                (folder / ADDRESS_FILE).unlink(missing_ok=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    async def run(self) -> None:
        """Watch the nodes, the pods and their volumes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._volumes.run())
            tasks.create_task(self._follow_nodes())
            tasks.create_task(self._follow_pods())
            tasks.create_task(self._report_nodes())

    async def _report_nodes(self) -> None:
        """Write the time of the last heartbeat into the status of every node that is on."""
        while True:
            for name in ZONES:
                try:
                    await self._report(name)
                except ApiError as exc:
                    log.warning("status of node %s: %s", name, exc.message)
            await asyncio.sleep(HEARTBEAT_S)

    async def _report(self, name: str) -> None:
        node = await self._client.get("nodes", name)
        if node is None or name in self._down:
            return
        status = node.get("status") or {}
        now = timestamp()
        status["conditions"] = [{**each, "lastHeartbeatTime": now} for each in status.get("conditions") or ()]
        seen = node["metadata"]["resourceVersion"]
        await self._client.update_status("nodes", name, None, status, seen=seen)

    async def _follow_nodes(self) -> None:
        """Switch nodes off and on when their annotation changes."""
        async for event in self._client.watch("nodes"):
            with skipping("nodes", event.object):
                name = key_of(event.object)[1]
                if is_switched_off(event.object):
                    self._switch_off(name)
                elif name in self._down:
                    await self._switch_on(name)

    def _switch_off(self, name: str) -> None:
        """Kill all processes of the node's pods without writing any status, as a power failure would."""
        self._down.add(name)
        for runner in [
            candidate for candidate in self._runners.values() if candidate.pod["spec"]["nodeName"] == name
        ]:
            self._drop(runner)
            runner.crash()

    async def _switch_on(self, name: str) -> None:
        """Start the node's pods again and finish the deletion of pods that were evicted meanwhile."""
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
            with skipping("pods", event.object):
                self._on_pod(event)

    def _on_pod(self, event: Event) -> None:
        pod = event.object
        if pod["spec"].get("nodeName") not in ZONES or pod["spec"]["nodeName"] in self._down:
            return
        runner = self._runners.get(pod["metadata"]["uid"])
        if event.type == "DELETED":
            if runner is not None:
                self._drop(runner)
                runner.kill()
                runner.close()
                runner.remove_folder()
        elif is_terminating(pod):
            self._end(pod, runner)
        elif runner is None and not is_finished(pod):
            self._begin(pod)

    def _begin(self, pod: dict[str, Any]) -> None:
        if why := self._refusal(pod):
            self._create_task(self._refuse(pod, why))
            return
        runner = PodRunner(pod, self._node)
        self._runners[runner.uid] = runner
        self._by_ip[runner.ip] = runner
        runner.start()

    def _refusal(self, pod: dict[str, Any]) -> str:
        """Return why a pod cannot run here, or an empty string.

        The API server refuses such pods, but an older store may contain one whose names escape its folder.
        """
        try:
            pod_folder(self._config.run, pod["metadata"]["uid"])
        except OutsideFolder as problem:
            return str(problem)
        return ", ".join(cause.text for cause in self._client.causes("pods", pod))

    async def _refuse(self, pod: dict[str, Any], why: str) -> None:
        """Set a pod's phase to Failed and record the reason."""
        namespace, name = key_of(pod)
        message = f"The sandbox does not run the pod because it is not valid: {why}"
        status = {"phase": "Failed", "reason": "InvalidPod", "message": message}
        try:
            await self._client.update_status("pods", name, namespace, status)
            await self._client.record_event(pod, "InvalidPod", message, type="Warning", source=SOURCE)
        except ApiError as exc:
            log.error("pod %s/%s is not valid (%s): %s", namespace, name, why, exc.message)

    def _create_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, pod: dict[str, Any], runner: PodRunner | None) -> None:
        if runner is None or not runner.terminating:
            if runner is not None:
                runner.terminating = True
            self._create_task(self._finish(pod, runner))

    async def _finish(self, pod: dict[str, Any], runner: PodRunner | None) -> None:
        """Stop a pod's processes, then delete the object."""
        namespace, name = key_of(pod)
        if runner is not None:
            await runner.stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
            self._drop(runner)
        with contextlib.suppress(OutsideFolder):
            shutil.rmtree(pod_folder(self._config.run, pod["metadata"]["uid"]), ignore_errors=True)
        try:
            await self._client.delete("pods", name, namespace, grace_period_s=0)
        except ApiError as exc:
            log.error("pod %s/%s has ended but cannot be deleted: %s", namespace, name, exc.message)

    def _drop(self, runner: PodRunner) -> None:
        self._runners.pop(runner.uid, None)
        self._by_ip.pop(runner.ip, None)

    async def close(self) -> None:
        """Stop all pods' processes (SIGTERM, SIGKILL after one second) and keep the objects."""
        for task in list(self._tasks):
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
        """Return the pod at ``ip:port``, for the labels of metrics."""
        runner = self._by_ip.get(address.rpartition(":")[0])
        return None if runner is None else runner.peer


def read_log(
    run: Path, pod: Mapping[str, Any], container: str, tail_lines: int | None, *, previous: bool = False
) -> str | None:
    """Return the log of a container's current or previous run; None if there was no previous run."""
    try:
        path = log_file(pod_folder(run, pod["metadata"]["uid"]), container, previous=previous)
    except OutsideFolder:
        return None if previous else ""
    return None if previous and not path.exists() else tail(path, tail_lines)


async def dial(
    run: Path, pod: Mapping[str, Any], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to what listens on a port inside a pod, behind its sidecar. Raises OSError."""
    folder = _folder(run, pod)
    private = [control_socket(folder, port), app_socket(folder, port)]
    if port == ENVOY_ADMIN_PORT:
        private.append(str(admin_socket(folder)))
    for behind in private:
        if Path(behind).is_socket():
            return await asyncio.open_unix_connection(behind)
    return await asyncio.open_connection(_own_address(folder), port)


def address_of(run: Path, pod: Mapping[str, Any], port: int) -> str:
    """Return the address ``tcp:HOST:PORT`` or ``unix:PATH`` for the API server's requests to a port of a pod.

    They go to the pod's address and through its sidecar, if that captures the port, as on any cluster. A
    control API has a socket of its own. Raises OSError when the pod does not run.
    """
    folder = _folder(run, pod)
    ip, control = _own_address(folder), control_socket(folder, port)
    is_private = port not in ports_behind_proxy(pod) and Path(control).is_socket()
    return f"unix:{control}" if is_private else f"tcp:{ip}:{port}"


def _folder(run: Path, pod: Mapping[str, Any]) -> Path:
    try:
        return pod_folder(run, pod["metadata"]["uid"])
    except OutsideFolder as error:
        raise OSError(str(error)) from error


def _own_address(folder: Path) -> str:
    """Return the address that the node agent gave to a pod: the one in its status may be anybody's."""
    try:
        return (folder / ADDRESS_FILE).read_text()
    except FileNotFoundError:
        raise OSError("the pod does not run") from None


def tail(path: Path, lines: int | None) -> str:
    """Return the last lines of a file, or all lines; empty when the file does not exist."""
    try:
        with path.open(errors="replace") as stream:
            return stream.read() if lines is None else "".join(deque(stream, lines))
    except FileNotFoundError:
        return ""


def node_object(name: str) -> dict[str, Any]:
    """Return the Node object that the agent registers."""
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
            "conditions": [{**each, "lastHeartbeatTime": timestamp()} for each in ready],
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
