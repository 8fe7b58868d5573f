"""The commands for this machine: what ``doctor`` finds, and how ``lab`` opens the browser."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from meshkit.cli.app import cli
from meshkit.cli.local import lab
from meshkit.cli.local.lab import Lab
from meshkit.runbooks.catalogue import shipped_folder
from meshkit.sandbox import neighbours

PROGRAMS = {
    "kubectl": "echo 'Client Version: v1.36.1'; echo 'Kustomize Version: v5.8.0'",
    "helm": "echo v4.0.1+g12500dd",
    "istioctl": "echo 'client version: 1.31.4'",
    "linkerd": "echo edge-26.6.3",
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MESHKIT_HELM", raising=False)
    return tmp_path


def add(path: Path, name: str, script: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod(0o755)


def doctor() -> dict[str, str]:
    """The line of each row, by its name."""
    text = CliRunner().invoke(cli, ["doctor"]).output
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines()}


def test_doctor_names_programs_with_their_versions(path: Path) -> None:
    for name, script in PROGRAMS.items():
        add(path, name, script)
    found = doctor()
    assert found["kubectl"] == f"ok v1.36.1, {path}/kubectl"
    assert found["helm"] == f"ok v4.0.1+g12500dd, {path}/helm"
    assert found["istioctl"] == f"ok 1.31.4, {path}/istioctl"
    assert found["linkerd"] == f"ok edge-26.6.3, {path}/linkerd"


def test_doctor_says_what_a_missing_or_broken_program_is_needed_for(path: Path) -> None:
    add(path, "linkerd", "echo broken >&2; exit 3")
    found = doctor()
    assert found["helm"].startswith("optional not found; required to install charts")
    assert found["kubectl"] == "optional not found; not required"
    assert found["linkerd"] == f"ok does not tell its version (exit 3), {path}/linkerd"


@pytest.mark.parametrize(
    ("running", "accounts", "row"),
    [
        ([], [], "ok no other user has a process or an account on this machine"),
        (
            ["eve"],
            ["eve", "bob"],
            "warning others have processes here and can call the ports of a sandbox's pods",
        ),
        (
            [],
            list("abcdefg"),
            "warning others can log in here and call the ports of a sandbox's pods",
        ),
    ],
)
def test_doctor_says_who_else_can_reach_the_ports_of_a_sandbox(
    monkeypatch: pytest.MonkeyPatch, running: list[str], accounts: list[str], row: str
) -> None:
    monkeypatch.setattr(neighbours, "with_processes", lambda: running)
    monkeypatch.setattr(neighbours, "with_accounts", lambda: accounts)
    assert doctor()["users"].startswith(row)
    assert ("a, b, c, d, e and 2 others" in doctor()["users"]) == (len(accounts) > 5)


def test_people_are_counted_and_services_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = {"1": 0, "20": 101, "300": 65534, "4000": 1000, "50": 4242, "6": 4343, "self": 4444}
    for name in uids:
        (tmp_path / name).mkdir()

    class Found:
        def __init__(self, uid: int) -> None:
            self.st_uid = uid

    monkeypatch.setattr(Path, "stat", lambda path, **_: Found(uids[path.name]))
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert neighbours.with_processes(tmp_path) == ["4242", "4343"]
    entries = [("root", 0, "/bin/bash"), ("me", 1000, "/bin/bash"), ("eve", 1001, "/bin/zsh")]
    entries += [
        ("sync", 1002, "/bin/sync"),
        ("mail", 1003, "/usr/sbin/nologin"),
        ("nobody", 65534, "/bin/sh"),
    ]
    accounts = [pwd.struct_passwd((name, "x", uid, uid, "", "/", shell)) for name, uid, shell in entries]
    monkeypatch.setattr(pwd, "getpwall", lambda: accounts)
    assert neighbours.with_accounts() == ["eve"]


def test_lab_opens_a_private_file_so_that_no_command_line_has_the_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = "http://127.0.0.1:8888/lab?token=secret&x=1"

    @contextlib.contextmanager
    def running(folder: Path) -> Iterator[Lab]:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            yield Lab(process, url, lab._write_page(tmp_path, url))

    opened: list[str] = []
    monkeypatch.setattr(lab, "running_lab", running)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert CliRunner().invoke(cli, ["lab", "--no-sandbox"]).exit_code == 0
    (address,) = opened
    assert "secret" not in address
    assert address == (tmp_path / "open.html").as_uri()
    assert "token=secret&amp;x=1" in (tmp_path / "open.html").read_text()


def test_lab_opens_copies_so_that_a_notebook_that_is_run_changes_no_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path))
    shipped = shipped_folder("notebooks")
    folder = lab.own_notebooks()
    assert folder.is_relative_to(tmp_path)
    assert {one.name for one in folder.iterdir()} == {one.name for one in shipped.glob("*.ipynb")}

    copy = folder / lab.START
    copy.write_text("edited")
    lab.own_notebooks()
    assert copy.read_text() == "edited"

    os.utime(copy, (0, 0))  # as after an update of meshkit
    lab.own_notebooks()
    assert copy.read_text() == (shipped / lab.START).read_text()
    assert copy.with_suffix(".old.ipynb").read_text() == "edited"
