"""``meshkit doctor``: what of meshkit can run on this machine, and what to install for the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import click

from meshkit.cli.output import columns, json_option, show


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at. ``optional`` things that are missing are no error."""

    name: str
    state: Literal["ok", "missing", "optional"]
    detail: str


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Say what can run here and what is missing. Exit code 1: something that is needed is missing."""
    found = [_python(), _machine(), *_extras(), _kubectl(), _files(), _sandbox()]
    text = columns(("what", "state", "detail"), [(d.name, d.state, d.detail) for d in found])
    show([asdict(d) for d in found], text, as_json=as_json)
    return 1 if any(d.state == "missing" for d in found) else 0


def _python() -> Diagnosis:
    good = sys.version_info >= (3, 11)
    detail = platform.python_version() + ("" if good else ": 3.11 or later is needed")
    return Diagnosis("python", "ok" if good else "missing", detail)


def _machine() -> Diagnosis:
    library, version = platform.libc_ver()
    detail = f"{platform.system()} {platform.machine()}, {library} {version}, {os.cpu_count()} processors"
    return Diagnosis("machine", "ok", detail)


def _extras() -> list[Diagnosis]:
    modules = {
        "sandbox": ("aiohttp", "cryptography", "envoy", "httptools", "uvloop"),
        "lab": ("anywidget", "jupyterlab"),
    }
    found = []
    for extra, names in modules.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        detail = f"missing: {', '.join(missing)}; pip install 'meshkit[{extra}]'" if missing else "installed"
        found.append(Diagnosis(f"extra {extra}", "optional" if missing else "ok", detail))
    return found


def _kubectl() -> Diagnosis:
    path = shutil.which("kubectl")
    return Diagnosis("kubectl", "ok" if path else "optional", path or "not found; meshkit does not need it")


def _files() -> Diagnosis:
    from meshkit.settings import home

    return Diagnosis("files", "ok", f"{home()} ($MESHKIT_HOME)")


def _sandbox() -> Diagnosis:
    """Whether the sandbox can run here, asked of the sandbox itself."""
    from meshkit.errors import SandboxError
    from meshkit.sandbox.machine import check_inotify, check_machine

    try:
        check_machine()
        check_inotify()
    except SandboxError as error:
        return Diagnosis("sandbox", "optional", str(error))
    return Diagnosis("sandbox", "ok", "can run here")
