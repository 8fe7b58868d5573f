"""Chooses the node of each new pod: fewest pods of the same owner, then fewest pods at all.

Each node is a zone, so that is an even spread over zones. Cordoned nodes and those that the pod's
``nodeSelector`` does not match are left out. Resources, affinities and taints are not weighed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    controller_of,
    is_finished,
    is_terminating,
    key_of,
    selects,
    set_condition,
)

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
        """Pods. All under one key: two choices at once would both take the emptiest node."""
        return {"pods": lambda pod: [] if pod["spec"].get("nodeName") else [("", "")]}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Bind every pod that has no node."""
        pods = await self._client.list("pods")
        nodes = await self._client.list("nodes")
        waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not is_terminating(pod)]
        placed = [pod for pod in pods if pod["spec"].get("nodeName") and not is_finished(pod)]
        stuck = False
        for pod in waiting:
            node = choose(pod, nodes, placed)
            if node is None:
                stuck = True
                await self._refuse(pod, len(nodes))
                continue
            pod_namespace, pod_name = key_of(pod)
            patch = {"spec": {"nodeName": node}}
            placed.append(await self._client.merge_patch("pods", pod_name, pod_namespace, patch))
            text = f"Successfully assigned {pod_namespace}/{pod_name} to {node}"
            await self._client.record_event(pod, "Scheduled", text, source=SOURCE)
        return RETRY_S if stuck else None

    async def _refuse(self, pod: Object, nodes: int) -> None:
        namespace, name = key_of(pod)
        text = f"0/{nodes} nodes are available: they are cordoned or do not match the pod's nodeSelector."
        status = dict(pod.get("status") or {})
        before = status.get("conditions") or []
        status["phase"] = "Pending"
        status["conditions"] = set_condition(before, "PodScheduled", False, "Unschedulable", text)
        if before != status["conditions"]:
            await self._client.update_status("pods", name, namespace, status)
            await self._client.record_event(pod, "FailedScheduling", text, type="Warning", source=SOURCE)


def choose(pod: Object, nodes: Sequence[Object], placed: Sequence[Object]) -> str | None:
    """The node for ``pod`` among ``nodes`` given the pods already ``placed``; None where none fits. Pure."""
    wanted = {"matchLabels": pod["spec"].get("nodeSelector") or {}}
    fitting = [
        node
        for node in nodes
        if not (node.get("spec") or {}).get("unschedulable")
        and selects(wanted, node["metadata"].get("labels"))
    ]
    owner = controller_of(pod)
    kin = Counter(
        other["spec"]["nodeName"]
        for other in placed
        if owner is not None
        and (controller_of(other) or {}).get("uid") == owner["uid"]
        and not is_terminating(other)
    )
    all_pods = Counter(other["spec"]["nodeName"] for other in placed)
    ranked = sorted(fitting, key=lambda node: (kin[key_of(node)[1]], all_pods[key_of(node)[1]], key_of(node)))
    return key_of(ranked[0])[1] if ranked else None
