"""What a machine must have before anything is started on it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from meshkit.errors import SandboxError
from meshkit.sandbox import machine
from meshkit.sandbox.dataplane import envoy


def test_another_platform_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(SandboxError, match="does not run on Darwin"):
        machine.check_machine()


@pytest.mark.parametrize("library", [("glibc", "2.28"), ("", "")])
def test_an_old_or_other_c_library_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, library: tuple[str, str]
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    with pytest.raises(SandboxError, match=r"glibc 2\.31 or later"):
        machine.check_machine()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NEEDED", ("aiohttp", "no_such_package"))
    with pytest.raises(SandboxError, match=r"no_such_package.*pip install"):
        machine.check_machine()


def test_a_missing_envoy_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SandboxError, match="Envoy"):
        envoy.binary()


def test_a_machine_without_an_inotify_instance_is_refused() -> None:
    """In a process of its own, whose limit of open files stands in for the user's limit of instances."""
    script = (
        "import os, resource\n"
        "from meshkit.sandbox import machine\n"
        "machine.check_inotify()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) - 1,) * 2)\n"
        "try:\n"
        "    machine.check_inotify()\n"
        "except machine.SandboxError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "no inotify instance left" in done.stdout
    assert "sudo sysctl" in done.stdout
