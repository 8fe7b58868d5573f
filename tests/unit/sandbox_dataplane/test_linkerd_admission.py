"""What Linkerd's webhooks refuse, and that they take all that meshkit writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from meshkit.meshes.linkerd.meaning.admission import refusal
from meshkit.sandbox.control_planes.linkerd.validator import application
from tests.unit.sandbox_dataplane.linkerd_refusals import (
    MESH_TLS,
    REFUSED,
    SERVER,
    TAKEN,
    policy,
    route,
    server,
)

UNIT = Path(__file__).parents[1]


@pytest.mark.parametrize(("item", "field"), REFUSED)
def test_what_linkerd_could_not_read_is_refused(item: dict[str, Any], field: str) -> None:
    assert field in refusal(item)


@pytest.mark.parametrize("item", TAKEN)
def test_what_linkerd_reads_is_taken(item: dict[str, Any]) -> None:
    assert refusal(item) == ""


def test_a_gatewayss_route_may_have_annotations_that_linkerd_cannot_read() -> None:
    item = route(retry__limit="many")
    item["spec"]["parentRefs"] = [{"name": "gateway"}]
    assert refusal(item) == ""


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        (server("b"), True),
        (server("a"), False),
        (server("b", port=9090), False),
        (server("b", port="http"), False),
        (server("b", podSelector={}), True),
        (server("b", podSelector={"matchLabels": {"app": "stock"}}), False),
    ],
)
def test_a_second_server_of_a_port_is_refused(other: dict[str, Any], refused: bool) -> None:
    assert ("already selects port 8080" in refusal(server(), [other])) == refused


@pytest.mark.parametrize(
    "path", sorted(UNIT.glob("meshes/golden/linkerd-*.yaml")), ids=lambda path: path.stem
)
def test_linkerds_webhooks_take_what_meshkit_writes(path: Path) -> None:
    for step in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert refusal(step["object"]) == ""


def test_the_webhook_answers_with_the_reason() -> None:
    async def body() -> None:
        async with TestClient(TestServer(application(None))) as client:  # type: ignore[arg-type]
            for item, allowed in ((policy(SERVER, MESH_TLS), True), (policy({"kind": "Pod"}), False)):
                asked = {"request": {"uid": "u", "namespace": "shop", "object": item}}
                answer = (await (await client.post("/", json=asked)).json())["response"]
                assert (answer["uid"], answer["allowed"]) == ("u", allowed)
                assert allowed or "cannot target Pod" in answer["status"]["message"]

    asyncio.run(body())
