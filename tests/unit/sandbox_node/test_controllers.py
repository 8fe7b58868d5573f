"""Controllers over a store in memory; pods are made ready by the test."""

from __future__ import annotations

import asyncio
from collections import Counter

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers.budgets import about_to_go
from meshkit.sandbox.controllers.endpoints import SLICES
from meshkit.sandbox.controllers.objects import is_terminating, timestamp
from meshkit.sandbox.node.agent import ZONES
from tests.unit.sandbox_node.stage import DEPLOYMENTS, deployment, play, rolled_out, until


def test_a_deployment_gets_its_pods_one_in_each_zone(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DEPLOYMENTS, deployment("web:1"))
        await until(lambda: rolled_out(client))
        pods = await client.list("pods")
        assert sorted(pod["spec"]["nodeName"] for pod in pods) == list(ZONES)
        found = await client.get(DEPLOYMENTS, "web", "default")
        assert found is not None
        conditions = {each["type"]: each for each in found["status"]["conditions"]}
        assert conditions["Progressing"]["reason"] == "NewReplicaSetAvailable"
        assert conditions["Available"]["status"] == "True"
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"

    play(client, scenario)


def test_a_rolling_update_keeps_every_pod_available_and_an_undo_finds_the_old_replicaset(
    client: LocalClient,
) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DEPLOYMENTS, deployment("web:1"))
        await until(lambda: rolled_out(client))
        first = (await client.list("replicasets.apps"))[0]["metadata"]["name"]
        fewest = 3

        async def watch_availability() -> None:
            nonlocal fewest
            async for _ in client.watch("pods"):
                alive = [pod for pod in await client.list("pods") if not is_terminating(pod)]
                ready = [pod for pod in alive if (pod.get("status") or {}).get("podIP")]
                fewest = min(fewest, len(ready))
                assert len(alive) <= 4

        watching = asyncio.create_task(watch_availability())
        for image in ("web:2", "web:1"):
            changed = deployment(image)
            patch = {"spec": {"template": changed["spec"]["template"]}}
            await client.merge_patch(DEPLOYMENTS, "web", "default", patch)
            await until(lambda: rolled_out(client))
        watching.cancel()
        assert fewest == 3
        sets = {each["metadata"]["name"]: each for each in await client.list("replicasets.apps")}
        assert len(sets) == 2
        assert sets[first]["spec"]["replicas"] == 3
        assert sets[first]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"

    play(client, scenario)


def test_a_new_size_during_a_rollout_keeps_each_versions_part(client: LocalClient) -> None:
    async def sizes() -> list[int]:
        sets = await client.list("replicasets.apps")
        return [
            each["spec"]["replicas"]
            for each in sorted(sets, key=lambda each: each["metadata"]["uid"] != first)
        ]

    async def are(*wanted: int) -> bool:
        return await sizes() == list(wanted)

    first = ""

    async def scenario(client: LocalClient) -> None:
        nonlocal first
        await client.create(DEPLOYMENTS, deployment("web:1", replicas=4))
        await until(lambda: rolled_out(client))
        first = (await client.list("replicasets.apps"))[0]["metadata"]["uid"]
        stuck = {"template": deployment("web:2")["spec"]["template"], "minReadySeconds": 3600}
        await client.merge_patch(DEPLOYMENTS, "web", "default", {"spec": stuck})
        await until(lambda: are(3, 2))
        await client.merge_patch(DEPLOYMENTS, "web", "default", {"spec": {"replicas": 8}})
        await until(lambda: are(6, 4))
        await client.merge_patch(DEPLOYMENTS, "web", "default", {"spec": {"paused": True, "replicas": 4}})
        await until(lambda: are(3, 2))

    play(client, scenario)


def test_a_slice_names_ready_pods_with_their_zones_and_ports(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        service = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
        await client.create(
            "services", {"metadata": {"name": "web", "namespace": "default"}, "spec": service}
        )
        await client.create(DEPLOYMENTS, deployment("web:1"))

        async def three_ready() -> bool:
            slices = await client.list(SLICES, "default", {"kubernetes.io/service-name": "web"})
            return sum(each["conditions"]["ready"] for piece in slices for each in piece["endpoints"]) == 3

        await until(three_ready)
        (piece,) = await client.list(SLICES)
        assert {each["zone"] for each in piece["endpoints"]} == set(ZONES.values())
        assert [(port["name"], port["port"]) for port in piece["ports"]] == [("http", 8080)]

    play(client, scenario)


def test_deleting_a_deployment_leaves_nothing_of_it(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DEPLOYMENTS, deployment("web:1"))
        await until(lambda: rolled_out(client))
        await client.delete(DEPLOYMENTS, "web", "default")

        async def nothing_left() -> bool:
            return not await client.list("replicasets.apps") and not await client.list("pods")

        await until(nothing_left)

    play(client, scenario)


def test_deleted_in_the_foreground_a_deployment_goes_after_its_pods(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        held = deployment("web:1", replicas=1)
        held["spec"]["template"]["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(DEPLOYMENTS, held)
        await until(lambda: rolled_out(client))
        await client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")

        async def pod_is_going() -> bool:
            return all(is_terminating(pod) for pod in await client.list("pods"))

        async def gone() -> bool:
            return await client.get(DEPLOYMENTS, "web", "default") is None

        await until(pod_is_going)
        await asyncio.sleep(0.2)
        assert not await gone()
        (pod,) = await client.list("pods")
        await client.merge_patch(
            "pods", pod["metadata"]["name"], "default", {"metadata": {"finalizers": None}}
        )
        await until(gone)

    play(client, scenario)


def test_a_namespace_goes_when_everything_in_it_is_gone(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create("namespaces", {"metadata": {"name": "shop"}})
        shop = deployment("web:1")
        shop["metadata"]["namespace"] = "shop"
        await client.create(DEPLOYMENTS, shop)

        async def furnished() -> bool:
            account = await client.get("serviceaccounts", "default", "shop")
            return account is not None and len(await client.list("pods", "shop")) == 3

        await until(furnished)
        await client.delete("namespaces", "shop")

        async def gone() -> bool:
            return await client.get("namespaces", "shop") is None

        await until(gone)
        assert client.keys_in("shop") == []

    play(client, scenario)


def test_a_budget_counts_the_pods_that_are_wanted(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        budget = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
        await client.create("poddisruptionbudgets.policy", budget)
        await client.create(DEPLOYMENTS, deployment("web:1"))

        async def counted() -> bool:
            found = await client.get("poddisruptionbudgets.policy", "web", "default")
            status = (found or {}).get("status") or {}
            return (status.get("currentHealthy"), status.get("disruptionsAllowed")) == (3, 1)

        await until(counted)

    play(client, scenario)


def test_a_granted_eviction_counts_until_the_pod_goes_or_two_minutes_pass() -> None:
    pods = [{"metadata": {"name": name, "namespace": "default"}} for name in ("a", "b")]
    long_ago = "2020-01-01T00:00:00Z"
    status = {"disruptedPods": {"a": timestamp(), "b": long_ago, "gone": timestamp()}}
    assert set(about_to_go(status, pods)) == {"a"}


def test_a_pod_that_no_node_takes_waits_and_says_why(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(DEPLOYMENTS, deployment("web:1", replicas=1))

        async def says_why() -> bool:
            return Counter(each["reason"] for each in await client.list("events"))["FailedScheduling"] >= 1

        await until(says_why)

    play(client, scenario, nodes=False)
