"""Admission webhooks, asked over HTTPS with a certificate that is checked."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from meshkit.sandbox.api.admission.webhooks import Webhooks
from meshkit.sandbox.api.auth import credentials
from meshkit.sandbox.api.auth.users import Tokens
from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.schema.registry import Registry
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage.store import Store
from meshkit.sandbox.api.storage.writes import Writes
from meshkit.sandbox.home import SandboxHome

CONFIGURATIONS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
POD = {
    "metadata": {"name": "p", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
ADD_LABEL = [{"op": "add", "path": "/metadata/labels/injected", "value": "yes"}]


class Hook:
    """A webhook server of the test's own; ``answer`` is the response it gives next."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"allowed": True}
        self.delay_s = 0.0
        self.port = 0
        self.authority = ""

    async def handle(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review["request"])
        await asyncio.sleep(self.delay_s)
        return web.json_response({**review, "response": {"uid": review["request"]["uid"], **self.answer}})

    def patches(self, operations: list[dict[str, Any]]) -> None:
        encoded = base64.b64encode(json.dumps(operations).encode()).decode()
        self.answer = {"allowed": True, "patchType": "JSONPatch", "patch": encoded}

    def configuration(self, **webhook: Any) -> dict[str, Any]:
        client = {"url": f"https://127.0.0.1:{self.port}/inject", "caBundle": self.authority}
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        hook = {
            "name": "hook.example.com",
            "clientConfig": client,
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **webhook,
        }
        return {"metadata": {"name": "hooks"}, "webhooks": [hook]}


@asynccontextmanager
async def hooked(folder: Path) -> AsyncIterator[tuple[Hook, LocalClient]]:
    home = SandboxHome(folder / "sandbox")
    credentials.ensure(home)
    hook = Hook()
    hook.authority = base64.b64encode(home.ca_certificate.read_bytes()).decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home.server_certificate, home.server_key)
    app = web.Application()
    app.router.add_post("/inject", hook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    hook.port = runner.addresses[0][1]
    store = Store(":memory:")
    webhooks = Webhooks(store)
    client = LocalClient(Writes(store, Registry(), webhooks), Tokens("t", b"k", lambda *_: None))
    await client.create("namespaces", {"metadata": {"name": "default", "labels": {"inject": "yes"}}})
    yield hook, client
    await webhooks.close()
    await runner.cleanup()
    store.close()


def run(folder: Path, scenario: Callable[[Hook, LocalClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with hooked(folder) as (hook, client):
            await scenario(hook, client)

    asyncio.run(whole())


def test_a_webhook_changes_the_pod_before_it_is_stored(tmp_path: Path) -> None:
    async def scenario(hook: Hook, client: LocalClient) -> None:
        hook.patches(ADD_LABEL)
        await client.create(CONFIGURATIONS, hook.configuration())
        made = await client.create("pods", POD)
        assert made["metadata"]["labels"] == {"app": "web", "injected": "yes"}
        (asked,) = hook.asked
        assert (asked["operation"], asked["namespace"], asked["resource"]["resource"]) == (
            "CREATE",
            "default",
            "pods",
        )
        assert asked["object"]["spec"]["serviceAccountName"] == "default"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "selection",
    [
        {"namespaceSelector": {"matchLabels": {"inject": "no"}}},
        {"objectSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}},
        {
            "rules": [
                {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
            ]
        },
    ],
)
def test_a_webhook_is_not_asked_about_what_it_does_not_select(
    tmp_path: Path, selection: dict[str, Any]
) -> None:
    async def scenario(hook: Hook, client: LocalClient) -> None:
        await client.create(CONFIGURATIONS, hook.configuration(**selection))
        await client.create("pods", POD)
        assert hook.asked == []

    run(tmp_path, scenario)


def test_a_webhook_may_refuse(tmp_path: Path) -> None:
    async def scenario(hook: Hook, client: LocalClient) -> None:
        hook.answer = {"allowed": False, "status": {"message": "not today"}}
        await client.create(CONFIGURATIONS, hook.configuration())
        with pytest.raises(ApiError, match=r'"hook[.]example[.]com" denied the request: not today'):
            await client.create("pods", POD)
        assert await client.get("pods", "p") is None

    run(tmp_path, scenario)


@pytest.mark.parametrize("failure_policy", ["Fail", "Ignore"])
@pytest.mark.parametrize("trouble", ["gone", "slow", "untrusted", "no endpoints"])
def test_a_webhook_that_does_not_answer_meets_its_failure_policy(
    tmp_path: Path, trouble: str, failure_policy: str
) -> None:
    async def scenario(hook: Hook, client: LocalClient) -> None:
        configuration = hook.configuration(failurePolicy=failure_policy, timeoutSeconds=1)
        where = configuration["webhooks"][0]["clientConfig"]
        if trouble == "gone":
            where["url"] = "https://127.0.0.1:1/inject"
        elif trouble == "slow":
            hook.delay_s = 1.5
        elif trouble == "untrusted":
            del where["caBundle"]
        else:
            del where["url"]
            where["service"] = {"namespace": "default", "name": "kubernetes", "path": "/inject"}
        await client.create(CONFIGURATIONS, configuration)
        if failure_policy == "Ignore":
            await client.create("pods", POD)
        else:
            with pytest.raises(ApiError, match=r'failed calling webhook "hook[.]example[.]com"') as refused:
                await client.create("pods", POD)
            assert refused.value.code == 500

    run(tmp_path, scenario)


def test_a_service_is_reached_through_its_ready_pods_under_its_own_name(tmp_path: Path) -> None:
    async def scenario(hook: Hook, client: LocalClient) -> None:
        hook.patches(ADD_LABEL)
        port = {"name": "https", "port": 443, "targetPort": hook.port}
        await client.create("services", {"metadata": {"name": "kubernetes"}, "spec": {"ports": [port]}})
        endpoints = [
            {"addresses": ["127.0.0.9"], "conditions": {"ready": False}},
            {"addresses": ["127.0.0.1"], "conditions": {"ready": True}},
        ]
        labels = {"kubernetes.io/service-name": "kubernetes"}
        await client.create(
            "endpointslices.discovery.k8s.io",
            {
                "metadata": {"name": "kubernetes-1", "labels": labels},
                "addressType": "IPv4",
                "endpoints": endpoints,
                "ports": [{"name": "https", "port": hook.port}],
            },
        )
        service = {"namespace": "default", "name": "kubernetes", "path": "/inject"}
        where = {"service": service, "caBundle": hook.authority}
        await client.create(CONFIGURATIONS, hook.configuration(clientConfig=where))
        made = await client.create("pods", POD)
        assert made["metadata"]["labels"]["injected"] == "yes"

    run(tmp_path, scenario)
