"""Checks whether this machine can run the sandbox, before anything is started."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import sys

from meshkit.errors import SandboxError
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.folder_watch import MORE_INSTANCES
from meshkit.version import how_to_install

GLIBC = (2, 31)
NEEDED = ("aiohttp", "cryptography", "httptools", "uvloop")


def check_machine() -> None:
    """Raise SandboxError if the platform, C library, packages or Envoy are not suitable."""
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"The sandbox does not run on {platform.system()}.",
            remedy="Run it on Linux (a virtual machine or WSL 2 will do), or connect to a real cluster.",
        )
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < GLIBC:
        raise SandboxError(
            f"The sandbox's Envoy needs glibc {GLIBC[0]}.{GLIBC[1]} or later, "
            f"and this machine has {library or 'another C library'} {version}".strip()
            + ".",
            remedy="Run it on a newer Linux, or connect to a real cluster.",
        )
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SandboxError(
            f"The sandbox needs packages that are not installed: {', '.join(missing)}.",
            remedy=f"Install them with: {how_to_install('sandbox')}.",
        )
    envoy.binary()


def check_inotify() -> None:
    """Raise SandboxError if the sandbox cannot watch its proxies' files.

    The sandbox needs one inotify instance. Linux limits the instances of all programs of a user to
    ``fs.inotify.max_user_instances`` (128 by default).
    """
    descriptor = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        raise SandboxError("This user has no inotify instance left.", remedy=MORE_INSTANCES)
    os.close(descriptor)
