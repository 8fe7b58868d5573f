"""Environment diagnosis: ``meshkit doctor`` lists what can run on this machine and what is missing."""

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
    """The result of one check of the environment; a missing ``optional`` item is not an error."""

    name: str
    state: Literal["ok", "missing", "optional"]
    detail: str


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check which parts of meshkit can run on this machine, and what is missing.

    Exit code 1: something that is required is missing.

    Example: meshkit doctor
    """
    diagnoses = [_python(), _machine(), *_extras(), _kubectl(), _files(), _sandbox()]
    text = columns(("what", "state", "detail"), [(d.name, d.state, d.detail) for d in diagnoses])
    show([asdict(d) for d in diagnoses], text, as_json=as_json)
    return 1 if any(d.state == "missing" for d in diagnoses) else 0


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
    diagnoses = []
    for extra, names in modules.items():
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        detail = f"missing: {', '.join(missing)}; pip install 'meshkit[{extra}]'" if missing else "installed"
        diagnoses.append(Diagnosis(f"extra {extra}", "optional" if missing else "ok", detail))
    return diagnoses


def _kubectl() -> Diagnosis:
    path = shutil.which("kubectl")
    return Diagnosis("kubectl", "ok" if path else "optional", path or "not found; not required")


def _files() -> Diagnosis:
    from meshkit.settings import home

    return Diagnosis("files", "ok", f"{home()} ($MESHKIT_HOME)")


def _sandbox() -> Diagnosis:
    """Ask the sandbox module whether the sandbox can run on this machine."""
    from meshkit.errors import SandboxError
    from meshkit.sandbox.machine import check_inotify, check_machine

    try:
        check_machine()
        check_inotify()
    except SandboxError as error:
        return Diagnosis("sandbox", "optional", str(error))
    return Diagnosis("sandbox", "ok", "can run here")
