"""Homes and ports that ``up`` refuses, and records of a daemon that belong to another process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from pathlib import Path

import pytest

from meshkit.errors import SandboxError
from meshkit.sandbox import lifecycle
from meshkit.sandbox.daemon import choose_port, serve_api
from meshkit.sandbox.home import SandboxHome


def test_the_home_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(lifecycle, "_LONGEST_SOCKET", "")
    with pytest.raises(SandboxError, match="belongs to another user"):
        lifecycle.up(SandboxHome(tmp_path))


def test_a_record_counts_only_for_the_process_that_wrote_it(tmp_path: Path) -> None:
    home = SandboxHome(tmp_path)
    me = {"pid": os.getpid(), "start_ticks": lifecycle.start_ticks(os.getpid()), "port": 1, "net": 1}
    for record, expected in ((me, True), (me | {"start_ticks": 1}, False), (me | {"pid": 2**22 + 1}, False)):
        home.daemon.write_text(json.dumps(record))
        assert (lifecycle.running(home) is not None) is expected
    home.daemon.write_text("{half a rec")
    assert lifecycle.running(home) is None


def test_down_without_a_sandbox_does_nothing(tmp_path: Path) -> None:
    assert not lifecycle.down(SandboxHome(tmp_path))
    assert not lifecycle.status(SandboxHome(tmp_path)).running


def test_a_taken_port_is_avoided_unless_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        assert choose_port(None, port) != port
        with pytest.raises(SandboxError, match=f"Port {port}"):
            choose_port(port, None)
    with pytest.raises(SandboxError, match="Port 99999"):
        choose_port(99999, None)


@pytest.mark.parametrize("insist", [True, False])
def test_a_port_taken_since_it_was_looked_at_ends_only_who_insists_on_it(
    insist: bool, tmp_path: Path
) -> None:
    """Two sandboxes that start at the same time both find the first port free."""

    async def serve_there(port: int) -> int:
        home = SandboxHome(tmp_path)
        server = await serve_api(home, port, insist=insist)
        found = server.port
        await server.close()
        return found

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        if insist:
            with pytest.raises(SandboxError, match=f"cannot use port {port} of"):
                asyncio.run(serve_there(port))
        else:
            assert asyncio.run(serve_there(port)) != port


def test_a_port_that_another_listens_on_first_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With port reuse both can bind it; the second fails only when it listens."""
    home, listen = SandboxHome(tmp_path), socket.socket.listen

    async def serve_there(port: int) -> int:
        server = await serve_api(home, port, insist=False)
        found = server.port
        await server.close()
        return found

    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))

        def listen_second(own: socket.socket, *backlog: int) -> None:
            listen(rival, 1)
            listen(own, *backlog)

        monkeypatch.setattr(socket.socket, "listen", listen_second)
        port = rival.getsockname()[1]
        assert asyncio.run(serve_there(port)) != port


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("store.db", b"no database" * 1000, r"store .*store\.db cannot be read: file is not a database"),
        ("token", b"", "keys in .* cannot be used: token is too short"),
        ("ca.key", b"x", "keys in .* cannot be used: Unable to load PEM"),
        ("run", b"", "cannot keep its files in .*: .*File exists"),
    ],
)
def test_a_damaged_home_is_one_sentence(name: str, content: bytes, said: str) -> None:
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        home = SandboxHome(Path(folder) / "sandbox")
        home.path.mkdir(mode=0o700)
        if name == "ca.key":
            home.ca_certificate.write_bytes(content)
        (home.path / name).write_bytes(content)
        with pytest.raises(SandboxError, match=said):
            lifecycle.up(home)
        assert lifecycle.running(home) is None
        assert (home.path / name).read_bytes() == content
