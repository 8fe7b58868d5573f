"""The scheduler binds each new pod to the node that ``placement`` chooses.

A pod that fits no node stays Pending with a condition and an Event that give the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    is_finished,
    is_terminating,
    key_of,
    set_condition,
)
from meshkit.sandbox.controllers.scheduling.placement import choose, refusal

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

SOURCE = "default-scheduler"
RETRY_S = 2.0


class Scheduler:
    """Binds pods to nodes."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Pods and nodes, all under one key: two concurrent decisions would both choose the emptiest node."""
        return {
            "pods": lambda pod: [] if pod["spec"].get("nodeName") else [("", "")],
            "nodes": lambda node: [("", "")],
        }

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Bind every pod that has no node yet."""
        pods = await self._client.list("pods")
        nodes = await self._client.list("nodes")
        waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not is_terminating(pod)]
        placed = [pod for pod in pods if pod["spec"].get("nodeName") and not is_finished(pod)]
        stuck = False
        for pod in waiting:
            node = choose(pod, nodes, placed)
            if node is None:
                stuck = True
                await self._refuse(pod, refusal(pod, nodes, placed))
                continue
            pod_namespace, pod_name = key_of(pod)
            patch = {"spec": {"nodeName": node}}
            placed.append(await self._client.merge_patch("pods", pod_name, pod_namespace, patch))
            text = f"Successfully assigned {pod_namespace}/{pod_name} to {node}"
            await self._client.record_event(pod, "Scheduled", text, source=SOURCE)
        return RETRY_S if stuck else None

    async def _refuse(self, pod: Object, text: str) -> None:
        namespace, name = key_of(pod)
        status = dict(pod.get("status") or {})
        before = status.get("conditions") or []
        status["phase"] = "Pending"
        status["conditions"] = set_condition(before, "PodScheduled", False, "Unschedulable", text)
        if before != status["conditions"]:
            await self._client.update_status("pods", name, namespace, status)
            await self._client.record_event(pod, "FailedScheduling", text, type="Warning", source=SOURCE)
