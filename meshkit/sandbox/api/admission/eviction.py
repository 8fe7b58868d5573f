"""The ``pods/eviction`` subresource, which deletes a pod if its PodDisruptionBudget allows a disruption.

Follows Kubernetes' registry/core/pod/storage/eviction.go. An eviction decrements ``disruptionsAllowed`` in
the budget's status and adds the pod to ``disruptedPods``, both at the resourceVersion that it read, so that
two evictions cannot use the same disruption. It then sets the pod's condition DisruptionTarget and deletes
the pod. A pod that is pending, finished or being deleted does not count as a disruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.kube.pods import is_ready
from meshkit.kube.selectors import holds
from meshkit.sandbox.api import status
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.requests import DeleteOptions, Object, Options, Target, now
from meshkit.sandbox.api.storage.store import Stored
from meshkit.sandbox.api.storage.writes import Writes

_BUDGETS = "poddisruptionbudgets.policy"
_TRIES = 20  # of EvictionsRetry in eviction.go
_RETRY_AFTER_S = 10
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


class Evictions:
    """Evict pods within the limits of their PodDisruptionBudgets."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    async def evict(self, target: Target, delete: DeleteOptions, options: Options) -> None:
        """Evict the pod ``target``.

        Raises ApiError 404, 429 when the budget allows no disruption, or 500 when several budgets match.
        """
        pod = self._pod(target)
        budget = None if _costs_nothing(pod) else self._budget(pod)
        if budget is not None and not _spares_unhealthy(budget, pod):
            await self._take(budget, target.name, options)
        if not options.dry_run:
            await self._mark(target, options)
        await self._writes.delete(target, delete, options)

    def _pod(self, target: Target) -> Object:
        stored = self._writes.store.get(target.key)
        if stored is None:
            raise target.not_found()
        return stored.object

    def _budget(self, pod: Mapping[str, Any]) -> Stored | None:
        metadata = pod["metadata"]
        labels = metadata.get("labels") or {}
        covering = [
            stored
            for stored in self._writes.store.objects(_BUDGETS, metadata["namespace"])
            if holds(stored.object["spec"].get("selector"), labels)
        ]
        if len(covering) > 1:
            raise status.ApiError(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
                "support.",
            )
        return covering[0] if covering else None

    async def _take(self, budget: Stored, pod_name: str, options: Options) -> None:
        """Record one disruption in the budget's status."""
        resource = self._writes.registry.by_key(_BUDGETS)
        assert resource is not None
        target = Target(resource, budget.key.namespace, budget.key.name, "status")
        for _ in range(_TRIES):
            present = self._writes.store.get(target.key)
            if present is None:
                return  # the budget was deleted in the meantime
            try:
                await self._writes.replace(target, _with_one_less(present.object, pod_name), options)
                return
            except status.ApiError as error:
                if error.code != 409:
                    raise
        raise _too_many(_being_processed(target.name), _RETRY_AFTER_S)

    async def _mark(self, target: Target, options: Options) -> None:
        """Set the pod's DisruptionTarget condition."""
        before = (self._pod(target).get("status") or {}).get("conditions") or []
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": now(),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        others = [existing for existing in before if existing["type"] != condition["type"]]
        patch = {"status": {"conditions": [*others, condition]}}
        on_status = Target(target.resource, target.namespace, target.name, "status")
        await self._writes.patch(on_status, "merge", patch, options)


def _costs_nothing(pod: Mapping[str, Any]) -> bool:
    phase = (pod.get("status") or {}).get("phase", "Pending")
    return phase in ("Pending", "Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def _spares_unhealthy(budget: Stored, pod: Mapping[str, Any]) -> bool:
    """Return whether a pod that is not ready may be evicted without counting a disruption."""
    if is_ready(pod):
        return False
    if budget.object["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    counted = budget.object.get("status") or {}
    needed, healthy = int(counted.get("desiredHealthy", 0)), int(counted.get("currentHealthy", 0))
    return 0 < needed <= healthy


def _with_one_less(budget: Mapping[str, Any], pod_name: str) -> Object:
    """Return the budget after one disruption. Raises ApiError 429 when it allows none."""
    name = budget["metadata"]["name"]
    counted = budget.get("status") or {}
    if counted.get("observedGeneration", 0) < budget["metadata"].get("generation", 1):
        raise _too_many(_being_processed(name), _RETRY_AFTER_S)
    if counted.get("disruptionsAllowed", 0) <= 0:
        raise _too_many(
            f"The disruption budget {name} needs {counted.get('desiredHealthy', 0)} healthy pods and has "
            f"{counted.get('currentHealthy', 0)} currently"
        )
    new = copied(dict(budget))
    new["status"]["disruptionsAllowed"] -= 1
    new["status"].setdefault("disruptedPods", {})[pod_name] = now()
    return new


def _being_processed(budget_name: str) -> str:
    return f"The disruption budget {budget_name} is still being processed by the server."


def _too_many(why: str, retry_after_s: int = 0) -> status.ApiError:
    """Return a 429 error.

    Without ``retry_after_s`` clients choose their own retry delay (kubectl drain: 5 s).
    """
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    return status.ApiError(429, "TooManyRequests", _REFUSED, details)
