"""ReplicaSets and pods that have no owner, or that no longer match a selector."""

from __future__ import annotations

from typing import Any

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.objects import controller_of
from tests.unit.sandbox_node.stage import play, until

REPLICASETS = "replicasets.apps"
CONTAINERS = [{"name": "web", "image": "web:1"}]


def replica_set(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": CONTAINERS}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def orphan(name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    return {"metadata": meta, "spec": {"containers": CONTAINERS}}


async def owned(client: LocalClient) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in await client.list("pods") if controller_of(pod))


def test_a_replicaset_adopts_a_pod_that_fits_instead_of_making_one(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create("pods", orphan("before"))
        await client.create(REPLICASETS, replica_set(2))

        async def one_of_its_own() -> bool:
            names = await owned(client)
            return len(names) == 2 and "before" in names

        await until(one_of_its_own)

    play(client, scenario)


def test_a_pod_that_comes_later_is_adopted_and_one_too_many_goes(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(REPLICASETS, replica_set(1))

        async def one() -> bool:
            return len(await client.list("pods")) == 1 == len(await owned(client))

        await until(one)
        await client.create("pods", orphan("late"))

        async def settled() -> bool:
            events = await client.list("events")
            return await one() and any(each["reason"] == "SuccessfulDelete" for each in events)

        await until(settled)

    play(client, scenario)


def test_a_pod_whose_labels_leave_the_selector_is_let_go_and_replaced(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(REPLICASETS, replica_set(1))

        async def one() -> bool:
            return len(await owned(client)) == 1

        await until(one)
        (name,) = await owned(client)
        await client.merge_patch("pods", name, "default", {"metadata": {"labels": {"app": "debug"}}})

        async def replaced() -> bool:
            pods = [pod["metadata"]["name"] for pod in await client.list("pods")]
            return len(pods) == 2 and name in pods and name not in await owned(client)

        await until(replaced)

    play(client, scenario)
