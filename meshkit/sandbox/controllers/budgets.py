"""PodDisruptionBudget status: how many pods may be evicted now.

Percentages count from the pods that the owners want, not from those that happen to be there, as in
Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.deployments import DEPLOYMENTS, REPLICASETS
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    controller_of,
    is_finished,
    is_ready,
    is_terminating,
    key_of,
    scaled,
    selects,
    set_condition,
)

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

BUDGETS = "poddisruptionbudgets.policy"


class BudgetController:
    """Keeps the status of every PodDisruptionBudget."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._selectors: dict[Key, Mapping[str, object] | None] = {}

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Budgets, and the pods they select."""
        return {BUDGETS: self._budget, "pods": self._of_pod}

    def _budget(self, budget: Object) -> list[Key]:
        self._selectors[key_of(budget)] = budget["spec"].get("selector")
        return [key_of(budget)]

    def _of_pod(self, pod: Object) -> list[Key]:
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels")
        return [
            key
            for key, selector in self._selectors.items()
            if key[0] == namespace and selects(selector, labels)
        ]

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Count the pods of one budget."""
        budget = await self._client.get(BUDGETS, name, namespace)
        if budget is None:
            self._selectors.pop((namespace, name), None)
            return None
        pods = [
            pod
            for pod in await self._client.list("pods", namespace)
            if selects(budget["spec"].get("selector"), pod["metadata"].get("labels")) and not is_finished(pod)
        ]
        expected = await self._expected(namespace, pods)
        healthy = sum(is_ready(pod) for pod in pods)
        needed = desired_healthy(budget["spec"], expected)
        allowed = max(0, healthy - needed) if expected else 0
        before = (budget.get("status") or {}).get("conditions") or []
        reason = "SufficientPods" if allowed else "InsufficientPods"
        status = {
            "observedGeneration": budget["metadata"]["generation"],
            "expectedPods": expected,
            "currentHealthy": healthy,
            "desiredHealthy": needed,
            "disruptionsAllowed": allowed,
            "conditions": set_condition(before, "DisruptionAllowed", bool(allowed), reason, ""),
        }
        await self._client.update_status(BUDGETS, name, namespace, status)
        return None

    async def _expected(self, namespace: str, pods: Sequence[Object]) -> int:
        """Pods that the owners of ``pods`` want; a pod without an owner counts as itself."""
        owners: dict[str, int] = {}
        for pod in pods:
            owner = controller_of(pod)
            uid, wanted = pod["metadata"]["uid"], 0 if is_terminating(pod) else 1
            if owner is not None and owner["kind"] == "ReplicaSet":
                uid = owner["uid"]
                replica_set = await self._client.get(REPLICASETS, owner["name"], namespace)
                wanted = replica_set["spec"]["replicas"] if replica_set else 0
                above = controller_of(replica_set) if replica_set else None
                if above is not None and above["kind"] == "Deployment":
                    deployment = await self._client.get(DEPLOYMENTS, above["name"], namespace)
                    if deployment is not None:
                        uid, wanted = above["uid"], deployment["spec"]["replicas"]
            owners[uid] = wanted
        return sum(owners.values())


def desired_healthy(spec: Mapping[str, int | str], expected: int) -> int:
    """How many healthy pods the budget asks for.

    Percentages round up (Kubernetes' disruption controller). Pure.
    """
    if "maxUnavailable" in spec:
        return max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
    return scaled(spec.get("minAvailable", 1), expected, up=True)
