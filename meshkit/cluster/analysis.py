"""A mesh's own command-line program, run against a cluster where it is installed, and its findings.

It complements meshkit's checks and replaces none: a program that is absent is not a fault of the mesh, and a
program that fails is reported with the reason.
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
    """The findings of a program: none where it is not on PATH, MK1501 where it fails.

    It is called with the arguments and with the cluster's kubeconfig and context; ``read`` makes findings of
    the JSON that it prints.
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
        why = f"it did not end within {_TIMEOUT_S:.0f} s"
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = f"it ended with {done.returncode}: {said[-1][:200] if said else 'without a word'}"
    message = f"{program} is installed and gave no answer: {why}."
    remedy = f"Run it by hand to see more: {program} {' '.join(arguments)}."
    return (codes.finding(codes.PROGRAM_FAILED, program, message, remedy),)
