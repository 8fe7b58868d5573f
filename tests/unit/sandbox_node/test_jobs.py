"""Jobs over a store in memory: the test says how pods end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.objects import is_finished, timestamp
from meshkit.sandbox.controllers.workloads.jobs import JOBS, delay_s, wanted_active
from tests.unit.sandbox_node.stage import play, until

Judge = Callable[[int], bool]


def job(restart: str = "Never", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "meshkit.dev/sandbox/job:1"}
    template = {"spec": {"containers": [container], "restartPolicy": restart}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def end_pods(client: LocalClient, well: Judge) -> int:
    """Let every running pod end; ``well`` says of the n-th ever whether it succeeds."""
    ended = sum(is_finished(pod) for pod in await client.list("pods"))
    for pod in await client.list("pods"):
        if (pod.get("status") or {}).get("phase") == "Running":
            good = well(ended)
            ended += 1
            terminated = {"exitCode": 0 if good else 1, "finishedAt": timestamp()}
            container = {
                "name": "main", "image": "job", "imageID": "", "ready": False, "restartCount": 0,
                "state": {"terminated": terminated},
            }  # fmt: skip
            status = pod["status"] | {
                "phase": "Succeeded" if good else "Failed",
                "conditions": [],
                "containerStatuses": [container],
            }
            await client.update_status("pods", pod["metadata"]["name"], "default", status)
    return ended


def ends_as(client: LocalClient, condition: str, well: Judge) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        await end_pods(client, well)
        found = await client.get(JOBS, "j", "default")
        conditions = ((found or {}).get("status") or {}).get("conditions") or []
        return any(each["type"] == condition and each["status"] == "True" for each in conditions)

    return look


def test_a_job_runs_its_pods_to_completion(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(JOBS, job(completions=3, parallelism=2))

        async def two_at_once() -> bool:
            return len(await client.list("pods")) == 2

        await until(two_at_once)
        await until(ends_as(client, "Complete", lambda number: True))
        found = await client.get(JOBS, "j", "default")
        assert found is not None
        assert found["status"]["succeeded"] == 3
        assert found["status"]["completionTime"]
        assert "active" not in found["status"]
        pods = await client.list("pods")
        assert len(pods) == 3
        assert {pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] for pod in pods} == {"j"}

    play(client, scenario)


def test_a_failed_pod_is_replaced_until_the_limit(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(JOBS, job(backoffLimit=1))
        await until(ends_as(client, "Failed", lambda number: False))
        found = await client.get(JOBS, "j", "default")
        assert found is not None
        assert found["status"]["failed"] == 2
        failed = next(each for each in found["status"]["conditions"] if each["type"] == "Failed")
        assert failed["reason"] == "BackoffLimitExceeded"

    play(client, scenario)


def test_a_failure_within_the_limit_is_forgiven(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(JOBS, job())
        await until(ends_as(client, "Complete", lambda number: number > 0))

    play(client, scenario)


def test_past_its_deadline_a_job_fails_and_its_pods_go(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(JOBS, job(activeDeadlineSeconds=1))

        async def failed() -> bool:
            found = await client.get(JOBS, "j", "default")
            conditions = ((found or {}).get("status") or {}).get("conditions") or []
            return any(each.get("reason") == "DeadlineExceeded" for each in conditions)

        async def gone() -> bool:
            return await client.list("pods") == []

        await until(failed)
        await until(gone)

    play(client, scenario)


def test_a_suspended_job_has_no_pods_until_it_is_resumed(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(JOBS, job(suspend=True))
        await until(ends_as(client, "Suspended", lambda number: True))
        assert await client.list("pods") == []
        await client.merge_patch(JOBS, "j", "default", {"spec": {"suspend": False}})
        await until(ends_as(client, "Complete", lambda number: True))

    play(client, scenario)


def test_a_finished_job_goes_after_its_time_to_live(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(JOBS, job(ttlSecondsAfterFinished=0))

        async def gone() -> bool:
            await end_pods(client, lambda number: True)
            return await client.get(JOBS, "j", "default") is None

        await until(gone)

    play(client, scenario)


def test_without_completions_the_first_success_stops_new_pods() -> None:
    queue = {"parallelism": 3}
    assert wanted_active(queue, succeeded=0, active=0) == 3
    assert wanted_active(queue, succeeded=1, active=2) == 2
    assert wanted_active({"parallelism": 3, "completions": 4}, succeeded=3, active=0) == 1


def test_retries_wait_longer_each_time() -> None:
    assert [delay_s(failures) for failures in (0, 1, 2, 3, 20)] == [0, 1, 2, 4, 60]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"restart": "Always"}, "spec.template.spec.restartPolicy"),
        ({"completionMode": "Indexed", "completions": 2}, "spec.completionMode"),
        ({"podFailurePolicy": {"rules": []}}, "spec.podFailurePolicy"),
        ({"parallelism": -1}, "spec.parallelism"),
    ],
)
def test_what_a_job_cannot_do_is_refused_by_its_field(
    client: LocalClient, spec: dict[str, Any], field: str
) -> None:
    async def scenario(client: LocalClient) -> None:
        with pytest.raises(ApiError, match=field.replace(".", r"\.")):
            await client.create(JOBS, job(**spec))

    play(client, scenario)
