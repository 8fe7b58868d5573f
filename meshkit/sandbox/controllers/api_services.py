"""The controller of local APIServices writes one for each group and version that the API server serves.

They only list what is served: the sandbox forwards no requests to other API servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.api.schema.registry import CRDS
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, key_of, set_condition

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

API_SERVICES = "apiservices.apiregistration.k8s.io"
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
_BUILT_IN_PRIORITY = {"": 18000, "apps": 17800}
_OTHER_BUILT_IN_PRIORITY, _CUSTOM_PRIORITY = 17000, 1000


class ApiServiceController:
    """Keeps the local APIServices equal to the served groups and versions."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Definitions and APIServices, all under one key: the served versions are looked up as a whole.

        A new cluster has neither, but it has the namespace ``default``.
        """
        return {
            CRDS: lambda definition: [("", "")],
            API_SERVICES: lambda service: [("", "")],
            "namespaces": lambda namespace: [("", "")] if key_of(namespace)[1] == "default" else [],
        }

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Create the APIServices that are missing and delete those of versions that are no longer served."""
        wanted = {each["metadata"]["name"]: each for each in map(_service, self._client.served_versions())}
        for present in await self._client.list(API_SERVICES):
            known = wanted.pop(present["metadata"]["name"], None)
            if known is not None and not (present.get("status") or {}).get("conditions"):
                await self._mark(present)
            elif known is None and AUTOMANAGED in (present["metadata"].get("labels") or {}):
                await self._client.delete(API_SERVICES, present["metadata"]["name"])
        for missing in wanted.values():
            await self._mark(await self._client.create(API_SERVICES, missing))
        return None

    async def _mark(self, service: Object) -> None:
        text = "Local APIServices are always available"
        status = {"conditions": set_condition([], "Available", True, "Local", text)}
        await self._client.update_status(API_SERVICES, service["metadata"]["name"], None, status)


def _service(served: tuple[str, str, bool]) -> Object:
    group, version, is_custom = served
    priority = _BUILT_IN_PRIORITY.get(group, _OTHER_BUILT_IN_PRIORITY)
    return {
        "metadata": {
            "name": f"{version}.{group}",
            "labels": {AUTOMANAGED: "true" if is_custom else "onstart"},
        },
        "spec": {
            **({"group": group} if group else {}),
            "version": version,
            "groupPriorityMinimum": _CUSTOM_PRIORITY if is_custom else priority,
            "versionPriority": 100 if is_custom else 15,
        },
    }
