"""pods/portforward by the real kubectl and the Python client, to a program that answers on loopback."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.api.http import spdy
from meshkit.sandbox.api.http.port_forward import TUNNEL, Connection
from tests.unit.sandbox_api.server import Connection as Server
from tests.unit.sandbox_api.server import run

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
PATH = "/api/v1/namespaces/default/pods/p/portforward"
PORT = 8080
BIG = bytes(range(256)) * 20_000


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and after its end one line more."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write(b"end\n")
        await writer.drain()
    finally:  # also where the loop ends first: a socket that is collected later fails another test
        writer.close()


async def dial(pod: Any, port: int) -> Connection:
    assert pod["metadata"]["name"] == "p"
    if port != PORT:
        raise ConnectionRefusedError("connection refused")
    return await asyncio.open_connection("127.0.0.1", _LISTENS[0])


_LISTENS: list[int] = []


def with_pod(scenario: Callable[[Server], Awaitable[None]], folder: Path) -> None:
    async def whole(to: Server) -> None:
        await to.server.client.create("pods", POD)
        await to.server.client.update_status("pods", "p", None, {"phase": "Running", "podIP": "127.0.0.1"})
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as listening:
            _LISTENS[:] = [listening.sockets[0].getsockname()[1]]
            await scenario(to)

    run(whole, folder, dial=dial)


@asynccontextmanager
async def kubectl(to: Server, port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """``kubectl port-forward`` to a port of the pod, and the local port it chose."""
    program = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert program
    process = await asyncio.create_subprocess_exec(
        *(program, "--kubeconfig", str(to.home.kubeconfig), "port-forward", "pod/p", f":{port}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    said = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    found = re.search(r"127\.0\.0\.1:(\d+) ->", said)
    assert found, said
    try:
        yield process, int(found[1])
    finally:
        if process.returncode is None:  # kubectl ends by itself where nothing listens
            process.terminate()
        await process.communicate()


def test_kubectl_carries_connections_both_ways_and_their_ends(tmp_path: Path) -> None:
    async def scenario(to: Server) -> None:
        async with kubectl(to, PORT) as (_, local):

            async def call(content: bytes) -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                writer.write(content)
                writer.write_eof()
                answer = await asyncio.wait_for(reader.read(-1), 60)
                writer.close()
                return answer

            assert await asyncio.gather(*(call(b"%d" % i) for i in range(5))) == [
                b"%dend\n" % i for i in range(5)
            ]
            assert await call(BIG) == BIG + b"end\n"

    with_pod(scenario, tmp_path)


def test_kubectl_is_told_that_nothing_listens(tmp_path: Path) -> None:
    async def scenario(to: Server) -> None:
        async with kubectl(to, 81) as (process, local):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            assert await asyncio.wait_for(reader.read(-1), 60) == b""
            writer.close()
            assert process.stderr
            said = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
            assert "port 81 of pod p: connection refused" in said

    with_pod(scenario, tmp_path)


def test_the_python_client_reaches_a_port(tmp_path: Path) -> None:
    def call(kubeconfig: str) -> tuple[bytes, str | None]:
        from kubernetes import client, config
        from kubernetes.stream import portforward

        api = client.CoreV1Api(config.new_client_from_config(kubeconfig))  # type: ignore[no-untyped-call]
        forward = portforward(api.connect_get_namespaced_pod_portforward, "p", "default", ports=f"{PORT},81")
        socket = forward.socket(PORT)
        socket.settimeout(60)
        socket.sendall(b"hello")
        answer = socket.recv(5)
        socket.close()
        while not (error := forward.error(81)):
            pass
        return answer, error

    async def scenario(to: Server) -> None:
        answer, error = await asyncio.to_thread(call, str(to.home.kubeconfig))
        assert answer == b"hello"
        assert error == "port 81 of pod p: connection refused"

    with_pod(scenario, tmp_path)


@pytest.mark.parametrize(
    ("query", "headers", "said"),
    [
        ("", {}, "Upgrade request required"),
        ("", {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, "not over SPDY/3.1"),
        ("?ports=80,x", {"Sec-WebSocket-Protocol": "v4.channel.k8s.io"}, "port 'x' must be a number"),
        ("", {"Sec-WebSocket-Protocol": "v4.channel.k8s.io"}, '"ports" is required'),
        ("", {"Sec-WebSocket-Protocol": "v9"}, "not by ['v9']"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, query: str, headers: dict[str, str], said: str
) -> None:
    async def scenario(to: Server) -> None:
        if "Sec-WebSocket-Protocol" in headers:
            headers.update({"Connection": "Upgrade", "Upgrade": "websocket"})
        code, answer, _ = await to.request("GET", PATH + query, headers=headers)
        assert code == 400
        assert said in answer["message"]

    with_pod(scenario, tmp_path)


def test_a_websocket_needs_the_right_to_create_too(tmp_path: Path) -> None:
    """As in kube-apiserver since 1.35: reading a pod's ports is no reading."""

    async def scenario(to: Server) -> None:
        rules = [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get"]}]
        await to.server.client.create(
            "roles.rbac.authorization.k8s.io", {"metadata": {"name": "r"}, "rules": rules}
        )
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
        subjects = [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]
        binding = {"metadata": {"name": "b"}, "roleRef": ref, "subjects": subjects}
        await to.server.client.create("rolebindings.rbac.authorization.k8s.io", binding)
        code, answer, _ = await to.request("GET", PATH, headers={"Impersonate-User": "eve"})
        assert code == 403
        assert "cannot create" in answer["message"]

    with_pod(scenario, tmp_path)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x80\x02\x00\x01\x00\x00\x00\x00",
        b"\x80\x03\x00\x01\x00\x00\x00\x0a" + b"\x00" * 10,
        b"\x80\x03\x00\x01\x00\x00\x00\x12" + b"\x00" * 18,
        b"\x00\x00\x00\x01\x00\xff\xff\xff",
    ],
    ids=["http", "version", "no headers", "not compressed", "too long"],
)
def test_what_is_no_spdy_ends_the_connection(tmp_path: Path, sent: bytes) -> None:
    async def scenario(to: Server) -> None:
        async with to.session.ws_connect(to.url(PATH), protocols=(TUNNEL,)) as socket:
            await socket.send_bytes(sent)
            assert (await socket.receive(timeout=60)).data == 1002

    with_pod(scenario, tmp_path)


class Kubectl:
    """The client's side of a tunnel, frame by frame."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy._DICTIONARY)

    def opening(self, stream: int, kind: str, port: str) -> bytes:
        pairs = {"streamtype": kind, "port": port, "requestid": "1"}
        texts = [text.encode() for pair in pairs.items() for text in pair]
        block = len(pairs).to_bytes(4, "big") + b"".join(len(t).to_bytes(4, "big") + t for t in texts)
        block = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        head = b"\x80\x03\x00\x01" + (len(block) + 10).to_bytes(4, "big")
        return head + stream.to_bytes(4, "big") + b"\x00" * 6 + block


def test_a_connection_that_the_client_gives_up_ends_its_error_too(tmp_path: Path) -> None:
    """kubectl waits for the end of the error, and a tunnel would be full of them after some hundred."""

    async def scenario(to: Server) -> None:
        client = Kubectl()
        async with to.session.ws_connect(to.url(PATH), protocols=(TUNNEL,)) as socket:
            for stream, kind in ((1, "error"), (3, "data")):
                await socket.send_bytes(client.opening(stream, kind, str(PORT)))
                assert (await socket.receive(timeout=60)).data[:4] == b"\x80\x03\x00\x02"
            await socket.send_bytes(b"\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x03\x00\x00\x00\x05")
            assert (await socket.receive(timeout=60)).data == spdy.data(1, b"", ended=True)

    with_pod(scenario, tmp_path)


@pytest.mark.parametrize("port", ["0", "65536", "9" * 5000, "x"])
def test_a_stream_for_what_is_no_port_ends_the_tunnel(tmp_path: Path, port: str) -> None:
    async def scenario(to: Server) -> None:
        async with to.session.ws_connect(to.url(PATH), protocols=(TUNNEL,)) as socket:
            await socket.send_bytes(Kubectl().opening(1, "data", port))
            assert (await socket.receive(timeout=60)).data == 1002

    with_pod(scenario, tmp_path)


def test_headers_that_expand_are_bounded() -> None:
    deflate = zlib.compressobj(zdict=spdy._DICTIONARY)
    block = deflate.compress(b"\x00" * (spdy.MAX_HEADER_BYTES + 1)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    frame = b"\x80\x03\x00\x01" + (len(block) + 10).to_bytes(4, "big") + b"\x00" * 10 + block
    with pytest.raises(spdy.ProtocolError, match="exceed"):
        list(spdy.Framing().feed(frame))
