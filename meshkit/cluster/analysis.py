"""Run a mesh's own command-line program, if it is installed, and convert its output to findings.

It complements meshkit's checks and replaces none: a missing program is not a problem of the mesh, and a
failure of the program is reported with its reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from meshkit import codes
from meshkit.cluster.connect import Cluster, environment_for
from meshkit.facts import Finding

_TIMEOUT_S = 60.0


def analysis(
    cluster: Cluster, program: str, arguments: Sequence[str], read: Callable[[Any], Iterable[Finding]]
) -> tuple[Finding, ...]:
    """Return the findings of a program: none if it is not on PATH, MK1501 if it fails.

    The program gets the arguments and the cluster's kubeconfig and context; ``read`` converts its JSON output
    to findings.
    """
    path = shutil.which(program)
    if path is None or cluster.kubeconfig is None:
        return ()
    try:
        done = subprocess.run(
            [path, *arguments, f"--context={cluster.context}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            env=environment_for(cluster),
        )
        return tuple(read(json.loads(done.stdout)))
    except OSError as problem:
        why = f"it cannot be started ({problem.strerror})"
    except subprocess.TimeoutExpired:
        why = f"it did not finish within {_TIMEOUT_S:.0f} s"
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = f"it ended with {done.returncode}: {said[-1][:200] if said else 'without a word'}"
    message = f"{program} is installed, and its analysis failed: {why}."
    remedy = f"Run it by hand to see more: {program} {' '.join(arguments)}."
    return (codes.finding(codes.PROGRAM_FAILED, program, message, remedy),)
