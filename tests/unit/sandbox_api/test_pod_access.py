"""The ways to a pod through the API server, and the tokens of ServiceAccounts and pods."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from meshkit.sandbox.node import agent
from tests.unit.sandbox_api.server import CM, Connection, run


def test_a_pods_proxy_passes_method_body_query_and_answer(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        said = [request.method, request.raw_path, await request.text(), request.headers.get("Authorization")]
        return web.json_response(said, status=202, headers={"x-version": "v1"})

    async def scenario(to: Connection) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await to.server.client.create("pods", pod)
        base = f"/api/v1/namespaces/default/pods/p:{runner.addresses[0][1]}/proxy"
        assert (await to.request("GET", base))[0] == 503
        await to.server.client.update_status("pods", "p", None, {"phase": "Running", "podIP": "127.0.0.1"})
        code, text, headers = await to.request("PUT", f"{base}/-/behaviour?a=%2Fb", data=b"body")
        assert (code, headers["x-version"]) == (202, "v1")
        assert text == ["PUT", "/-/behaviour?a=%2Fb", "body", None]
        assert (await to.request("GET", f"{base}/-%2Fa%3F%20b"))[1][1] == "/-/a%3F%20b"
        assert (await to.request("GET", base))[1] == ["GET", "/", "", None]
        assert (await to.request("GET", base.replace("p:", "missing:")))[0] == 404
        await runner.cleanup()
        assert (await to.request("GET", base))[0] == 503

    run(scenario, tmp_path, address_of=lambda pod, port: f"tcp:127.0.0.1:{port}")


def test_a_pods_proxy_passes_a_stream_on_as_it_comes(tmp_path: Path) -> None:
    async def scenario(to: Connection) -> None:
        more = asyncio.Event()

        async def drip(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse()
            await answer.prepare(request)
            await answer.write(b"first")
            await more.wait()
            await answer.write(b"second")
            return answer

        app = web.Application()
        app.router.add_get("/", drip)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, tmp_path / "pod.sock").start()
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await to.server.client.create("pods", pod)
        await to.server.client.update_status("pods", "p", None, {"phase": "Running", "podIP": "127.9.0.1"})
        path = to.url("/api/v1/namespaces/default/pods/p:80/proxy/")
        async with to.session.get(path) as answer:
            assert await answer.content.readexactly(5) == b"first"
            more.set()
            assert await answer.content.read() == b"second"
        await runner.cleanup()

    run(scenario, tmp_path, address_of=lambda pod, port: f"unix:{tmp_path / 'pod.sock'}")


def test_a_pods_proxy_does_not_follow_the_address_in_a_status(tmp_path: Path) -> None:
    """Otherwise who may write pods/status reaches any server that this machine reaches."""

    async def scenario(to: Connection) -> None:
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await to.server.client.create("pods", pod)
        await to.server.client.update_status("pods", "p", None, {"phase": "Running", "podIP": "127.0.0.1"})
        path = f"/api/v1/namespaces/default/pods/p:{to.server.port}/proxy/version"
        code, refusal, _ = await to.request("GET", path)
        assert (code, "the pod does not run" in refusal["message"]) == (503, True)
        async with asyncio.timeout(5):
            with pytest.raises(OSError, match="the pod does not run"):
                await agent.dial(tmp_path, {**pod, "metadata": {"uid": "u"}}, to.server.port)

    run(scenario, tmp_path, address_of=functools.partial(agent.address_of, tmp_path))


def test_the_address_of_a_pod_is_written_by_its_node_only(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/pods/p/status"
    merge = {"Content-Type": "application/merge-patch+json"}

    async def scenario(to: Connection) -> None:
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await to.server.client.create("pods", pod)
        await to.server.client.update_status("pods", "p", None, {"phase": "Running", "podIP": "127.9.0.1"})
        for forged in ({"podIP": "127.0.0.1"}, {"podIPs": [{"ip": "127.9.0.1"}, {"ip": "10.0.0.1"}]}):
            code, refusal, _ = await to.request("PATCH", path, json={"status": forged}, headers=merge)
            assert (code, "only the pod's node sets its address" in refusal["message"]) == (422, True), (
                refusal
            )
        code, changed, _ = await to.request("PATCH", path, json={"status": {"reason": "x"}}, headers=merge)
        assert (code, changed["status"]["podIP"]) == (200, "127.9.0.1")

    run(scenario, tmp_path)


def test_a_token_request_has_kubernetes_bounds(tmp_path: Path) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"

    async def scenario(to: Connection) -> None:
        async def asked(**spec: Any) -> tuple[int, Any]:
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            code, answer, _ = await to.request("POST", path, json=body)
            return code, answer if code == 201 else answer["message"]

        async def works(token: str) -> int:
            return (await to.request("GET", CM, headers={"Authorization": f"Bearer {token}"}))[0]

        await to.server.client.create("serviceaccounts", {"metadata": {"name": "default"}})
        await to.server.client.create("serviceaccounts", {"metadata": {"name": "other"}})
        await to.server.client.create("pods", pod)
        for lifetime_s, why in (
            (0, "less than 10 minutes"),
            (599, "less than"),
            ((1 << 32) + 1, "larger than 2^32"),
        ):
            code, message = await asked(expirationSeconds=lifetime_s)
            assert (code, why in message) == (422, True), message
        code, answer = await asked(audiences=["vault"])
        assert (code, answer["spec"]["audiences"]) == (201, ["vault"])
        assert await works(answer["status"]["token"]) == 401
        ref = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
        assert (await asked(boundObjectRef={**ref, "name": "q"}))[0] == 404
        assert (await asked(boundObjectRef={**ref, "kind": "Node"}))[0] == 400
        assert (await asked(boundObjectRef={**ref, "uid": "another"}))[0] == 409
        code, answer = await asked(boundObjectRef=ref)
        assert (code, await works(answer["status"]["token"])) == (201, 403)
        await to.server.client.delete("pods", "p", "default", grace_period_s=0)
        assert await works(answer["status"]["token"]) == 401

    run(scenario, tmp_path)
