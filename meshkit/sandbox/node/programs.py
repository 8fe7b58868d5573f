"""What runs for an image on the sandbox's nodes, and the command lines that start it."""

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
    """What runs for an image: ``command`` from the pod's folder and the container's command and args to a
    command line, and ``reads``, the variables that the program takes from the container's ``env``.

    A ``sidecar`` is a proxy wired up by the node agent. A ``setup`` ends at once and well: what it would do
    to the pod's network the node agent has done already.
    """

    role: Role
    command: Command
    reads: frozenset[str] = frozenset()


def module(name: str, *arguments: str) -> list[str]:
    """The command line of a module of the sandbox. ``-P``: the working directory is no place to import
    from.
    """
    return [sys.executable, "-P", "-m", f"meshkit.sandbox.{name}", *arguments]


def require_first_word(given: Sequence[str], known: Collection[str]) -> str:
    """The first of a container's arguments. Raises ValueError for one that is not known."""
    if not given or given[0] not in known:
        asked = given[0] if given else "none"
        raise ValueError(f"argument {asked!r} is not known to the sandbox; known: {', '.join(known)}")
    return given[0]


def _nothing(pod_dir: Path, args: Sequence[str]) -> list[str]:
    return []


PROXY = Image("sidecar", lambda pod_dir, args: envoy.command(pod_dir))
"""A mesh's proxy: a real Envoy."""
SETUP = Image("setup", _nothing)
"""A container that prepares the network of its pod."""
