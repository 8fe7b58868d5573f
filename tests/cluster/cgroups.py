"""The cgroups of a cluster: where its processes are counted, found and ended.

Each cgroup v1 hierarchy has one cgroup for the cluster, with one below it for the control plane and for each
node. Every program starts in its cgroup and every container below its node's, so no process gets away from
the cluster, not even one whose parent was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.place import NODES, Place

ROOT = Path("/sys/fs/cgroup")
FINDS = "pids"
"""The hierarchy in which processes are looked up."""
NEEDED = ("cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", FINDS)
SHARES = 8192
"""Relative to 1024 of everything else: sidecars ask for 10 millicores, which starve beside a busy build."""
END_S = 20.0


def hierarchies() -> list[Path]:
    """Where cgroup v1's hierarchies are mounted below ``ROOT``."""
    return sorted({where for where, kind in _mounts() if kind == "cgroup"})


def is_unified() -> bool:
    """Whether ``ROOT`` is the one hierarchy of cgroup v2."""
    return (ROOT, "cgroup2") in _mounts()


def _mounts() -> list[tuple[Path, str]]:
    """Every mount's directory and type."""
    fields = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [(Path(where), kind) for _, where, kind, *_ in fields]


def create(place: Place) -> None:
    """Create the cluster's cgroups; a new cpuset takes no process before it has processors and memory."""
    for hierarchy in hierarchies():
        whole = hierarchy / place.name
        for folder in (whole, *(whole / part for part in ("cp", *NODES))):
            folder.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (folder / setting).exists():
                    (folder / setting).write_text((hierarchy / setting).read_text())
        if (whole / "cpu.shares").exists():
            (whole / "cpu.shares").write_text(str(SHARES))


def joining(place: Place, part: str) -> Callable[[], None]:
    """What a new process does first to be in the cgroup of a node or of the control plane (``cp``)."""
    files = [hierarchy / place.name / part / "cgroup.procs" for hierarchy in hierarchies()]

    def join() -> None:
        for file in files:
            file.write_text(str(os.getpid()))

    return join


def processes(place: Place, part: str = "") -> set[int]:
    """The processes of the cluster, or of one part of it."""
    found: set[int] = set()
    for file in (ROOT / FINDS / place.name / part).rglob("cgroup.procs"):
        with contextlib.suppress(OSError):  # The cgroup went meanwhile.
            found.update(int(line) for line in file.read_text().split())
    return found


def end(place: Place, part: str = "") -> None:
    """Kill every process of the cluster, or of one part of it: what they know is not needed any more."""
    until = time.monotonic() + END_S
    while left := processes(place, part):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            raise TimeoutError(f"cluster {place.name}: processes {sorted(left)} do not end")
        time.sleep(0.1)


def remove(place: Place, part: str = "") -> None:
    """Remove the cgroups of the cluster or of one part, whose processes have ended, in every hierarchy."""
    for hierarchy in (*hierarchies(), ROOT / "unified"):
        whole = hierarchy / place.name / part
        until = time.monotonic() + END_S
        for folder, _, _ in os.walk(whole, topdown=False):
            _remove_one(Path(folder), until)


def _remove_one(folder: Path, until: float) -> None:
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:  # Busy until the kernel has let go of the last process.
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
