"""What a machine must have before anything is started on it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from meshkit.errors import SandboxError
from meshkit.sandbox import machine
from meshkit.sandbox.node.sidecar import Sidecar
from meshkit.sandbox.proxies import envoy


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


def test_few_inotify_instances_are_told_and_too_few_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "inotify_left", lambda at_most: at_most)
    assert machine.check_inotify() is None
    monkeypatch.setattr(machine, "inotify_left", lambda at_most: 7)
    assert "Only 7 inotify instances are left" in str(machine.check_inotify())
    monkeypatch.setattr(machine, "inotify_left", lambda at_most: 4)
    with pytest.raises(SandboxError, match=r"Only 4 .* takes 5\. .* sudo sysctl"):
        machine.check_inotify()


def test_inotify_instances_are_counted_and_given_back() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    assert machine.inotify_left(3) == 3
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_an_envoy_without_inotify_says_so_in_the_event(tmp_path: Path) -> None:
    """The line is Envoy 1.40's own, from a user with one instance."""
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [{"name": "istio-proxy"}]},
    }
    sidecar = Sidecar(pod, "istio", "127.1.0.1", tmp_path, lambda address: None)
    log = tmp_path / "istio-proxy.log"
    assert sidecar.why_it_ended(log) is None
    log.write_text(
        "[critical][assert] [source/common/filesystem/inotify/watcher_impl.cc:25] "
        "assert failure: inotify_fd_ >= 0. Details: Consider increasing value of ...\n"
    )
    told = sidecar.why_it_ended(log)
    assert told is not None
    assert machine.MORE_INSTANCES in told
