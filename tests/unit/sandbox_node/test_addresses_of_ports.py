"""To which socket or address the API server goes for a port of a pod."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.node import agent


def pod(*, sidecar: bool = False, **annotations: str) -> dict[str, Any]:
    app = {"name": "app", "ports": [{"containerPort": 8080}, {"containerPort": 9000}]}
    containers = [app, *([{"name": "istio-proxy"}] if sidecar else [])]
    meta = {"name": "p", "namespace": "shop", "uid": "u", "annotations": annotations}
    return {"metadata": meta, "spec": {"containers": containers}, "status": {"podIP": "127.0.0.1"}}


EXCLUDED = {"traffic.sidecar.istio.io/excludeInboundPorts": "9000"}


async def served(run: Path, *names: str) -> list[asyncio.Server]:
    """A server that says its name, at each of a pod's sockets."""
    (run / "u").mkdir()
    (run / "u" / "address").write_text("127.9.0.1")
    servers = []
    for name in names:

        async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
            writer.write(name.encode())
            writer.close()

        servers.append(await asyncio.start_unix_server(say, run / "u" / name))
    return servers


@pytest.mark.parametrize(
    ("found", "port", "address"),
    [
        (pod(), 9000, "unix:{run}/u/ctl-9000.sock"),
        (pod(), 8080, "tcp:127.9.0.1:8080"),
        (pod(sidecar=True), 9000, "tcp:127.9.0.1:9000"),
        (pod(sidecar=True, **EXCLUDED), 9000, "unix:{run}/u/ctl-9000.sock"),
        (pod(sidecar=True), 15000, "tcp:127.9.0.1:15000"),
    ],
    ids=["control", "data", "captured", "excluded", "proxy"],
)
def test_a_proxied_request_goes_where_it_would_on_a_cluster(
    tmp_path: Path, found: dict[str, Any], port: int, address: str
) -> None:
    async def asked() -> str:
        servers = await served(tmp_path, "ctl-9000.sock", "admin.sock")
        told = agent.address_of(tmp_path, found, port)
        for server in servers:
            server.close()
        return told

    assert asyncio.run(asked()) == address.format(run=tmp_path)


@pytest.mark.parametrize(
    ("port", "name"), [(9000, "ctl-9000.sock"), (8080, "app-8080.sock"), (15000, "admin.sock")]
)
def test_a_forwarded_port_leads_behind_the_proxy(tmp_path: Path, port: int, name: str) -> None:
    async def asked() -> str:
        servers = await served(tmp_path, "ctl-9000.sock", "app-8080.sock", "admin.sock")
        reader, writer = await agent.dial(tmp_path, pod(sidecar=True), port)
        said = (await reader.read()).decode()
        writer.close()
        for server in servers:
            server.close()
        return said

    assert asyncio.run(asked()) == name


def test_a_pod_that_does_not_run_is_not_reached(tmp_path: Path) -> None:
    """The address in its status may lead to any program of the machine."""
    with pytest.raises(OSError, match="the pod does not run"):
        agent.address_of(tmp_path, pod(), 8080)
    with pytest.raises(OSError, match="the pod does not run"):
        asyncio.run(agent.dial(tmp_path, pod(), 8080))
