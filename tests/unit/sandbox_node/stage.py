"""Controllers over a store in memory, without a node agent: a stand-in makes bound pods ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.objects import is_terminating
from meshkit.sandbox.controllers.run import run_all
from meshkit.sandbox.node.agent import ZONES, node_object

Scenario = Callable[[LocalClient], Awaitable[None]]
DEPLOYMENTS = "deployments.apps"


def deployment(image: str, replicas: int = 3, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": image,
        "ports": [{"containerPort": 8080, "name": "http"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
            **spec,
        },
    }


async def make_ready(client: LocalClient) -> None:
    """Stand in for the node agent: bound pods become ready, deleted ones go."""
    numbers = iter(range(1, 10_000))
    async for event in client.watch("pods"):
        pod = event.object
        if event.type == "DELETED" or not pod["spec"].get("nodeName"):
            continue
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if is_terminating(pod):
            await client.delete("pods", name, namespace, grace_period_s=0)
        elif not pod.get("status", {}).get("podIP"):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            status = {"phase": "Running", "podIP": f"127.9.0.{next(numbers)}", "conditions": [ready]}
            await client.update_status("pods", name, namespace, status)


def play(client: LocalClient, scenario: Scenario, *, nodes: bool = True) -> None:
    async def main() -> None:
        await client.create("namespaces", {"metadata": {"name": "default"}})
        for name in ZONES if nodes else ():
            await client.create("nodes", node_object(name))
        tasks = [asyncio.create_task(run_all(client)), asyncio.create_task(make_ready(client))]
        try:
            await scenario(client)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


async def until(look: Callable[[], Awaitable[bool]], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await look():  # noqa: ASYNC110 - the state of a store has no event
            await asyncio.sleep(0.01)


async def rolled_out(client: LocalClient) -> bool:
    """What ``kubectl rollout status`` waits for."""
    found = await client.get(DEPLOYMENTS, "web", "default")
    assert found is not None
    status, replicas = found.get("status") or {}, found["spec"]["replicas"]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
    )
