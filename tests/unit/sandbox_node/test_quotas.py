"""The quota controller: ``status.used`` follows what the namespace holds."""

from __future__ import annotations

from meshkit.sandbox.api.client import LocalClient
from tests.unit.sandbox_node.stage import DEPLOYMENTS, deployment, play, until


def test_used_follows_what_comes_and_goes_and_a_full_quota_holds_back_pods(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        hard = {"pods": "2", "count/deployments.apps": "5", "count/leases.coordination.k8s.io": "1"}
        quota = {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}}
        await client.create("resourcequotas", quota)
        await client.create(DEPLOYMENTS, deployment("web:1", replicas=3))

        async def counted(pods: str, deployments: str) -> bool:
            found = await client.get("resourcequotas", "q", "default")
            used = ((found or {}).get("status") or {}).get("used") or {}
            return (used.get("pods"), used.get("count/deployments.apps")) == (pods, deployments)

        await until(lambda: counted("2", "1"))

        async def said_why() -> bool:
            why = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
            return any(why in event["message"] for event in await client.list("events"))

        await until(said_why)
        await client.merge_patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 0}})
        await until(lambda: counted("0", "1"))

    play(client, scenario)
