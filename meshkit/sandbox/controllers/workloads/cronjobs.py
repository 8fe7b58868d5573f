"""Accepts CronJobs so that charts that contain one install, but does not run them.

A Warning Event on each CronJob reports that the sandbox does not create its Jobs.
"""

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
    """Records one Event for every CronJob, because the sandbox creates no Jobs for it."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._reported: set[str] = set()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Only CronJobs."""
        return {CRON_JOBS: lambda obj: [key_of(obj)]}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Record the Event unless it has been recorded before."""
        job = await self._client.get(CRON_JOBS, name, namespace)
        if job is None or is_terminating(job) or job["metadata"]["uid"] in self._reported:
            return None
        self._reported.add(job["metadata"]["uid"])
        text = f"The sandbox does not run CronJobs: no Job is created at {job['spec']['schedule']!r}."
        await self._client.record_event(job, "NotSupported", text, type="Warning", source=SOURCE)
        return None
