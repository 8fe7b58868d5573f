"""DaemonSets over a store in memory: a pod on each node, and updates node by node."""

from __future__ import annotations

import asyncio
from typing import Any

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.objects import is_terminating
from meshkit.sandbox.node.agent import ZONES
from tests.unit.sandbox_node.stage import deployment, play, until

DAEMONSETS = "daemonsets.apps"


def daemon_set(image: str, **spec: Any) -> dict[str, Any]:
    made = deployment(image) | {"kind": "DaemonSet"}
    del made["spec"]["replicas"]
    made["spec"] |= spec
    return made


async def pods_by_node(client: LocalClient) -> dict[str, str]:
    """The image of the ready pod on each node."""
    return {
        pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"]
        for pod in await client.list("pods")
        if (pod.get("status") or {}).get("podIP") and not is_terminating(pod)
    }


async def settled(client: LocalClient) -> bool:
    """What ``kubectl rollout status`` waits for."""
    found = await client.get(DAEMONSETS, "web", "default")
    assert found is not None
    status = found.get("status") or {}
    wanted = status.get("desiredNumberScheduled")
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0) == wanted
        and len(await client.list("pods")) == wanted
    )


def test_every_node_gets_one_pod_also_a_cordoned_one(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.merge_patch("nodes", "sandbox-b", None, {"spec": {"unschedulable": True}})
        await client.create(DAEMONSETS, daemon_set("web:1"))
        await until(lambda: settled(client))
        assert await pods_by_node(client) == dict.fromkeys(ZONES, "web:1")
        found = await client.get(DAEMONSETS, "web", "default")
        assert found is not None
        assert found["status"]["numberReady"] == 3
        assert "numberUnavailable" not in found["status"]
        (pod, *_) = await client.list("pods")
        await client.delete("pods", pod["metadata"]["name"], "default")

        async def replaced() -> bool:
            return len(await pods_by_node(client)) == 3

        await until(replaced)

    play(client, scenario)


def test_pods_follow_the_labels_and_taints_of_nodes(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        template = daemon_set("web:1")["spec"]["template"]
        template["spec"]["nodeSelector"] = {"disk": "fast"}
        await client.merge_patch("nodes", "sandbox-a", None, {"metadata": {"labels": {"disk": "fast"}}})
        await client.create(DAEMONSETS, daemon_set("web:1", template=template))

        async def run_on(*nodes: str) -> bool:
            return sorted(await pods_by_node(client)) == sorted(nodes)

        await until(lambda: run_on("sandbox-a"))
        await client.merge_patch("nodes", "sandbox-c", None, {"metadata": {"labels": {"disk": "fast"}}})
        await until(lambda: run_on("sandbox-a", "sandbox-c"))
        await client.merge_patch("nodes", "sandbox-a", None, {"metadata": {"labels": {"disk": None}}})
        await until(lambda: run_on("sandbox-c"))
        taints = {"spec": {"taints": [{"key": "own", "effect": "NoSchedule"}]}}
        await client.merge_patch("nodes", "sandbox-b", None, taints)
        await client.merge_patch("nodes", "sandbox-b", None, {"metadata": {"labels": {"disk": "fast"}}})
        await asyncio.sleep(0.2)
        assert await run_on("sandbox-c")
        # A taint that only repels new pods leaves a running one alone; with NoExecute it goes.
        await client.merge_patch("nodes", "sandbox-c", None, taints)
        await asyncio.sleep(0.2)
        assert await run_on("sandbox-c")
        taints["spec"]["taints"][0]["effect"] = "NoExecute"
        await client.merge_patch("nodes", "sandbox-c", None, taints)
        await until(run_on)

    play(client, scenario)


def test_an_update_replaces_one_pod_after_the_other(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DAEMONSETS, daemon_set("web:1"))
        await until(lambda: settled(client))
        fewest = 3

        async def watch_availability() -> None:
            nonlocal fewest
            async for _ in client.watch("pods"):
                fewest = min(fewest, len(await pods_by_node(client)))

        watching = asyncio.create_task(watch_availability())
        template = daemon_set("web:2")["spec"]["template"]
        await client.merge_patch(DAEMONSETS, "web", "default", {"spec": {"template": template}})
        await until(lambda: settled(client))
        watching.cancel()
        assert await pods_by_node(client) == dict.fromkeys(ZONES, "web:2")
        assert fewest == 2

    play(client, scenario)


def test_a_surging_update_starts_the_new_pod_before_the_old_one_goes(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        await client.create(
            DAEMONSETS,
            daemon_set("web:1", updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling}),
        )
        await until(lambda: settled(client))
        fewest, most = 3, 3

        async def watch_availability() -> None:
            nonlocal fewest, most
            async for _ in client.watch("pods"):
                fewest = min(fewest, len(await pods_by_node(client)))
                most = max(most, sum(not is_terminating(pod) for pod in await client.list("pods")))

        watching = asyncio.create_task(watch_availability())
        template = daemon_set("web:2")["spec"]["template"]
        await client.merge_patch(DAEMONSETS, "web", "default", {"spec": {"template": template}})
        await until(lambda: settled(client))
        watching.cancel()
        assert await pods_by_node(client) == dict.fromkeys(ZONES, "web:2")
        assert (fewest, most) == (3, 4)

    play(client, scenario)


def test_on_delete_leaves_old_pods_until_somebody_deletes_them(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DAEMONSETS, daemon_set("web:1", updateStrategy={"type": "OnDelete"}))
        await until(lambda: settled(client))
        template = daemon_set("web:2")["spec"]["template"]
        await client.merge_patch(DAEMONSETS, "web", "default", {"spec": {"template": template}})
        await asyncio.sleep(0.2)
        assert await pods_by_node(client) == dict.fromkeys(ZONES, "web:1")
        (pod, *_) = await client.list("pods")
        await client.delete("pods", pod["metadata"]["name"], "default")

        async def one_new() -> bool:
            return sorted((await pods_by_node(client)).values()) == ["web:1", "web:1", "web:2"]

        await until(one_new)

    play(client, scenario)
