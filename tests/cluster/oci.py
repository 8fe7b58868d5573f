"""Container images written as OCI layouts from files of this machine: none is built in a container or pulled.

A file is in an image where it is on this machine, unless another name is given, so a program finds its
libraries and Python its standard library by the paths that they know.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from platform import machine
from typing import Any

MTIME_S = 1_700_000_000
"""The same for every file, so that the same content is the same image; not 0, which some take for no time."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
USERS = "root:x:0:0::/:/bin/sh\nistio-proxy:x:1337:1337::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"


class Layer:
    """The files of an image."""

    def __init__(self) -> None:
        self._names: set[PurePosixPath] = {PurePosixPath("/")}
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115
        self.folder("/tmp", 0o1777)
        self.write("/etc/passwd", USERS.encode())
        self.write("/etc/nsswitch.conf", b"hosts: files dns\n")

    def folder(self, name: str | PurePosixPath, mode: int = 0o755) -> None:
        """Add a directory and those above it."""
        path = PurePosixPath(name)
        if path not in self._names:
            self._add(path, tarfile.DIRTYPE, mode)

    def write(self, name: str | PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        """Add a file, unless there is one of this name."""
        path = PurePosixPath(name)
        if path not in self._names:
            self._add(path, tarfile.REGTYPE, mode, content)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(PurePosixPath(name), tarfile.SYMTYPE, 0o777, target=target)

    def copy(self, source: Path, name: str | PurePosixPath = "") -> None:
        """Add a file of this machine."""
        executable = 0o755 if source.stat().st_mode & 0o100 else 0o644
        self.write(PurePosixPath(name or source), source.read_bytes(), executable)

    def program(self, source: Path, name: str = "") -> None:
        """Add a program with the libraries that it is linked to."""
        self.copy(source, name)
        said = subprocess.run(["ldd", str(source)], capture_output=True, text=True, check=False)
        for library in re.findall(r"(/\S+) \(0x", said.stdout):
            self.copy(Path(library))

    def tree(self, source: Path, name: str = "", without: Collection[str] = ()) -> None:
        """Add a directory, without what bears one of the names; libraries bring those they are linked to."""
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            if path.is_file() and not set(relative.parts) & {"__pycache__", *without}:
                add = self.program if ".so" in path.suffixes else self.copy
                add(path, str(PurePosixPath(name or source) / relative))

    def _add(
        self, path: PurePosixPath, kind: bytes, mode: int, content: bytes = b"", target: str = ""
    ) -> None:
        self.folder(path.parent)
        self._names.add(path)
        info = tarfile.TarInfo(str(path).lstrip("/"))
        info.type, info.mode, info.size, info.mtime = kind, mode, len(content), MTIME_S
        info.linkname = target
        self._tar.addfile(info, io.BytesIO(content))

    def content(self) -> bytes:
        """The whole layer; nothing can be added any more."""
        self._tar.close()
        return self._buffer.getvalue()


@dataclass(frozen=True)
class Image:
    """An image of one layer; ``config`` holds Entrypoint, Env and User as OCI names them."""

    name: str
    layer: bytes
    config: dict[str, Any]


def write_archive(path: Path, images: Sequence[Image]) -> None:
    """Write the images as one OCI layout, which containerd imports; what they share is in it once."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, media: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {
            "mediaType": f"application/vnd.oci.image.{media}",
            "digest": f"sha256:{digest}",
            "size": len(content),
        }

    def manifest(image: Image) -> dict[str, Any]:
        layer = blob(image.layer, "layer.v1.tar")
        platform = {"architecture": ARCHITECTURES[machine()], "os": "linux"}
        about = {
            **platform,
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        config = blob(json.dumps(about).encode(), "config.v1+json")
        body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        found = blob(json.dumps(body).encode(), "manifest.v1+json")
        return {**found, "platform": platform, "annotations": {"io.containerd.image.name": image.name}}

    index = {"schemaVersion": 2, "manifests": [manifest(image) for image in images]}
    with tarfile.open(path, "w") as tar:
        files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode()}
        for name, content in {**files, **{f"blobs/sha256/{key}": blobs[key] for key in blobs}}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
