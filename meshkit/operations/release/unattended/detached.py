"""Run a release in a separate process that outlives the notebook or shell that started it.

The process is ``meshkit release run`` with the release in a private file. It has its own session, so that
neither Ctrl-C nor the end of a kernel stops it. Its state is read from the cluster, and its output goes to a
log file.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshkit import settings
from meshkit.errors import MeshkitError, ReleaseNotStarted

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.intent.train import ReleaseTrain

GRACE_S = 60.0
"""``run_detached`` waits at most so long for the process to start the release, or to end."""
_ASK_S = 0.5
_EXIT_CODES = range(1, 6)
_PREFIX = "meshkit: "
"""What an error on the command line begins with."""


@dataclass(frozen=True)
class Runner:
    """The process that runs a release; ``started`` is false while it still waits, as for its lock."""

    pid: int
    log: Path
    started: bool = True


def run_detached(
    release: Release | ReleaseTrain,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    grace_s: float = GRACE_S,
) -> Runner:
    """Start or resume a release or a train in a separate process on this cluster, and return once it runs.

    Raises ``ReleaseNotStarted``, with the reason that the process gave, if it ends before that, for example
    because another process runs the release. After ``grace_s`` seconds it returns in any case.
    """
    from meshkit.intent.train import ReleaseTrain
    from meshkit.operations.which_mesh import mesh_of

    releases = release.releases if isinstance(release, ReleaseTrain) else (release,)
    mesh = mesh_of(cluster, mesh, [each.namespace for each in releases])
    folder = settings.home() / "releases"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file, log = folder / f"{release.name}.yaml", folder / f"{release.name}.log"
    file.write_text(json.dumps({"kind": type(release).__name__, **release.model_dump(mode="json")}))
    command = [sys.executable, "-m", "meshkit", "release", "run", "-f", str(file), "--mesh", mesh]
    if cluster.kubeconfig:
        command += ["--context", cluster.context]
    if prometheus:
        command += ["--prometheus", prometheus]
    with log.open("wb") as output:
        os.chmod(log, 0o600)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Without a kubeconfig the cluster is the one of this pod; $KUBECONFIG would take precedence.
            env=settings.child_environment(KUBECONFIG=cluster.kubeconfig),
        )
    started = _waited(process, releases[0], cluster, grace_s)
    if process.returncode not in (None, 0) and not started:
        raise ReleaseNotStarted(
            f"release {release.name} did not start: {_reason(log)}",
            remedy=f"The log is {log}.",
            exit_code=process.returncode if process.returncode in _EXIT_CODES else 1,
        )
    return Runner(process.pid, log, started)


def _waited(process: subprocess.Popen[bytes], release: Release, cluster: Cluster, grace_s: float) -> bool:
    """Wait until the process runs the release, has ended, or the time is over; return whether it ran it."""
    now_s = time.monotonic()
    deadline_s, ask_s = now_s + grace_s, now_s + _ASK_S
    while now_s < deadline_s and process.poll() is None:
        if now_s >= ask_s:
            if runs(process.pid, release, cluster):
                return True
            ask_s = time.monotonic() + _ASK_S
        time.sleep(0.05)
        now_s = time.monotonic()
    return process.returncode == 0


def runs(pid: int, release: Release, cluster: Cluster) -> bool:
    """Whether a process of this machine runs the release."""
    from meshkit.operations.release.runner import runner_of, running_state

    try:
        holder = runner_of(release, cluster) or ""
        ours = holder.startswith(f"{socket.gethostname()}-{pid}-")
        return ours and running_state(release.name, cluster) is not None
    except MeshkitError:
        return False


def _reason(log: Path) -> str:
    """The error that the process printed, without the name of the program; else its last line."""
    lines = log.read_text(errors="replace").strip().splitlines()
    begin = max((n for n, line in enumerate(lines) if line.startswith(_PREFIX)), default=len(lines) - 1)
    return " ".join(lines[max(begin, 0) :]).removeprefix(_PREFIX) or "its process printed no output"
