"""The control API of a workload is the user's own on the sandbox."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import uvloop

from meshkit.sandbox.node.probes import http_status
from meshkit.sandbox.workloads.control import serve_control
from meshkit.sandbox.workloads.http1 import Request, Response

PORT = 9000


async def control(request: Request) -> Response:
    return Response(200, b"{}")


def statuses(addresses: list[str]) -> list[int]:
    """What ``/healthz`` and the control API answer at each address."""

    async def asked() -> list[int]:
        servers = await serve_control(control, PORT)
        found = [await http_status(each, path) for each in addresses for path in ("/healthz", "/-/rate")]
        await asyncio.gather(*(server.drain(0.0) for server in servers))
        return found

    return uvloop.run(asked())


def test_on_the_sandbox_the_port_tells_the_health_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = f"unix:{tmp_path / 'port.sock'}"
    monkeypatch.setenv("MESHKIT_LISTEN", json.dumps({str(PORT): port}))
    monkeypatch.setenv("MESHKIT_CONTROL", f"unix:{tmp_path / 'ctl-{port}.sock'}")
    assert statuses([port, f"unix:{tmp_path / 'ctl-9000.sock'}"]) == [200, 403, 200, 200]


def test_on_a_cluster_the_port_serves_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = f"unix:{tmp_path / 'port.sock'}"
    monkeypatch.setenv("MESHKIT_LISTEN", json.dumps({str(PORT): port}))
    monkeypatch.delenv("MESHKIT_CONTROL", raising=False)
    assert statuses([port]) == [200, 200]
