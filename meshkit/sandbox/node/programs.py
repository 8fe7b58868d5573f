"""Describes the programs that the sandbox runs for images, and builds their command lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshkit.sandbox.dataplane import envoy

Role = Literal["program", "sidecar", "setup"]
Command = Callable[[Path, Sequence[str]], list[str]]


@dataclass(frozen=True)
class Image:
    """The program that runs for an image.

    ``command`` builds the command line from the pod's folder and the container's command and args; ``reads``
    names the variables that the program reads from the container's ``env``. The node agent sets up the proxy
    of a ``sidecar``. A ``setup`` succeeds immediately, because the node agent has already set up the pod's
    network.
    """

    role: Role
    command: Command
    reads: frozenset[str] = frozenset()


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line of a module of the sandbox.

    ``-P`` prevents imports from the working directory, which is the pod's folder.
    """
    return [sys.executable, "-P", "-m", f"meshkit.sandbox.{name}", *arguments]


def require_first_word(given: Sequence[str], known: Collection[str]) -> str:
    """Return a container's first argument; raise ValueError if it is not supported."""
    if not given or given[0] not in known:
        asked = given[0] if given else "none"
        raise ValueError(
            f"the sandbox does not support the argument {asked!r}; it supports {', '.join(known)}"
        )
    return given[0]


def _nothing(pod_dir: Path, args: Sequence[str]) -> list[str]:
    return []


PROXY = Image("sidecar", lambda pod_dir, args: envoy.command(pod_dir))
"""The proxy of a mesh, which is a real Envoy."""
SETUP = Image("setup", _nothing)
"""An init container that prepares the network of its pod."""
