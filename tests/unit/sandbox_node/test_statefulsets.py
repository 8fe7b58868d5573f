"""StatefulSets over a store in memory: names, order, updates by partition, and storage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.controllers import pods
from meshkit.sandbox.controllers.endpoints import SLICES
from meshkit.sandbox.controllers.objects import is_terminating
from meshkit.sandbox.controllers.workloads.statefulsets import State, next_step
from meshkit.sandbox.node.services import ready_endpoints
from tests.unit.sandbox_node.stage import deployment, play, until

STATEFULSETS = "statefulsets.apps"
REVISIONS = "controllerrevisions.apps"


def stateful_set(image: str, replicas: int = 3, **spec: Any) -> dict[str, Any]:
    made = deployment(image, replicas, serviceName="web", **spec)
    return made | {"kind": "StatefulSet"}


def image_of(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["image"])


async def settled(client: LocalClient) -> bool:
    """What ``kubectl rollout status`` waits for."""
    found = await client.get(STATEFULSETS, "web", "default")
    assert found is not None
    status, replicas = found.get("status") or {}, found["spec"]["replicas"]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("replicas", 0) == status.get("availableReplicas", 0) == replicas
        and status.get("updateRevision") == status.get("currentRevision")
        and len(await client.list("pods")) == replicas
    )


async def order_of(client: LocalClient, change: Callable[[], Awaitable[Any]]) -> list[str]:
    """The creations and deletions of pods that a change causes, until the StatefulSet has settled."""
    seen: list[str] = []
    known = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in await client.list("pods")}

    async def follow() -> None:
        async for event in client.watch("pods"):
            uid, name = event.object["metadata"]["uid"], event.object["metadata"]["name"]
            if uid not in known:
                known[uid] = name
                seen.append(f"+{name}")
            elif event.type == "DELETED":
                seen.append(f"-{name}")

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await change()
    await until(lambda: settled(client))
    following.cancel()
    return seen


def test_pods_have_stable_names_and_start_and_stop_in_order(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        at_once = 0

        async def watch_starts() -> None:
            nonlocal at_once
            async for _ in client.watch("pods"):
                waiting = [p for p in await client.list("pods") if not (p.get("status") or {}).get("podIP")]
                at_once = max(at_once, len(waiting))

        watching = asyncio.create_task(watch_starts())
        seen = await order_of(client, lambda: client.create(STATEFULSETS, stateful_set("web:1")))
        assert seen == ["+web-0", "+web-1", "+web-2"]
        assert at_once == 1
        watching.cancel()
        pods = {pod["metadata"]["name"]: pod for pod in await client.list("pods")}
        spec, labels = pods["web-2"]["spec"], pods["web-2"]["metadata"]["labels"]
        assert (spec["hostname"], spec["subdomain"]) == ("web-2", "web")
        assert labels["statefulset.kubernetes.io/pod-name"] == "web-2"
        assert labels["apps.kubernetes.io/pod-index"] == "2"
        found = await client.get(STATEFULSETS, "web", "default")
        assert found is not None
        assert labels["controller-revision-hash"] == found["status"]["currentRevision"]
        seen = await order_of(
            client, lambda: client.merge_patch(STATEFULSETS, "web", "default", {"spec": {"replicas": 1}})
        )
        assert seen == ["-web-2", "-web-1"]

    play(client, scenario)


def test_a_deleted_pod_comes_back_under_its_name(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(STATEFULSETS, stateful_set("web:1"))
        await until(lambda: settled(client))
        seen = await order_of(client, lambda: client.delete("pods", "web-1", "default"))
        assert seen == ["-web-1", "+web-1"]

    play(client, scenario)


def test_an_update_goes_from_the_highest_ordinal_down_to_the_partition(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(STATEFULSETS, stateful_set("web:1"))
        await until(lambda: settled(client))
        spec = stateful_set("web:2")["spec"] | {
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        }
        await client.merge_patch(STATEFULSETS, "web", "default", {"spec": spec})

        async def images() -> list[str]:
            pods = await client.list("pods")
            ready = {p["metadata"]["name"]: p for p in pods if (p.get("status") or {}).get("podIP")}
            return [image_of(ready[name]) for name in sorted(ready)]

        async def two_new() -> bool:
            return await images() == ["web:1", "web:2", "web:2"]

        async def two_counted() -> bool:
            found = await client.get(STATEFULSETS, "web", "default")
            assert found is not None
            status = found["status"]
            counted = (status["currentReplicas"], status["updatedReplicas"]) == (1, 2)
            return counted and status["currentRevision"] != status["updateRevision"]

        await until(two_new)
        await until(two_counted)
        # A pod below the partition that is lost comes back as it was.
        await client.delete("pods", "web-0", "default")
        await until(two_new)
        whole = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
        seen = await order_of(client, lambda: client.merge_patch(STATEFULSETS, "web", "default", whole))
        assert seen == ["-web-0", "+web-0"]
        assert await images() == ["web:2"] * 3
        # The old template again: its revision is found, and gets the highest number.
        old = {"spec": {"template": stateful_set("web:1")["spec"]["template"]}}
        seen = await order_of(client, lambda: client.merge_patch(STATEFULSETS, "web", "default", old))
        assert seen == ["-web-2", "+web-2", "-web-1", "+web-1", "-web-0", "+web-0"]
        assert sorted(each["revision"] for each in await client.list(REVISIONS)) == [2, 3]

    play(client, scenario)


def test_with_parallel_pods_and_on_delete_nothing_waits_and_nothing_is_replaced(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        spec = {"podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"}}
        await client.create(STATEFULSETS, stateful_set("web:1", **spec, ordinals={"start": 5}))

        async def all_there() -> bool:
            names = sorted(pod["metadata"]["name"] for pod in await client.list("pods"))
            return names == ["web-5", "web-6", "web-7"]

        await until(all_there)
        template = stateful_set("web:2")["spec"]["template"]
        await client.merge_patch(STATEFULSETS, "web", "default", {"spec": {"template": template}})
        await asyncio.sleep(0.2)
        assert {image_of(pod) for pod in await client.list("pods")} == {"web:1"}
        await client.delete("pods", "web-6", "default")

        async def replaced() -> bool:
            pod = await client.get("pods", "web-6", "default")
            return pod is not None and not is_terminating(pod) and image_of(pod) == "web:2"

        await until(replaced)

    play(client, scenario)


def test_each_pod_is_found_by_its_name_below_the_headless_service(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        headless = {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 8080}]}
        await client.create(
            "services", {"metadata": {"name": "web", "namespace": "default"}, "spec": headless}
        )
        await client.create(STATEFULSETS, stateful_set("web:1", replicas=2))
        await until(lambda: settled(client))
        pods = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in await client.list("pods")}
        found: dict[str, list[str]] = {}

        async def resolved() -> bool:
            nonlocal found
            found = ready_endpoints(await client.list("services"), await client.list(SLICES))
            return len(found) == 3

        await until(resolved)
        assert found["web-1.web.default.svc.cluster.local:8080"] == [f"{pods['web-1']}:8080"]
        assert len(found["web.default.svc.cluster.local:8080"]) == 2

    play(client, scenario)


def test_claim_templates_are_told_as_not_carried_out(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        made = stateful_set(
            "web:1", 1, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": storage}]
        )
        mount = {"name": "data", "mountPath": "/data"}
        made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
        await client.create(STATEFULSETS, made)
        await until(lambda: settled(client))
        (pod,) = await client.list("pods")
        assert pod["spec"]["volumes"] == [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}
        ]
        assert await client.list("persistentvolumeclaims") == []
        (event,) = [
            each for each in await client.list("events", "default") if each["reason"] == "NotSupported"
        ]
        assert "no PersistentVolumeClaim is created for data" in event["message"]

    play(client, scenario)


def test_pods_left_by_a_deletion_are_adopted_again(client: LocalClient) -> None:
    async def scenario(client: LocalClient) -> None:
        await client.create(STATEFULSETS, stateful_set("web:1", replicas=2))
        await until(lambda: settled(client))
        before = {pod["metadata"]["uid"] for pod in await client.list("pods")}
        await client.delete(STATEFULSETS, "web", "default", propagation="Orphan")

        async def gone() -> bool:
            return await client.get(STATEFULSETS, "web", "default") is None

        await until(gone)
        await client.create(STATEFULSETS, stateful_set("web:1", replicas=2))
        await until(lambda: settled(client))
        assert {pod["metadata"]["uid"] for pod in await client.list("pods")} == before

    play(client, scenario)


def test_parallel_pods_without_end_are_created_in_bounded_steps() -> None:
    spec = {"podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"}}
    owner = stateful_set("web:1", 2**31 - 1, **spec)
    revision = {"metadata": {"name": "web-1"}, "data": {"spec": {"template": owner["spec"]["template"]}}}
    owner["metadata"] |= {"namespace": "default", "uid": "u"}
    step = next_step(State(owner, (), revision, revision, {}))
    assert [pod["metadata"]["name"] for pod in step.create] == [
        f"web-{n}" for n in range(pods.CREATED_AT_ONCE)
    ]


def test_a_step_of_any_controller_creates_a_bounded_number_of_pods(
    client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "CREATED_AT_ONCE", 5)

    async def scenario() -> None:
        await client.create("namespaces", {"metadata": {"name": "default"}})
        owner = await client.create(STATEFULSETS, stateful_set("web:1", 2**31 - 1))
        await pods.OwnedPods(client, "test").create(owner, 2**31 - 1)
        assert len(await client.list("pods")) == 5

    asyncio.run(scenario())
