"""Environment diagnosis: ``meshkit doctor`` lists what can run on this machine and what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click

from meshkit import settings
from meshkit.cli.output import columns, json_option, show
from meshkit.version import how_to_install

PROGRAM_TIMEOUT_S = 10.0
NAMES = 5
"""Users that are named; of the others the number is told."""


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check of the environment; an ``optional`` item or a ``warning`` is not an error."""

    name: str
    state: Literal["ok", "missing", "optional", "warning"]
    detail: str


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check which parts of meshkit can run on this machine, and what is missing.

    Exit code 1: something that is required is missing.

    Example: meshkit doctor
    """
    diagnoses = [_python(), _machine(), *_extras(), *_programs(), _files(), _sandbox(), _users()]
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
        detail = f"missing: {', '.join(missing)}; {how_to_install(extra)}" if missing else "installed"
        diagnoses.append(Diagnosis(f"extra {extra}", "optional" if missing else "ok", detail))
    return diagnoses


def _programs() -> Iterator[Diagnosis]:
    """The programs that meshkit calls, or that are useful beside it, with their versions."""
    charts = "required to install charts; 3.14 or later, on PATH or in $MESHKIT_HELM"
    yield _program("kubectl", shutil.which("kubectl"), ("version", "--client"), "not required")
    yield _program("helm", settings.helm(), ("version", "--short"), charts)
    for program in _mesh_programs():
        yield _program(program.NAME, shutil.which(program.NAME), program.VERSION_ARGUMENTS, "not required")


def _mesh_programs() -> Iterator[Any]:
    """The modules ``program`` of the meshes, found by name: the registry of meshes imports much more."""
    from meshkit import meshes

    for package in pkgutil.iter_modules(meshes.__path__, "meshkit.meshes."):
        if package.ispkg and importlib.util.find_spec(f"{package.name}.program"):
            yield importlib.import_module(f"{package.name}.program")


def _program(name: str, path: str | None, arguments: tuple[str, ...], use: str) -> Diagnosis:
    if path is None:
        return Diagnosis(name, "optional", f"not found; {use}")
    return Diagnosis(name, "ok", f"{_version([path, *arguments])}, {path}")


def _version(command: list[str]) -> str:
    """The first version in what a program prints, or why there is none."""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PROGRAM_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no version within {PROGRAM_TIMEOUT_S:g} s"
    except OSError as error:
        return f"does not run ({error.strerror})"
    found = re.search(r"v?\d+\.\d+\S*|\b(edge|stable)-\S+", ended.stdout)
    if found is None or ended.returncode != 0:
        return f"does not tell its version (exit {ended.returncode})"
    return found[0]


def _files() -> Diagnosis:
    return Diagnosis("files", "ok", f"{settings.home()} ($MESHKIT_HOME)")


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


def _users() -> Diagnosis:
    """Say whether other users of this machine can connect to the sandbox's ports on loopback."""
    if not sys.platform.startswith("linux"):
        return Diagnosis("users", "ok", "the sandbox does not run here")
    from meshkit.sandbox import neighbours

    can = "call the ports of a sandbox's pods (SECURITY.md)"
    if running := neighbours.with_processes():
        return Diagnosis("users", "warning", f"others have processes here and can {can}: {_some(running)}")
    if accounts := neighbours.with_accounts():
        return Diagnosis("users", "warning", f"others can log in here and {can}: {_some(accounts)}")
    return Diagnosis("users", "ok", "no other user has a process or an account on this machine")


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES]) + (f" and {len(names) - NAMES} others" if len(names) > NAMES else "")
