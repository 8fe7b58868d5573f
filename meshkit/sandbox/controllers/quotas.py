"""ResourceQuota status: what a namespace holds of what its quota limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.api.admission.quotas import QUOTAS
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, key_of

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

RECOUNT_S = 5.0
"""How late the count of a resource that is not watched here (``count/leases.coordination.k8s.io``) may be."""
_WATCHED = ("pods", "services", "configmaps", "secrets", "deployments.apps", "replicasets.apps")
_WATCHED_NAMES = {*_WATCHED, *(f"count/{name}" for name in _WATCHED), QUOTAS}


class QuotaController:
    """Keeps the status of every ResourceQuota."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._quotas: set[Key] = set()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Quotas, and what they usually count."""
        return {QUOTAS: self._quota, **dict.fromkeys(_WATCHED, self._of_namespace)}

    def _quota(self, quota: Object) -> set[Key]:
        self._quotas.add(key_of(quota))
        return self._of_namespace(quota)

    def _of_namespace(self, obj: Object) -> set[Key]:
        namespace = obj["metadata"]["namespace"]
        return {key for key in self._quotas if key[0] == namespace}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Count what one quota limits."""
        quota = await self._client.get(QUOTAS, name, namespace)
        if quota is None:
            self._quotas.discard((namespace, name))
            return None
        hard = quota["spec"].get("hard") or {}
        status = {"hard": hard, "used": self._client.quota_usage(quota)}
        await self._client.update_status(QUOTAS, name, namespace, status)
        slow = any(each not in _WATCHED_NAMES and "/" in each for each in hard)
        return RECOUNT_S if slow else None
