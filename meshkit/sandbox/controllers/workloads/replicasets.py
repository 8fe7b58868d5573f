"""The ReplicaSet controller keeps the desired number of pods and counts ready and available ones.

It adopts a pod that matches the selector and has no owner, and releases a pod that no longer matches. When it
scales down, it deletes pods that are not ready first, then pods on nodes with more pods of the set, then the
youngest. When the API server refuses a pod (because a webhook does not answer, or because of a quota), the
controller records an Event FailedCreate, sets the condition ReplicaFailure and retries with backoff.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import holds
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    available_in_s,
    is_finished,
    is_terminating,
    key_of,
    set_condition,
)
from meshkit.sandbox.controllers.pods import OwnedPods, Selectors, claimed
from meshkit.sandbox.controllers.workloads.deployments import REPLICASETS

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

SOURCE = "replicaset-controller"


class ReplicaSetController:
    """Reconciles the pods and the status of every ReplicaSet."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._pods = OwnedPods(client, SOURCE)
        self._selectors = Selectors()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """ReplicaSets, the pods that they own and the pods that they may adopt."""
        return {REPLICASETS: self._selectors.keep, "pods": self._selectors.concerning("ReplicaSet")}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Create missing pods or delete surplus pods of one ReplicaSet."""
        replica_set = await self._client.get(REPLICASETS, name, namespace)
        if replica_set is None or is_terminating(replica_set):
            self._selectors.forget((namespace, name))
            return None
        pods = await self._claimed(replica_set)
        lacking = replica_set["spec"]["replicas"] - len(pods)
        refusal: ApiError | None = None
        if lacking > 0:
            refusal = await self._pods.create(replica_set, lacking)
        await self._pods.delete(replica_set, doomed(pods, -lacking))
        again_s = await self._status(replica_set, pods, refusal)
        if refusal is not None:
            raise refusal
        return again_s

    async def _claimed(self, replica_set: Object) -> list[Object]:
        """Adopt and release pods; return the active pods of the ReplicaSet."""
        return await claimed(
            self._client, replica_set, among=lambda pod: not is_terminating(pod) and not is_finished(pod)
        )

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
            "fullyLabeledReplicas": sum(holds(labels, pod["metadata"].get("labels")) for pod in pods),
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
    """Return the ``count`` pods to delete first when the ReplicaSet scales down."""
    if count <= 0:
        return []
    on_node = Counter(pod["spec"].get("nodeName", "") for pod in pods)

    def rank(pod: Object) -> tuple[bool, int]:
        return is_ready(pod), -on_node[pod["spec"].get("nodeName", "")]

    youngest_first = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)
    return sorted(youngest_first, key=rank)[:count]
