"""Run a release in a separate process that outlives the notebook or shell that started it.

The process is ``meshkit release run`` with the release in a private file. It has its own session, so that
neither Ctrl-C nor the end of a kernel stops it. Its state is read from the cluster, and its output goes to a
log file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshkit import settings
from meshkit.errors import ReleaseNotStarted

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release

GRACE_S = 3.0
"""A process that fails within this time makes ``run_detached`` raise an error."""


@dataclass(frozen=True)
class Runner:
    """The process that runs a release."""

    pid: int
    log: Path


def run_detached(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    grace_s: float = GRACE_S,
) -> Runner:
    """Start or resume a release in a separate process on this cluster, and return at once.

    Raises ``ReleaseNotStarted`` with the process's output if it fails within ``grace_s`` seconds, for example
    because another process runs the release.
    """
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh, (release.namespace,))
    folder = settings.home() / "releases"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file, log = folder / f"{release.name}.yaml", folder / f"{release.name}.log"
    file.write_text(json.dumps({"kind": "Release", **release.model_dump(mode="json")}))
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
    deadline_s = time.monotonic() + grace_s
    while time.monotonic() < deadline_s and process.poll() is None:
        time.sleep(0.05)
    if process.returncode not in (None, 0):
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise ReleaseNotStarted(
            f"release {release.name} did not start: {''.join(last) or 'its process printed no output'}",
            remedy=f"The log is {log}.",
        )
    return Runner(process.pid, log)
