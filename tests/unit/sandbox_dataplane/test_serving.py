"""The ports of a control plane's pods, to which every user of the machine can connect."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from meshkit.sandbox.api.http import idle
from meshkit.sandbox.control_planes import serving


@pytest.mark.parametrize("sent", [b"", b"POST /inject HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_on_which_no_whole_request_comes_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "IDLE_S", 0.3)

    async def slowly(request: web.Request) -> web.Response:
        await asyncio.sleep(1.0)
        return web.Response(text="ok")

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        application = web.Application()
        application.router.add_get("/slow", slowly)
        await serving.serve(application, "127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        waiting, asking = await asyncio.open_connection("127.0.0.1", port)
        asking.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            assert await waiting.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        asking.close()

    asyncio.run(scenario())
