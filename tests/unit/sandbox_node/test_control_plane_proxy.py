"""The proxy of a pod of Linkerd's control plane: what would configure it is the pod that it belongs to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.control_planes.registry import DATA_PLANES
from meshkit.sandbox.node import sidecar
from meshkit.sandbox.node.environment import listen_addresses
from meshkit.sandbox.node.sidecar import Sidecar


def pod(**labels: str) -> dict[str, Any]:
    proxy = {"name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:edge", "restartPolicy": "Always"}
    web = {"name": "web", "image": "web", "ports": [{"containerPort": 8443}]}
    meta = {"name": "p", "namespace": "linkerd", "uid": "u-1", "labels": labels}
    return {"metadata": meta, "spec": {"initContainers": [proxy], "containers": [web]}}


OWN = pod(**{"linkerd.io/control-plane-component": "destination"})


@pytest.mark.parametrize(("found", "ready"), [(OWN, True), (pod(), False)])
def test_it_is_ready_before_it_has_a_configuration(
    found: dict[str, Any], ready: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(address: str, path: str) -> int:
        return 200

    monkeypatch.setattr(sidecar, "http_status", answers)
    proxy: Any = Sidecar(found, DATA_PLANES["linkerd"], "127.7.0.1", tmp_path, lambda _: None, None)  # type: ignore[arg-type]
    assert asyncio.run(proxy.is_ready()) is ready
    pages = [asyncio.run(proxy._page_at(path))[0] for path in ("/live", "/ready", "/nothing")]
    assert [page.partition(" ")[0] for page in pages] == ["200", "200" if ready else "503", "404"]


def test_its_ports_stay_those_of_the_program() -> None:
    assert listen_addresses(OWN, "127.7.0.1", Path("/d")) == {8443: "tcp:127.7.0.1:8443"}
    assert listen_addresses(pod(), "127.7.0.1", Path("/d")) == {8443: "unix:/d/app-8443.sock"}


def test_it_says_whose_it_is_and_whom_it_was_told_to_trust(tmp_path: Path) -> None:
    proxy = Sidecar(OWN, DATA_PLANES["linkerd"], "127.7.0.1", tmp_path, lambda _: None, None)  # type: ignore[arg-type]
    proxy.write_proxy_info({"LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS": "roots", "KEY": "s3cret"})
    assert json.loads((tmp_path / "proxy.json").read_text()) == {"mesh": "linkerd", "roots": "roots"}


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\n", b"\r\n\r\n", b"x" * 200_000])
def test_its_page_ends_a_request_that_is_none(
    sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar, "REQUEST_TIMEOUT_S", 0.2)
    proxy = Sidecar(OWN, DATA_PLANES["linkerd"], "127.7.0.1", tmp_path, lambda _: None, None)  # type: ignore[arg-type]

    async def answer() -> bytes:
        async with await asyncio.start_server(proxy._answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            try:
                return await asyncio.wait_for(reader.read(), 10)
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

    assert asyncio.run(answer()).partition(b"\r\n")[0] in (b"", b"HTTP/1.1 404 Not Found")
