"""The quota controller writes the usage of each namespace into the status of its ResourceQuotas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.api.admission.quotas import QUOTAS
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, key_of

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

RECOUNT_S = 5.0
"""Period for recounting resources that are not watched here, such as ``count/leases.coordination.k8s.io``."""
_WATCHED = ("pods", "services", "configmaps", "secrets", "deployments.apps", "replicasets.apps")
_WATCHED_NAMES = {*_WATCHED, *(f"count/{name}" for name in _WATCHED), QUOTAS}


class QuotaController:
    """Updates the status of every ResourceQuota."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._quotas: set[Key] = set()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Quotas and the resources that they usually count."""
        return {QUOTAS: self._quota, **dict.fromkeys(_WATCHED, self._of_namespace)}

    def _quota(self, quota: Object) -> set[Key]:
        self._quotas.add(key_of(quota))
        return self._of_namespace(quota)

    def _of_namespace(self, obj: Object) -> set[Key]:
        namespace = obj["metadata"]["namespace"]
        return {key for key in self._quotas if key[0] == namespace}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Recompute the usage of one quota."""
        quota = await self._client.get(QUOTAS, name, namespace)
        if quota is None:
            self._quotas.discard((namespace, name))
            return None
        hard = quota["spec"].get("hard") or {}
        status = {"hard": hard, "used": self._client.quota_usage(quota)}
        await self._client.update_status(QUOTAS, name, namespace, status)
        unwatched = any(resource not in _WATCHED_NAMES and "/" in resource for resource in hard)
        return RECOUNT_S if unwatched else None
