"""No object that the API server accepts stops a controller: minimal and odd objects of every stored kind."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.schema import types as schemas
from meshkit.sandbox.api.schema.registry import CRDS, Registry, Resource
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.endpoints import SLICES
from meshkit.sandbox.controllers.objects import is_terminating
from tests.unit.sandbox_api.conftest import WIDGETS
from tests.unit.sandbox_api.published import NEEDED
from tests.unit.sandbox_node.stage import deployment, play, until

EMPTY: dict[str, Any] = {"array": [], "boolean": False, "integer": 0, "number": 0, "object": {}, "string": ""}
DEPTH = 3
"""How deep fields are left out, emptied or set to an odd value one by one."""
TEMPLATES = ("jobTemplate", "template", "volumeClaimTemplates")
"""What need not be as odd within a workload as it is on its own."""
STORED = sorted(
    (each for each in Registry() if "list" in each.verbs and each.key != CRDS), key=lambda each: each.key
)


def minimal(resource: Resource) -> dict[str, Any]:
    return copy.deepcopy(NEEDED.get(resource.plural, {}))


def odd(resource: Resource) -> Iterator[dict[str, Any]]:
    """The minimal object with one field after the other missing, empty, or with a minimal item."""
    yield minimal(resource)
    yield from changes(resource.schema, minimal(resource), DEPTH)


def changes(schema: Any, value: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    for name in schema.get("properties") or ():
        if name in ("apiVersion", "kind", "metadata"):
            continue
        member = schemas.member(schema, name) or {}
        if name in value:
            yield {key: each for key, each in value.items() if key != name}
        for each in candidates(member, value.get(name), 0 if name in TEMPLATES else depth):
            yield {**value, name: each}


def candidates(member: Any, present: Any, depth: int) -> Iterator[Any]:
    yield copy.deepcopy(EMPTY.get(member.get("type", ""), "odd"))
    if member.get("type") == "string" or "type" not in member:
        yield "odd"
    if member.get("type") == "integer":
        yield from (-1, 2)
    if depth > 0 and "properties" in member:
        inside = present if isinstance(present, dict) else filled(member)
        yield inside
        yield from changes(member, inside, depth - 1)
    if member.get("type") == "array" and (item := schemas.items(member)) is not None:
        yield [filled(item)]


def filled(schema: Any) -> Any:
    """A value with the required fields only."""
    if "properties" not in schema:
        return copy.deepcopy(EMPTY.get(schema.get("type", ""), "odd"))
    return {
        name: filled(schemas.member(schema, name) or {})
        for name in schema.get("required") or ()
        if name in schema["properties"]
    }


async def store_odd(client: LocalClient, resource: Resource) -> int:
    """Create what the API server accepts, and write it as a status as well; returns how much that was."""
    count = 0
    for number, content in enumerate(odd(resource)):
        name = f"odd-{number}"
        metadata: dict[str, Any] = {"name": name}
        if resource.namespaced:
            metadata["namespace"] = "default"
        if content.get("status") and "status" in resource.subresources:
            with contextlib.suppress(ApiError):
                namespace = metadata.get("namespace")
                await client.update_status(resource.key, "odd-0", namespace, content["status"])
            continue
        try:
            await client.create(resource.key, {**content, "metadata": metadata})
        except ApiError:
            continue
        count += 1
        if number % 50 == 0:
            await asyncio.sleep(0)
    return count


async def all_work(client: LocalClient) -> None:
    """Everything that the controllers do, for objects that are as they should be."""
    await client.create("namespaces", {"metadata": {"name": "shop"}})
    labels = {"matchLabels": {"app": "web"}}
    for kind, plural in (
        ("Deployment", "deployments"),
        ("StatefulSet", "statefulsets"),
        ("DaemonSet", "daemonsets"),
    ):
        made = deployment("web:1", 1) | {"kind": kind}
        made["metadata"] = {"name": plural, "namespace": "shop"}
        made["spec"]["selector"] = {"matchLabels": {"app": "web", "of": plural}}
        made["spec"]["template"]["metadata"]["labels"] = {"app": "web", "of": plural}
        if kind == "DaemonSet":
            del made["spec"]["replicas"]
            made["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "sandbox-a"}
        await client.create(f"{plural}.apps", made)
    meta = {"name": "web", "namespace": "shop"}
    ports = [{"port": 80, "targetPort": 8080}]
    await client.create("services", {"metadata": meta, "spec": {"selector": {"app": "web"}, "ports": ports}})
    budget = {"metadata": meta, "spec": {"minAvailable": 1, "selector": labels}}
    await client.create("poddisruptionbudgets.policy", budget)
    await client.create("resourcequotas", {"metadata": meta, "spec": {"hard": {"pods": "10"}}})
    job = {
        "metadata": meta,
        "spec": {
            "template": {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
        },
    }
    await client.create("jobs.batch", job)

    async def done() -> bool:
        slices = await client.list(SLICES, "shop")
        ready = sum(
            bool(each["conditions"]["ready"]) for piece in slices for each in piece["endpoints"] or ()
        )
        budget = await client.get("poddisruptionbudgets.policy", "web", "shop") or {}
        quota = await client.get("resourcequotas", "web", "shop") or {}
        job = await client.get("jobs.batch", "web", "shop") or {}
        return (
            ready == 3
            and (budget.get("status") or {}).get("currentHealthy") == 3
            and (quota.get("status") or {}).get("used") == {"pods": "4"}
            and (job.get("status") or {}).get("active") == 1
            and await client.get("serviceaccounts", "default", "shop") is not None
        )

    await until(done, 60)
    await client.merge_patch(
        "nodes", "sandbox-c", None, {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
    )

    async def cleared() -> bool:
        pods = await client.list("pods", "shop")
        return all(is_terminating(pod) or pod["spec"].get("nodeName") != "sandbox-c" for pod in pods)

    await until(cleared)
    await client.delete("namespaces", "shop")

    async def gone() -> bool:
        return await client.get("namespaces", "shop") is None

    await until(gone, 60)


@pytest.mark.parametrize("resource", STORED, ids=lambda each: each.key)
def test_every_controller_works_beside_odd_objects(
    client: LocalClient, resource: Resource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    async def scenario(client: LocalClient) -> None:
        await client.create(CRDS, WIDGETS)
        assert await store_odd(client, resource) > 0
        await all_work(client)

    play(client, scenario)
    assert [record.getMessage() for record in caplog.records] == []
