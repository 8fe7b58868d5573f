"""CronJobs in a store in memory are kept and reported."""

from __future__ import annotations

from meshkit.sandbox.api.client import LocalClient
from tests.unit.sandbox_node.stage import play, until


def test_a_cron_job_is_kept_and_its_event_says_that_nothing_runs(client: LocalClient) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}}
    cron = {"metadata": {"name": "daily", "namespace": "default"}, "spec": spec}

    async def scenario(client: LocalClient) -> None:
        await client.create("cronjobs.batch", cron)

        async def told() -> bool:
            return bool(await client.list("events", "default"))

        await until(told)
        (event,) = await client.list("events", "default")
        assert event["reason"] == "NotSupported"
        assert "no Job is created at '0 3 * * *'" in event["message"]
        assert await client.list("jobs.batch") == []

    play(client, scenario)
