"""CronJob: kept, so that charts which have one can be installed. Nothing runs by its schedule, as it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import Object, is_terminating, key_of

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

CRON_JOBS = "cronjobs.batch"
SOURCE = "cronjob-controller"


class CronJobController:
    """Tells of every CronJob, once, that no Job will be made of it."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._told: set[str] = set()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """CronJobs."""
        return {CRON_JOBS: lambda obj: [key_of(obj)]}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Record the Event, unless it was."""
        job = await self._client.get(CRON_JOBS, name, namespace)
        if job is None or is_terminating(job) or job["metadata"]["uid"] in self._told:
            return None
        self._told.add(job["metadata"]["uid"])
        text = f"The sandbox runs nothing by the clock: no Job is made at {job['spec']['schedule']!r}."
        await self._client.record_event(job, "NotSupported", text, type="Warning", source=SOURCE)
        return None
