"""The Job controller runs pods until enough have succeeded or too many have failed.

It counts only the pods that exist, so a finished pod that is deleted runs again (Kubernetes protects pods
with a finalizer until they are counted). The retry delay is a tenth of Kubernetes' because a sandbox is used
interactively. Conditions follow Kubernetes' order: SuccessCriteriaMet, then Complete; FailureTarget, then
Failed when no pod remains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.kube.pods import is_ready
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    condition,
    controlled_by,
    is_finished,
    is_terminating,
    key_of,
    seconds,
    set_condition,
    timestamp,
)
from meshkit.sandbox.controllers.pods import OwnedPods, owner_key

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

JOBS = "jobs.batch"
SOURCE = "job-controller"
FIRST_DELAY_S = 1.0
LAST_DELAY_S = 60.0


class JobController:
    """Reconciles the pods and the status of every Job."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._pods = OwnedPods(client, SOURCE)

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Jobs and the pods that they own."""
        return {JOBS: lambda obj: [key_of(obj)], "pods": owner_key("Job")}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step of one Job."""
        job = await self._client.get(JOBS, name, namespace)
        if job is None or is_terminating(job):
            return None
        finished_at = finish_time(job)
        if finished_at is not None:
            return await self._expire(job, finished_at)
        pods = await self._client.list("pods", namespace, where=lambda pod: controlled_by(pod, job))
        spec, counts = job["spec"], Counts.of(pods)
        suspended = bool(spec.get("suspend"))
        failure = None if suspended else why_failed(job, pods, counts)
        again_s, refusal = None, None
        if suspended or failure is not None or is_satisfied(spec, counts):
            await self._pods.delete(job, counts.running)
        else:
            again_s, refusal = await self._scale(job, pods, counts)
        await self._status(job, counts, failure)
        if refusal is not None:
            raise refusal
        return _soonest(again_s, _deadline_in_s(job))

    async def _expire(self, job: Object, finished_at: float) -> float | None:
        """Delete a finished Job after its ``ttlSecondsAfterFinished``."""
        ttl_s = job["spec"].get("ttlSecondsAfterFinished")
        if ttl_s is None:
            return None
        remaining_s = finished_at + float(ttl_s) - time.time()
        if remaining_s > 0:
            return remaining_s
        namespace, name = key_of(job)
        await self._client.delete(JOBS, name, namespace)
        return None

    async def _scale(
        self, job: Object, pods: Sequence[Object], counts: Counts
    ) -> tuple[float | None, ApiError | None]:
        """Create or delete pods; return the seconds until the next retry and the refusal, if any."""
        active = len(counts.running)
        lacking = wanted_active(job["spec"], counts.succeeded, active) - active
        if lacking < 0:
            await self._pods.delete(job, counts.running[:-lacking])
        if lacking <= 0:
            return None, None
        wait_s = _last_failure(pods) + delay_s(counts.failed) - time.time()
        if wait_s > 0:
            return wait_s, None
        return None, await self._pods.create(job, lacking)

    async def _status(self, job: Object, counts: Counts, failure: Failure | None) -> None:
        namespace, name = key_of(job)
        before = job.get("status") or {}
        status = _counted(before, counts)
        conditions = list(before.get("conditions") or [])
        suspended = bool(job["spec"].get("suspend"))
        if suspended or condition(job, "Suspended"):
            reason, text = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
            conditions = set_condition(conditions, "Suspended", suspended, reason, text)
        if suspended:
            status.pop("startTime", None)
        else:
            status.setdefault("startTime", timestamp())
        if failure is not None:
            conditions = set_condition(conditions, "FailureTarget", True, failure.reason, failure.message)
            if not counts.running and not counts.ending:
                conditions = set_condition(conditions, "Failed", True, failure.reason, failure.message)
        elif is_satisfied(job["spec"], counts) and not suspended:
            text = "Reached expected number of succeeded pods"
            conditions = set_condition(conditions, "SuccessCriteriaMet", True, "CompletionsReached", text)
            if not counts.running and not counts.ending:
                conditions = set_condition(conditions, "Complete", True, "CompletionsReached", text)
                status["completionTime"] = timestamp()
        if conditions:
            status["conditions"] = conditions
        written = await self._client.update_status(JOBS, name, namespace, status)
        await self._announce(written, failure)

    async def _announce(self, job: Object, failure: Failure | None) -> None:
        if finish_time(job) is None:
            return
        if failure is None:
            await self._client.record_event(job, "Completed", "Job completed", source=SOURCE)
        else:
            await self._client.record_event(
                job, failure.reason, failure.message, type="Warning", source=SOURCE
            )


@dataclass(frozen=True)
class Failure:
    """The reason and message of a Job's failure, as its conditions report them."""

    reason: str
    message: str


@dataclass(frozen=True)
class Counts:
    """The pods of a Job by state.

    ``running`` includes pending pods; ``ending`` counts unfinished pods that are being deleted.
    """

    running: Sequence[Object]
    ending: int
    succeeded: int
    failed: int

    @classmethod
    def of(cls, pods: Sequence[Object]) -> Counts:
        """Count ``pods``."""
        unfinished = [pod for pod in pods if not is_finished(pod)]
        phases = [(pod.get("status") or {}).get("phase") for pod in pods]
        return cls(
            [pod for pod in unfinished if not is_terminating(pod)],
            sum(is_terminating(pod) for pod in unfinished),
            phases.count("Succeeded"),
            phases.count("Failed"),
        )


def wanted_active(spec: Mapping[str, Any], succeeded: int, active: int) -> int:
    """Return how many pods should run now.

    Without ``completions`` the pods share a work queue: after the first success no new pods are started.
    """
    parallelism: int = spec.get("parallelism", 1)
    completions = spec.get("completions")
    if completions is None:
        return active if succeeded else parallelism
    return min(parallelism, max(0, int(completions) - succeeded))


def is_satisfied(spec: Mapping[str, Any], counts: Counts) -> bool:
    """Return whether enough pods have succeeded to complete the Job."""
    completions = spec.get("completions")
    if completions is None:
        return counts.succeeded > 0 and not counts.running
    return counts.succeeded >= int(completions)


def why_failed(job: Object, pods: Sequence[Object], counts: Counts) -> Failure | None:
    """Return the failure of a Job that has exceeded a limit, or None.

    With restartPolicy OnFailure, container restarts count like failed pods, as in Kubernetes.
    """
    before = condition(job, "FailureTarget")
    if before is not None:
        return Failure(before["reason"], before["message"])
    limit = job["spec"].get("backoffLimit", 6)
    restarts = sum(
        container["restartCount"]
        for pod in (*counts.running, *(pod for pod in pods if is_terminating(pod)))
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
    )
    on_failure = job["spec"]["template"]["spec"].get("restartPolicy") == "OnFailure"
    if counts.failed > limit or (on_failure and restarts and restarts >= limit):
        return Failure("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    remaining_s = _deadline_in_s(job)
    if remaining_s is not None and remaining_s <= 0:
        return Failure("DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def finish_time(job: Object) -> float | None:
    """Return when the Job became Complete or Failed (Unix seconds), or None."""
    for kind in ("Complete", "Failed"):
        finished = condition(job, kind)
        if finished is not None and finished["status"] == "True":
            return seconds(finished["lastTransitionTime"])
    return None


def delay_s(failures: int) -> float:
    """Return the delay between the last failure and the next retry: 1, 2, 4 ... 60 s."""
    return min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** (failures - 1)) if failures else 0.0


def _deadline_in_s(job: Object) -> float | None:
    limit_s, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if limit_s is None or job["spec"].get("suspend"):
        return None
    return float(limit_s) + (seconds(start) if start else time.time()) - time.time()


def _soonest(*delays_s: float | None) -> float | None:
    return min((max(0.0, delay) for delay in delays_s if delay is not None), default=None)


def _last_failure(pods: Sequence[Object]) -> float:
    """Return the time (Unix seconds) at which the last failed pod ended, or 0 when none failed."""
    return max(
        (
            seconds(container["state"]["terminated"]["finishedAt"])
            for pod in pods
            if (pod.get("status") or {}).get("phase") == "Failed"
            for container in pod["status"].get("containerStatuses") or ()
            if "terminated" in container["state"]
        ),
        default=0.0,
    )


def _counted(before: Mapping[str, Any], counts: Counts) -> Object:
    """Return the status with new counts; zeros are omitted except for ``ready`` and ``terminating``."""
    numbers = {
        "active": len(counts.running),
        "succeeded": counts.succeeded,
        "failed": counts.failed,
    }
    status = {name: value for name, value in before.items() if name not in numbers}
    status |= {name: value for name, value in numbers.items() if value}
    status["ready"] = sum(is_ready(pod) for pod in counts.running)
    status["terminating"] = counts.ending
    return status
