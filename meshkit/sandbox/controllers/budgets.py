"""Computes the status of PodDisruptionBudgets: how many pods may be evicted now.

As in Kubernetes, percentages apply to the number of pods that the owners desire, not to the number of pods
that currently exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import holds
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    controller_of,
    is_finished,
    is_terminating,
    key_of,
    scaled,
    seconds,
    set_condition,
)
from meshkit.sandbox.controllers.pods import Selectors
from meshkit.sandbox.controllers.workloads.deployments import DEPLOYMENTS, REPLICASETS
from meshkit.sandbox.controllers.workloads.statefulsets import STATEFULSETS

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

BUDGETS = "poddisruptionbudgets.policy"
_SCALED = {"ReplicaSet": REPLICASETS, "StatefulSet": STATEFULSETS}
"""The resource of each kind of owner whose desired pods count."""
DISRUPTION_TIMEOUT_S = 120.0
"""A granted eviction without a deletion expires after this time (disruption.DeletionTimeout)."""


class BudgetController:
    """Updates the status of every PodDisruptionBudget."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._selectors = Selectors()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Budgets and the pods that they select."""
        return {BUDGETS: self._selectors.keep, "pods": self._selectors.selecting}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Recompute the status of one budget."""
        budget = await self._client.get(BUDGETS, name, namespace)
        if budget is None:
            self._selectors.forget((namespace, name))
            return None
        pods = [
            pod
            for pod in await self._client.list("pods", namespace)
            if holds(budget["spec"].get("selector"), pod["metadata"].get("labels")) and not is_finished(pod)
        ]
        expected = await self._expected(budget["spec"], namespace, pods)
        disrupted = about_to_go(budget.get("status") or {}, pods)
        healthy = sum(is_ready(pod) and key_of(pod)[1] not in disrupted for pod in pods)
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
            **({"disruptedPods": disrupted} if disrupted else {}),
            "conditions": set_condition(before, "DisruptionAllowed", bool(allowed), reason, ""),
        }
        # Update only the version that was read, so that a concurrent eviction is not overwritten.
        await self._client.update_status(
            BUDGETS, name, namespace, status, seen=budget["metadata"]["resourceVersion"]
        )
        return DISRUPTION_TIMEOUT_S if disrupted else None

    async def _expected(self, spec: Object, namespace: str, pods: Sequence[Object]) -> int:
        """Return the number of pods that the budget is a part of.

        A percentage or ``maxUnavailable`` is a part of what the pods' owners desire, a number the pods that
        exist; a budget without either allows no eviction.
        """
        if "maxUnavailable" not in spec and not isinstance(spec.get("minAvailable"), str):
            return len(pods) if "minAvailable" in spec else 0
        owners: dict[str, int] = {}
        for pod in pods:
            uid, wanted = pod["metadata"]["uid"], 0 if is_terminating(pod) else 1
            owner = controller_of(pod)
            if owner is not None and owner["kind"] in _SCALED:
                uid, wanted = await self._desired(namespace, owner)
            owners[uid] = wanted
        return sum(owners.values())

    async def _desired(self, namespace: str, owner: Object) -> tuple[str, int]:
        """Return the uid and ``spec.replicas`` of a pod's owner, or of the Deployment above it."""
        found = await self._client.get(_SCALED[owner["kind"]], owner["name"], namespace)
        if found is None:
            return owner["uid"], 0
        above = controller_of(found)
        if above is not None and above["kind"] == "Deployment":
            deployment = await self._client.get(DEPLOYMENTS, above["name"], namespace)
            if deployment is not None:
                return above["uid"], deployment["spec"]["replicas"]
        return owner["uid"], found["spec"]["replicas"]


def about_to_go(status: Mapping[str, Any], pods: Sequence[Object]) -> dict[str, str]:
    """Return the pods with a granted eviction but no deletion yet, mapped to the time of the eviction."""
    present = {key_of(pod)[1] for pod in pods if not is_terminating(pod)}
    since_s = datetime.now(UTC).timestamp() - DISRUPTION_TIMEOUT_S
    granted: Mapping[str, str] = status.get("disruptedPods") or {}
    return {name: at for name, at in granted.items() if name in present and seconds(at) > since_s}


def desired_healthy(spec: Mapping[str, int | str], expected: int) -> int:
    """Return how many healthy pods the budget requires.

    Percentages round up, as in Kubernetes' disruption controller.
    """
    if "maxUnavailable" in spec:
        return max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
    return scaled(spec.get("minAvailable", 0), expected, up=True)
