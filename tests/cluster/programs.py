"""The programs of a cluster: started in its namespaces and cgroups, with a log each, and never waited for.

They outlive the command that starts a cluster; ``removal.py`` finds and ends them by their cgroup.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import cgroups, network
from tests.cluster.place import Place
from tests.conformance.processes import Process

WIDTH = 300
"""How much of a line is shown."""


def start(place: Place, part: str, name: str, command: Sequence[object]) -> Process:
    """Start a program in the network namespace and cgroup of a node or of the control plane (``cp``)."""
    words = [*network.inside(place.namespace(part)), *(str(word) for word in command)]
    return start_here(place, part, name, words)


def start_here(place: Place, part: str, name: str, command: Sequence[object]) -> Process:
    """Start a program in the cgroup of a part, and in the namespaces that this process is in."""
    log = place.logs / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [str(word) for word in command],
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=cgroups.joining(place, part),
        )
    return Process(name, popen, log)


def logs(place: Place, lines: int = 8) -> str:
    """The end of every program's log, for the report of a failure."""
    return "\n".join(f"--- {each.stem}\n{_tail(each, lines)}" for each in sorted(place.logs.glob("*.log")))


def _tail(log: Path, lines: int) -> str:
    return "\n".join(line[:WIDTH] for line in log.read_text(errors="replace").splitlines()[-lines:])
