"""ReplicaSet -> Pods: as many as wanted, and a status that says how many are ready and available.

Too many: pods that are not ready go first, then those on nodes with more of the set's pods, then the
youngest. A pod that the API server refuses (a webhook that does not answer, a quota) is an Event FailedCreate
and the condition ReplicaFailure, and is tried again with growing delay.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.deployments import REPLICASETS
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    available_in_s,
    controlled_by,
    controller_of,
    is_finished,
    is_ready,
    is_terminating,
    key_of,
    owner_reference,
    selects,
    set_condition,
)

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

SOURCE = "replicaset-controller"


class ReplicaSetController:
    """Keeps the pods of every ReplicaSet, and its status."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """ReplicaSets, and the pods they own."""
        return {REPLICASETS: lambda obj: [key_of(obj)], "pods": _replica_set_of}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Create or delete the pods that one ReplicaSet lacks or has too many of."""
        replica_set = await self._client.get(REPLICASETS, name, namespace)
        if replica_set is None or is_terminating(replica_set):
            return None
        pods = [
            pod
            for pod in await self._client.list("pods", namespace)
            if controlled_by(pod, replica_set) and not is_terminating(pod) and not is_finished(pod)
        ]
        lacking = replica_set["spec"]["replicas"] - len(pods)
        refusal: ApiError | None = None
        if lacking > 0:
            refusal = await self._create(replica_set, lacking)
        for pod in doomed(pods, -lacking):
            await self._client.delete("pods", pod["metadata"]["name"], namespace)
            text = f"Deleted pod: {pod['metadata']['name']}"
            await self._client.record_event(replica_set, "SuccessfulDelete", text, source=SOURCE)
        again_s = await self._status(replica_set, pods, refusal)
        if refusal is not None:
            raise refusal
        return again_s

    async def _create(self, replica_set: Object, count: int) -> ApiError | None:
        """Create pods side by side; returns one refusal if there was any."""
        template = replica_set["spec"]["template"]
        metadata = copy.deepcopy(template.get("metadata") or {})
        metadata |= {
            "generateName": f"{replica_set['metadata']['name']}-",
            "namespace": replica_set["metadata"]["namespace"],
            "ownerReferences": [owner_reference(replica_set)],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        results = await asyncio.gather(
            *(self._client.create("pods", copy.deepcopy(pod)) for _ in range(count)), return_exceptions=True
        )
        refusal = None
        for result in results:
            if isinstance(result, ApiError):
                refusal = result
            elif isinstance(result, BaseException):
                raise result
            else:
                text = f"Created pod: {result['metadata']['name']}"
                await self._client.record_event(replica_set, "SuccessfulCreate", text, source=SOURCE)
        if refusal is not None:
            text = f"Error creating: {refusal.message}"
            await self._client.record_event(replica_set, "FailedCreate", text, type="Warning", source=SOURCE)
        return refusal

    async def _status(
        self, replica_set: Object, pods: Sequence[Object], refusal: ApiError | None
    ) -> float | None:
        namespace, name = key_of(replica_set)
        waits = [
            available_in_s(pod, replica_set["spec"].get("minReadySeconds", 0), time.time()) for pod in pods
        ]
        labels = {"matchLabels": replica_set["spec"]["template"]["metadata"].get("labels") or {}}
        status: Object = {
            "observedGeneration": replica_set["metadata"]["generation"],
            "replicas": len(pods),
            "fullyLabeledReplicas": sum(selects(labels, pod["metadata"].get("labels")) for pod in pods),
            "readyReplicas": sum(is_ready(pod) for pod in pods),
            "availableReplicas": sum(wait == 0 for wait in waits),
        }
        if refusal is not None:
            before = (replica_set.get("status") or {}).get("conditions") or []
            status["conditions"] = set_condition(
                before, "ReplicaFailure", True, "FailedCreate", refusal.message
            )
        await self._client.update_status(REPLICASETS, name, namespace, status)
        return min((wait for wait in waits if wait), default=None)


def doomed(pods: Sequence[Object], count: int) -> list[Object]:
    """The ``count`` pods that a smaller ReplicaSet gives up, in order. Pure."""
    if count <= 0:
        return []
    on_node = Counter(pod["spec"].get("nodeName", "") for pod in pods)

    def rank(pod: Object) -> tuple[bool, int]:
        return is_ready(pod), -on_node[pod["spec"].get("nodeName", "")]

    youngest_first = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)
    return sorted(youngest_first, key=rank)[:count]


def _replica_set_of(pod: Object) -> list[Key]:
    owner = controller_of(pod)
    if owner is None or owner["kind"] != "ReplicaSet":
        return []
    return [(pod["metadata"]["namespace"], owner["name"])]
