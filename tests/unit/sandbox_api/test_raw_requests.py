"""Requests that are put together from odd parts are refused; the API server never fails itself."""

from __future__ import annotations

import asyncio
import random
import ssl
from pathlib import Path

import pytest

from tests.unit.sandbox_api.server import CM, Connection, run

FEW, MANY = 150, 4000
PATHS = (
    *("/", "/api", "/apis", "/version", "/openapi/v2", "/openapi/v3/api/v1", "/api/v1/pods", CM, f"{CM}/a"),
    *(f"/api/v1/namespaces/default/pods/p/{each}" for each in ("log", "status", "portforward", "eviction")),
    "/api/v1/namespaces/default/pods/p:80/proxy/x",
    "/apis/apps/v1/namespaces/default/deployments/d/scale",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    "/apis/authentication.k8s.io/v1/tokenreviews",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
)
PARTS = (
    "%00",
    "%ff",
    "%ed%a0%80",
    "..",
    "//",
    "%zz",
    "\xe9",
    "?",
    "#",
    ";",
    "\\",
    "%0d%0a",
    "a" * 300,
    ":",
    "@",
)
PARAMETERS = (
    *("watch", "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "timeoutSeconds"),
    *("dryRun", "fieldManager", "fieldValidation", "force", "tailLines", "ports", "gracePeriodSeconds"),
)
VALUES = (
    "",
    "true",
    "-1",
    "1e9",
    "9" * 400,
    "NaN",
    "0x10",
    "%ff",
    "%00",
    "a in (b",
    "!",
    "1.5",
    "null",
    "1_0",
)
HEADERS = (
    *("Authorization", "Accept", "Impersonate-User", "Impersonate-Group", "Impersonate-Extra-%ff", "Expect"),
    *(
        "Transfer-Encoding",
        "Content-Length",
        "Upgrade",
        "Sec-WebSocket-Protocol",
        "Accept-Encoding",
        "User-Agent",
    ),
)
CONTENTS = (
    *(
        "",
        "*/*",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "gzip",
        "chunked",
        "-1",
        "9" * 30,
        "websocket",
    ),
    *("SPDY/3.1+portforward.k8s.io", "Bearer \xff", "Bearer x.y.z", "system:masters", "a\tb", "x" * 9000),
)
TYPES = (
    *("json", "yaml", "apply-patch+yaml", "json-patch+json", "merge-patch+json"),
    *("strategic-merge-patch+json", "vnd.kubernetes.protobuf"),
)
BODIES = (
    *(
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"\\ud800"',
        b"\xff\xfe",
        b"k8s\x00\x0a\xff",
        b"--- a\n--- b",
        b"a: &a [*a]",
    ),
    *(b'{"metadata":{"name":"\\ud800"}}', b'{"metadata":{"name":1e400}}', b'{"spec":{"replicas":0.5}}'),
    *(
        b'{"spec":{"expirationSeconds":1e20}}',
        b'{"spec":{"token":"\\ud800"}}',
        b'{"spec":{"audiences":["\\ud800"]}}',
    ),
    *(b"[" * 2000 + b"]" * 2000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"metadata: {name: 0o17, x: .inf}"),
    *(b'[{"op":"add","path":"/data/x","value":"\\udfff"}]', b'{"data":{"x":"\\udfff"}}', b"data: {a: 1:30}"),
)


def request(draw: random.Random, token: str) -> bytes:
    """A request that may be right in all but one part."""
    path, body = draw.choice(PATHS), draw.choice(BODIES)
    if draw.random() < 0.15:
        place = draw.randrange(len(path) + 1)
        path = path[:place] + draw.choice(PARTS) + path[place:]
    if draw.random() < 0.5:
        path += "?" + "&".join(f"{draw.choice(PARAMETERS)}={draw.choice(VALUES)}" for _ in range(2))
    lines = [f"{draw.choice(('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'BREW'))} {path} HTTP/1.1", "Host: x"]
    lines += ["Connection: close", f"Content-Length: {len(body)}"]
    lines.append(f"Content-Type: application/{draw.choice(TYPES)}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += [f"{draw.choice(HEADERS)}: {draw.choice(CONTENTS)}" for _ in range(draw.choice((0, 0, 0, 1, 2)))]
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode(draw.choice(("utf-8", "latin-1")), "replace") + body


def send(folder: Path, seed: int, count: int) -> None:
    """Send requests of a stranger and of the administrator by turns."""

    async def scenario(to: Connection) -> None:
        context = ssl.create_default_context(cafile=str(to.home.ca_certificate))
        draw, token = random.Random(seed), to.home.token.read_text()
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await to.server.client.create("pods", pod)
        await to.server.client.create("serviceaccounts", {"metadata": {"name": "default"}})
        await to.server.client.create("configmaps", {"metadata": {"name": "a"}})
        for number in range(count):
            sent = request(draw, token if number % 2 else "")
            reader, writer = await asyncio.open_connection("127.0.0.1", to.server.port, ssl=context)
            writer.write(sent)
            try:
                answer = await asyncio.wait_for(reader.readline(), 0.5)
            except TimeoutError:
                answer = b""  # it waits for more: for another event, or for a body as long as was said
            writer.transport.abort()
            assert not answer.startswith((b"HTTP/1.0 500", b"HTTP/1.1 500")), sent

    run(scenario, folder)


def test_no_request_is_an_internal_error(tmp_path: Path) -> None:
    send(tmp_path, 21, FEW)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_no_request_of_thousands_is_an_internal_error(tmp_path: Path, seed: int) -> None:
    send(tmp_path, seed, MANY)
