"""What ``up`` refuses before anything is started, and whom a daemon's record is taken for."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from pathlib import Path

import pytest

from meshkit.errors import SandboxError
from meshkit.sandbox import lifecycle
from meshkit.sandbox.daemon import choose_port
from meshkit.sandbox.home import SandboxHome
from meshkit.sandbox.proxies import envoy


def test_another_platform_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(SandboxError, match="does not run on Darwin"):
        lifecycle.check_machine()


@pytest.mark.parametrize("library", [("glibc", "2.28"), ("", "")])
def test_an_old_or_other_c_library_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, library: tuple[str, str]
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    with pytest.raises(SandboxError, match=r"glibc 2\.31 or later"):
        lifecycle.check_machine()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "NEEDED", ("aiohttp", "no_such_package"))
    with pytest.raises(SandboxError, match=r"no_such_package.*pip install"):
        lifecycle.check_machine()


def test_a_missing_envoy_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SandboxError, match="Envoy"):
        envoy.binary()


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
