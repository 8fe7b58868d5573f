"""What discovery and OpenAPI publish is what the server answers, for every resource and subresource."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.sandbox.api.schema.registry import Registry
from tests.unit.sandbox_api.conftest import WIDGETS
from tests.unit.sandbox_api.published import (
    LABELS,
    VERBS,
    Operation,
    Server,
    Subject,
    connects,
    noticeable,
    writes,
)
from tests.unit.sandbox_api.server import DISCOVERY, connected

SCALED: dict[str, Any] = copy.deepcopy(WIDGETS)
SCALED["spec"]["versions"][0]["subresources"]["scale"] = {
    "specReplicasPath": ".spec.size",
    "statusReplicasPath": ".status.size",
}
ALL = [*sorted(each.key for each in Registry()), "widgets.example.com"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with asyncio.Runner() as runner:
        opened = connected(tmp_path_factory.mktemp("published"))
        to = runner.run(opened.__aenter__())
        runner.run(to.server.client.create("customresourcedefinitions.apiextensions.k8s.io", SCALED))
        yield Server(runner.run, to)
        runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize("key", ALL)
def test_what_openapi_publishes_is_served_and_nothing_else(server: Server, key: str) -> None:
    async def scenario() -> None:
        subject = await server.resource(key)
        served = {each for each in subject.candidates() if await subject.is_served(each)}
        published = subject.published()
        assert (sorted(published - served), sorted(served - published)) == ([], [])

    server.run(scenario())


@pytest.mark.parametrize("key", ALL)
def test_discovery_lists_the_verbs_that_openapi_describes(server: Server, key: str) -> None:
    async def scenario() -> None:
        subject = await server.resource(key)
        described: dict[str, set[str]] = {}
        for path, method, _ in subject.published():
            name = subject.plural
            if path.startswith(f"{subject.item}/"):
                name += f"/{path.removeprefix(f'{subject.item}/').partition('/')[0]}"
            of_many = path in (subject.collection, subject.everywhere)
            verb = (
                VERBS.get(method.lower())
                or {
                    "GET": "list" if of_many else "get",
                    "HEAD": "get",
                    "DELETE": "deletecollection" if of_many else "delete",
                }[method]
            )
            verbs = described.setdefault(name, set())
            verbs.add(verb)
            if verb == "list" and "watch" in subject.parameters(path, method):
                verbs.add("watch")
        listed = {
            name: set(each["verbs"])
            for name, each in subject.listed.items()
            if name.partition("/")[0] == subject.plural
        }
        assert listed == described
        assert listed == await aggregated(server, subject)

    server.run(scenario())


async def aggregated(server: Server, subject: Subject) -> dict[str, set[str]]:
    document = await server.get("/apis" if subject.group else "/api", Accept=DISCOVERY)
    (found,) = (
        each
        for group in document["items"]
        if group["metadata"].get("name", "") == subject.group
        for each in group["versions"][0]["resources"]
        if each["resource"] == subject.plural
    )
    below = {
        f"{subject.plural}/{each['subresource']}": set(each["verbs"])
        for each in found.get("subresources", ())
    }
    return {subject.plural: set(found["verbs"]), **below}


@pytest.mark.parametrize("key", ALL)
def test_every_write_can_be_tried_out(server: Server, key: str) -> None:
    async def scenario() -> None:
        subject = await server.resource(key)
        writing = {
            each
            for each in subject.published()
            if each.method not in ("GET", "HEAD") and not connects(each.path)
        }
        assert writing == set(writes(subject, "dryRun"))
        for operation in sorted(writing):
            name = await subject.made()
            before = server.to.server._store.rv
            code, answer = await subject.send(
                operation, name, "dryRun=All", change={"metadata": {"labels": LABELS}}
            )
            assert code in (200, 201), (operation, answer["message"])
            assert server.to.server._store.rv == before, operation
            code, answer = await subject.send(operation, name, "dryRun=Some")
            assert (code, "dryRun: Unsupported value" in answer["message"]) == (422, True), (
                operation,
                answer,
            )

    server.run(scenario())


@pytest.mark.parametrize("key", ALL)
def test_every_body_is_checked_for_unknown_fields_as_asked(server: Server, key: str) -> None:
    async def scenario() -> None:
        subject = await server.resource(key)
        with_body = {
            each
            for each in subject.published()
            if each.method in ("POST", "PUT", "PATCH") and not connects(each.path)
        }
        assert with_body == set(writes(subject, "fieldValidation"))
        for operation in sorted(with_body):
            code, answer = await subject.send(
                operation, await subject.made(), "fieldValidation=Strict", odd="oddField"
            )
            if operation.media_type == "application/apply-patch+yaml":
                assert (code, ".oddField: field not declared in schema" in answer["message"]) == (500, True)
            else:
                assert (code, 'unknown field "oddField"' in answer["message"]) == (400, True), (
                    operation,
                    answer,
                )
            code, answer = await subject.send(operation, await subject.made(), "fieldValidation=Odd")
            assert (code, "fieldValidation: Unsupported value" in answer["message"]) == (422, True), operation

    server.run(scenario())


@pytest.mark.parametrize("key", ALL)
def test_every_write_of_an_object_is_owned_by_its_field_manager(server: Server, key: str) -> None:
    async def scenario() -> None:
        subject = await server.resource(key)
        for operation in writes(subject, "fieldManager"):
            if not subject.is_stored or operation.path.endswith(("/eviction", "/token", "/finalize")):
                continue
            name = await subject.made()
            code, answer = await subject.send(
                operation, name, "fieldManager=someone", change=noticeable(operation.path, subject.kind)
            )
            assert code in (200, 201), (operation, answer["message"])
            names = (answer["metadata"]["name"], name) if operation.method == "POST" else (name,)
            obj = await subject.stored(names[0])
            fields = obj["metadata"].get("managedFields", ())
            assert "someone" in {each["manager"] for each in fields}, operation

    server.run(scenario())


@pytest.mark.parametrize("key", ["deployments.apps", "widgets.example.com"])
def test_apply_to_a_scale_is_owned_and_conflicts(server: Server, key: str) -> None:
    async def scenario() -> None:
        subject = await server.resource(key)
        name = await subject.made()
        operation = Operation(f"{subject.item}/scale", "PATCH", "application/apply-patch+yaml")
        code, refused = await subject.send(operation, name, "force=false")
        field = ".spec.size" if key.startswith("widgets") else ".spec.replicas"
        assert (code, field in refused["message"]) == (409, True)
        code, scale = await subject.send(operation, name, "force=true")
        assert (code, scale["kind"], scale["spec"]) == (200, "Scale", {"replicas": 3})
        fields = (await subject.stored(name))["metadata"]["managedFields"]
        (mine,) = (each for each in fields if each["manager"] == "applier")
        leaf = field.rpartition(".")[2]
        assert (mine["operation"], mine["subresource"]) == ("Apply", "scale")
        assert mine["fieldsV1"] == {"f:spec": {f"f:{leaf}": {}}}

    server.run(scenario())
