"""Nodes that are lost: NotReady, tainted, and emptied; and back again.

A node is lost when the node agent no longer runs its pods, which the annotation ``POWERED_OFF`` asks for.
Then everything goes as Kubernetes' node lifecycle controller has it: the condition Ready becomes Unknown,
pods are no longer ready and leave their EndpointSlices, the taint ``unreachable`` keeps new pods away and
evicts those that are there. An evicted pod stays Terminating until its node is back and can say that it has
ended; its controller makes another one elsewhere meanwhile. Only the times are the sandbox's own: a person
watches, so a loss is noticed after ``NOTICE_S`` (Kubernetes: 40 s) and pods are evicted ``EVICT_AFTER_S``
later where they do not say otherwise (Kubernetes: 300 s).
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
    """Keeps the condition and the taints of every node, and evicts by NoExecute taints."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._silent_since_s: dict[str, float] = {}
        self._tainted_since_s: dict[str, float] = {}

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Nodes, and the pods bound to them."""
        return {"nodes": lambda node: [key_of(node)], "pods": _node_of}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step for one node."""
        node = await self._client.get("nodes", name)
        if node is None:
            return None
        if not is_switched_off(node):
            self._silent_since_s.pop(name, None)
            await self._found_again(node)
        else:
            silent_s = time.monotonic() - self._silent_since_s.setdefault(name, time.monotonic())
            if silent_s < NOTICE_S:
                return NOTICE_S - silent_s
            node = await self._lost(node)
        return await self._evict(node)

    async def _lost(self, node: Object) -> Object:
        """Unknown, tainted, its pods not ready."""
        name = key_of(node)[1]
        ready = condition(node, "Ready")
        if ready is None or ready["status"] != "Unknown":
            await self._set_ready(node, "Unknown", "NodeStatusUnknown", "The node posts no status.")
            await self._tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        if not _unreachable(node):
            taints = [
                {"key": UNREACHABLE, "effect": effect, "timeAdded": timestamp()}
                for effect in ("NoSchedule", "NoExecute")
            ]
            node = await self._taint(node, [*_others(node), *taints])
        for pod in await self._pods(name):
            if is_ready(pod):
                await self._set_unready(pod)
        return node

    async def _found_again(self, node: Object) -> None:
        """Ready, and without the taint."""
        ready = condition(node, "Ready")
        if ready is not None and ready["status"] == "Unknown":
            await self._set_ready(node, "True", "KubeletReady", "the sandbox's node agent is running")
            await self._tell(node, "NodeReady", f"Node {key_of(node)[1]} status is now: NodeReady")
        if _unreachable(node):
            await self._taint(node, _others(node))

    async def _evict(self, node: Object) -> float | None:
        """Delete the pods that do not tolerate the node any longer; seconds until the next has to go."""
        name = key_of(node)[1]
        if not any(each["effect"] == "NoExecute" for each in node["spec"].get("taints") or ()):
            self._tainted_since_s.pop(name, None)
            return None
        tainted_s = time.monotonic() - self._tainted_since_s.setdefault(name, time.monotonic())
        again: list[float] = []
        for pod in await self._pods(name):
            wait_s = evicted_after_s(pod, node, EVICT_AFTER_S)
            if wait_s is None or is_terminating(pod):
                continue
            if tainted_s < wait_s:
                again.append(wait_s - tainted_s)
                continue
            namespace, pod_name = key_of(pod)
            await self._tell(pod, "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{pod_name}")
            await self._client.delete("pods", pod_name, namespace)
        return min(again, default=None)

    async def _pods(self, node: str) -> list[Object]:
        pods = await self._client.list("pods")
        return [pod for pod in pods if pod["spec"].get("nodeName") == node and not is_finished(pod)]

    async def _set_ready(self, node: Object, status: str, reason: str, message: str) -> None:
        name = key_of(node)[1]
        found = dict(node.get("status") or {})
        found["conditions"] = [
            {"type": "Ready", "status": status, "reason": reason, "message": message}
            | {"lastTransitionTime": timestamp()}
            if each["type"] == "Ready"
            else each
            for each in found.get("conditions") or ()
        ]
        await self._client.update_status("nodes", name, None, found)

    async def _set_unready(self, pod: Object) -> None:
        namespace, name = key_of(pod)
        status = dict(pod["status"])
        status["conditions"] = set_condition(status["conditions"], "Ready", False, "NodeNotReady", "")
        await self._client.update_status("pods", name, namespace, status)

    async def _taint(self, node: Object, taints: list[Object]) -> Object:
        return await self._client.merge_patch(
            "nodes", key_of(node)[1], None, {"spec": {"taints": taints or None}}
        )

    async def _tell(self, about: Object, reason: str, text: str) -> None:
        await self._client.record_event(about, reason, text, source=SOURCE)


def _unreachable(node: Object) -> bool:
    return len(_others(node)) < len(node["spec"].get("taints") or ())


def _others(node: Object) -> list[Object]:
    return [each for each in node["spec"].get("taints") or () if each["key"] != UNREACHABLE]


def _node_of(pod: Object) -> list[Key]:
    node = pod["spec"].get("nodeName")
    return [("", node)] if node else []
