"""The node controller marks unreachable nodes as not ready, taints them and evicts their pods.

A chaos experiment switches a node off with the annotation ``POWERED_OFF``; the node agent then no longer runs
its pods. From there the controller follows Kubernetes' node lifecycle controller: the condition Ready becomes
Unknown, the pods become not ready and leave their EndpointSlices, and the taint ``unreachable`` repels new
pods and evicts existing ones. An evicted pod remains Terminating until its node is reachable again and
confirms that its processes have ended; meanwhile the pod's controller creates a replacement on another node.
Only the delays differ, because a sandbox is used interactively: a node is marked after ``NOTICE_S``
(Kubernetes: 40 s), and pods without a toleration of their own are evicted ``EVICT_AFTER_S`` later
(Kubernetes: 300 s).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.kube.nodes import is_switched_off
from meshkit.kube.pods import is_ready
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    condition,
    is_finished,
    is_terminating,
    key_of,
    set_condition,
    timestamp,
)
from meshkit.sandbox.controllers.scheduling.taints import UNREACHABLE, evicted_after_s

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

NOTICE_S = 1.0
EVICT_AFTER_S = 1.0
SOURCE = "node-controller"


class NodeController:
    """Updates the Ready condition and the taints of every node and evicts pods by NoExecute taints."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._down_since_s: dict[str, float] = {}
        self._tainted_since_s: dict[str, float] = {}

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Nodes and the pods bound to them."""
        return {"nodes": lambda node: [key_of(node)], "pods": _node_of}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step for one node."""
        node = await self._client.get("nodes", name)
        if node is None:
            return None
        if not is_switched_off(node):
            self._down_since_s.pop(name, None)
            await self._mark_reachable(node)
        else:
            down_s = time.monotonic() - self._down_since_s.setdefault(name, time.monotonic())
            if down_s < NOTICE_S:
                return NOTICE_S - down_s
            node = await self._mark_unreachable(node)
        return await self._evict(node)

    async def _mark_unreachable(self, node: Object) -> Object:
        """Set the node's Ready condition to Unknown, taint it and mark its pods as not ready."""
        name = key_of(node)[1]
        ready = condition(node, "Ready")
        if ready is None or ready["status"] != "Unknown":
            await self._set_ready(node, "Unknown", "NodeStatusUnknown", "The node posts no status.")
            await self._record_event(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        if not _is_unreachable(node):
            taints = [
                {"key": UNREACHABLE, "effect": effect, "timeAdded": timestamp()}
                for effect in ("NoSchedule", "NoExecute")
            ]
            node = await self._taint(node, [*_other_taints(node), *taints])
        for pod in await self._pods(name):
            if is_ready(pod):
                await self._set_unready(pod)
        return node

    async def _mark_reachable(self, node: Object) -> None:
        """Set the node's Ready condition to True and remove the taint."""
        ready = condition(node, "Ready")
        if ready is not None and ready["status"] == "Unknown":
            await self._set_ready(node, "True", "KubeletReady", "the sandbox's node agent is running")
            await self._record_event(node, "NodeReady", f"Node {key_of(node)[1]} status is now: NodeReady")
        if _is_unreachable(node):
            await self._taint(node, _other_taints(node))

    async def _evict(self, node: Object) -> float | None:
        """Delete pods that no longer tolerate the node; return the seconds until the next eviction."""
        name = key_of(node)[1]
        if not any(taint["effect"] == "NoExecute" for taint in node["spec"].get("taints") or ()):
            self._tainted_since_s.pop(name, None)
            return None
        tainted_s = time.monotonic() - self._tainted_since_s.setdefault(name, time.monotonic())
        waits: list[float] = []
        for pod in await self._pods(name):
            wait_s = evicted_after_s(pod, node, EVICT_AFTER_S)
            if wait_s is None or is_terminating(pod):
                continue
            if tainted_s < wait_s:
                waits.append(wait_s - tainted_s)
                continue
            namespace, pod_name = key_of(pod)
            await self._record_event(
                pod, "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{pod_name}"
            )
            await self._client.delete("pods", pod_name, namespace)
        return min(waits, default=None)

    async def _pods(self, node: str) -> list[Object]:
        pods = await self._client.list("pods")
        return [pod for pod in pods if pod["spec"].get("nodeName") == node and not is_finished(pod)]

    async def _set_ready(self, node: Object, status: str, reason: str, message: str) -> None:
        name = key_of(node)[1]
        updated = dict(node.get("status") or {})
        updated["conditions"] = [
            {"type": "Ready", "status": status, "reason": reason, "message": message}
            | {"lastTransitionTime": timestamp()}
            if entry["type"] == "Ready"
            else entry
            for entry in updated.get("conditions") or ()
        ]
        await self._client.update_status("nodes", name, None, updated)

    async def _set_unready(self, pod: Object) -> None:
        namespace, name = key_of(pod)
        status = dict(pod["status"])
        status["conditions"] = set_condition(status["conditions"], "Ready", False, "NodeNotReady", "")
        await self._client.update_status("pods", name, namespace, status)

    async def _taint(self, node: Object, taints: list[Object]) -> Object:
        return await self._client.merge_patch(
            "nodes", key_of(node)[1], None, {"spec": {"taints": taints or None}}
        )

    async def _record_event(self, about: Object, reason: str, text: str) -> None:
        await self._client.record_event(about, reason, text, source=SOURCE)


def _is_unreachable(node: Object) -> bool:
    return len(_other_taints(node)) < len(node["spec"].get("taints") or ())


def _other_taints(node: Object) -> list[Object]:
    return [taint for taint in node["spec"].get("taints") or () if taint["key"] != UNREACHABLE]


def _node_of(pod: Object) -> list[Key]:
    node = pod["spec"].get("nodeName")
    return [("", node)] if node else []
