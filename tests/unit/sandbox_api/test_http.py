"""Requests over HTTPS: forms of answers, refusals as Status, and what is passed on to pods."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from meshkit.sandbox.home import SandboxHome
from tests.unit.sandbox_api.server import (
    CM,
    DISCOVERY,
    Connection,
    connected,
    run,
)


def test_the_home_is_private_and_the_kubeconfig_leads_to_it(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        assert to.home.path.stat().st_mode & 0o777 == 0o700
        for secret in (
            to.home.token,
            to.home.ca_key,
            to.home.server_key,
            to.home.kubeconfig,
            to.home.signing_key,
        ):
            assert secret.stat().st_mode & 0o777 == 0o600
        config = json.loads(to.home.kubeconfig.read_text())
        assert config["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{to.server.port}"
        assert config["current-context"] == "meshkit-sandbox"

    run(scenario, tmp_path)


def test_a_restart_keeps_token_authority_and_objects(tmp_path: Path) -> None:
    async def first(to: Connection) -> None:
        await to.request("POST", CM, json={"metadata": {"name": "c"}})

    async def second(to: Connection) -> None:
        assert (await to.request("GET", f"{CM}/c"))[0] == 200

    run(first, tmp_path)
    token = SandboxHome(tmp_path / "sandbox").token.read_text()
    run(second, tmp_path)
    assert SandboxHome(tmp_path / "sandbox").token.read_text() == token


@pytest.mark.parametrize(
    ("method", "path", "more", "code", "reason"),
    [
        ("GET", CM, {"headers": {"Authorization": "Bearer wrong"}}, 401, "Unauthorized"),
        ("GET", CM, {"headers": {"Authorization": "Basic eDp5"}}, 401, "Unauthorized"),
        ("GET", f"{CM}/missing", {}, 404, "NotFound"),
        ("GET", "/apis/nothing/v1/things", {}, 404, "NotFound"),
        ("GET", "/somewhere", {}, 404, "NotFound"),
        ("GET", "/openapi/v3/apis/nothing/v1", {}, 404, "NotFound"),
        ("GET", f"{CM}/missing/odd", {}, 404, "NotFound"),
        ("POST", f"{CM}/missing", {"json": {}}, 405, "MethodNotAllowed"),
        ("GET", CM, {"headers": {"Accept": "text/html"}}, 406, "NotAcceptable"),
        ("POST", CM, {"data": b"{}", "headers": {"Content-Type": "text/csv"}}, 415, "UnsupportedMediaType"),
        ("PATCH", f"{CM}/c", {"json": {}}, 415, "UnsupportedMediaType"),
        (
            "POST",
            CM,
            {"data": b"{not json", "headers": {"Content-Type": "application/json"}},
            400,
            "BadRequest",
        ),
        ("POST", CM, {"json": [1]}, 400, "BadRequest"),
        ("POST", CM, {"json": {"metadata": [1]}}, 400, "BadRequest"),
        ("POST", CM, {"json": {"kind": "Pod"}}, 400, "BadRequest"),
        ("POST", CM, {"json": {"metadata": {"name": "c", "namespace": "other"}}}, 400, "BadRequest"),
        ("POST", f"{CM}?dryRun=Some", {"json": {}}, 422, "Invalid"),
        ("POST", f"{CM}?fieldValidation=Hard", {"json": {}}, 422, "Invalid"),
        ("GET", f"{CM}?labelSelector=(", {}, 400, "BadRequest"),
        ("GET", f"{CM}?watch=1&resourceVersion=x", {}, 500, None),
        ("GET", f"{CM}?watch=1&timeoutSeconds=abc", {}, 400, "BadRequest"),
        ("GET", f"{CM}?resourceVersion=x", {}, 400, "BadRequest"),
        ("GET", f"{CM}?resourceVersion=99999999", {}, 504, "Timeout"),
        ("GET", f"{CM}?resourceVersionMatch=Exact", {}, 422, "Invalid"),
        ("GET", f"{CM}?resourceVersion=1&resourceVersionMatch=Near", {}, 422, "Invalid"),
        ("GET", f"{CM}?limit=x", {}, 400, "BadRequest"),
        ("DELETE", f"{CM}/c?gracePeriodSeconds=x", {}, 400, "BadRequest"),
        ("POST", CM, {"data": b" " * (4 << 20)}, 413, "RequestEntityTooLarge"),
        ("GET", "/api/v1/namespaces/default/pods/p/exec", {}, 501, "NotImplemented"),
    ],
)
def test_refusals_are_statuses(
    tmp_path: Path, method: str, path: str, more: Any, code: int, reason: str | None
) -> None:
    async def scenario(to: Connection) -> None:
        status, body, _ = await to.request(method, path, **more)
        assert (status, body["kind"], body["code"], body.get("reason")) == (code, "Status", code, reason)

    run(scenario, tmp_path)


def test_apply_needs_a_field_manager(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        headers = {"Content-Type": "application/apply-patch+yaml"}
        status, body, _ = await to.request("PATCH", f"{CM}/c", data=b"{}", headers=headers)
        assert (status, "fieldManager: Required value" in body["message"]) == (422, True)
        config = b"{apiVersion: v1, kind: ConfigMap, data: {a: 'yaml'}, metadata: {name: c}}"
        status, body, _ = await to.request("PATCH", f"{CM}/c?fieldManager=m", data=config, headers=headers)
        assert (status, body["data"]) == (201, {"a": "yaml"})

    run(scenario, tmp_path)


def test_discovery_in_both_forms(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        _, body, headers = await to.request(
            "GET", "/apis", headers={"Accept": f"{DISCOVERY},application/json"}
        )
        assert headers["Content-Type"] == DISCOVERY
        apps = next(group for group in body["items"] if group["metadata"]["name"] == "apps")
        deployments = next(
            each for each in apps["versions"][0]["resources"] if each["resource"] == "deployments"
        )
        assert {each["subresource"] for each in deployments["subresources"]} == {"scale", "status"}
        _, body, _ = await to.request("GET", "/apis")
        assert body["kind"] == "APIGroupList"
        assert (await to.request("GET", "/api"))[1]["versions"] == ["v1"]
        assert (await to.request("GET", "/apis/apps"))[1]["preferredVersion"]["version"] == "v1"
        names = {each["name"] for each in (await to.request("GET", "/apis/apps/v1"))[1]["resources"]}
        assert {"deployments", "deployments/scale", "replicasets/status"} <= names

    run(scenario, tmp_path)


def test_every_openapi_document_is_closed_and_told_by_its_hash(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        _, index, _ = await to.request("GET", "/openapi/v3")
        for entry in index["paths"].values():
            _, document, _ = await to.request("GET", entry["serverRelativeURL"])
            schemas = document["components"]["schemas"]
            referred = {
                part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]
            }
            assert referred <= set(schemas)

    run(scenario, tmp_path)


def test_large_answers_are_compressed(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        for name in ("one", "two"):
            await to.request("POST", CM, json={"metadata": {"name": name}, "data": {"a": "x" * 100_000}})
        plain = await to.request("GET", CM, headers={"Accept-Encoding": "identity"})
        packed = await to.request("GET", CM, headers={"Accept-Encoding": "gzip"})
        assert int(packed[2]["Content-Length"]) < int(plain[2]["Content-Length"]) / 10
        assert packed[1] == plain[1]

    run(scenario, tmp_path)


def test_partial_metadata_and_warnings(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        _, _, headers = await to.request("POST", CM, json={"metadata": {"name": "c"}, "odd": 1})
        assert headers["Warning"] == '299 - "unknown field \\"odd\\""'
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        _, body, _ = await to.request("GET", CM, headers=accept)
        assert body["kind"] == "PartialObjectMetadataList"
        assert "data" not in body["items"][0]

    run(scenario, tmp_path)


def test_a_watch_answers_at_once_and_then_line_by_line(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        _, listed, _ = await to.request("GET", CM)
        url = to.url(f"{CM}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}")
        async with asyncio.timeout(5), to.session.get(url) as stream:
            assert stream.status == 200
            await to.request("POST", CM, json={"metadata": {"name": "c"}})
            event = json.loads(await stream.content.readline())
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "c")

    run(scenario, tmp_path)


def test_closing_the_server_ends_its_watches_at_once(tmp_path: Path) -> None:
    async def whole() -> None:
        async with connected(tmp_path) as to:
            url = to.url(f"{CM}?watch=1&resourceVersion=0")
            async with asyncio.timeout(3), to.session.get(url) as stream:
                closing = asyncio.create_task(to.server.close())
                assert await stream.content.read() == b""
                await closing

    asyncio.run(whole())


def test_scale_changes_replicas_at_the_version_it_names(tmp_path: Path, api: Any) -> None:
    async def scenario(to: Connection) -> None:
        path = "/apis/apps/v1/namespaces/default/deployments"
        await to.request("POST", path, json=api.deployment())
        _, scale, _ = await to.request("GET", f"{path}/web/scale")
        assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == (
            "Scale",
            {"replicas": 1},
            "app=web",
        )
        scale["spec"]["replicas"] = 4
        assert (await to.request("PUT", f"{path}/web/scale", json=scale))[1]["spec"]["replicas"] == 4
        assert (await to.request("PUT", f"{path}/web/scale", json=scale))[0] == 409
        scale["metadata"].pop("resourceVersion")
        scale["spec"]["replicas"] = -1
        assert (await to.request("PUT", f"{path}/web/scale", json=scale))[0] == 422
        scale["spec"]["replicas"] = "two"
        code, refusal, _ = await to.request("PUT", f"{path}/web/scale", json=scale)
        assert (code, "cannot unmarshal string into Go struct field" in refusal["message"]) == (400, True)

    run(scenario, tmp_path)


def test_a_service_account_gets_a_token_that_works_until_it_goes(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await to.request("POST", accounts, json={"metadata": {"name": "bob"}})
        code, answer, _ = await to.request(
            "POST", f"{accounts}/bob/token", json={"spec": {"expirationSeconds": 600}}
        )
        assert code == 201
        headers = {"Authorization": f"Bearer {answer['status']['token']}"}
        code, refusal, _ = await to.request("GET", CM, headers=headers)
        assert (code, refusal["reason"]) == (403, "Forbidden")
        assert (await to.request("GET", CM, headers=headers | {"Impersonate-User": "sandbox-admin"}))[
            0
        ] == 403
        await to.request("DELETE", f"{accounts}/bob")
        assert (await to.request("GET", CM, headers=headers))[0] == 401

    run(scenario, tmp_path)


def test_logs_of_the_container_meant(tmp_path: Path) -> None:
    def logs(pod: Any, container: str, tail: int | None, *, previous: bool) -> str:
        return f"{container} {tail}\n"

    async def scenario(to: Connection) -> None:
        containers = [{"name": name, "image": "i"} for name in "ab"]
        await to.server.client.create("pods", {"metadata": {"name": "p"}, "spec": {"containers": containers}})
        path = "/api/v1/namespaces/default/pods/p/log"
        code, refusal, _ = await to.request("GET", path)
        assert (code, "choose one of: [a b]" in refusal["message"]) == (400, True)
        assert (await to.request("GET", f"{path}?container=b&tailLines=5"))[1] == "b 5\n"
        assert (await to.request("GET", f"{path}?container=z"))[0] == 400

    run(scenario, tmp_path, logs=logs)


def test_a_followed_log_ends_with_its_container(tmp_path: Path) -> None:
    lines = ["one\n"]

    def status(**state: Any) -> dict[str, Any]:
        each = {"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": state}
        return {"phase": "Running", "containerStatuses": [{**each, "containerID": "meshkit://1"}]}

    async def scenario(to: Connection) -> None:
        client = to.server.client
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await client.create("pods", pod)
        await client.update_status("pods", "p", None, status(running={"startedAt": "2026-01-01T00:00:00Z"}))
        url = to.url("/api/v1/namespaces/default/pods/p/log?follow=true")
        async with asyncio.timeout(5), to.session.get(url) as stream:
            assert await stream.content.readline() == b"one\n"
            lines.append("two\n")
            assert await stream.content.readline() == b"two\n"
            lines.append("three\n")
            await client.update_status("pods", "p", None, status(terminated={"exitCode": 0}))
            assert await stream.content.read() == b"three\n"

    def logs(pod: Any, container: str, tail: int | None, *, previous: bool) -> str:
        return "".join(lines)

    run(scenario, tmp_path, logs=logs)


def test_the_python_client_is_told_when_its_version_is_too_old_and_lists_again(tmp_path: Path) -> None:
    def follow(kubeconfig: Path) -> str:
        with config.new_client_from_config(config_file=str(kubeconfig)) as connection:
            core = client.CoreV1Api(connection)
            with pytest.raises(ApiException, match="too old resource version") as refused:
                list(watch.Watch().stream(core.list_namespaced_config_map, "default", resource_version="1"))
            assert refused.value.status == 410
            return str(core.list_namespaced_config_map("default").items[-1].metadata.name)

    async def scenario(to: Connection) -> None:
        to.server._store._keep = 20
        for number in range(60):
            body = {"metadata": {"name": f"c{number:02}"}}
            assert (await to.request("POST", CM, json=body))[0] == 201
        assert await asyncio.to_thread(follow, to.home.kubeconfig) == "c59"

    run(scenario, tmp_path)
