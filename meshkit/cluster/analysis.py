"""What the meshes' own programs find, where they are installed: istioctl and linkerd, as findings.

They complement the checks here and replace none: a program that is absent is not a fault of the mesh, and of
one that fails it is said why. Their codes are kept (``IST0102``); ``linkerd check`` has none and gets
``LINKERD``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from meshkit import codes
from meshkit.cluster.connect import Cluster, environment_for
from meshkit.facts import Finding, Severity

_TIMEOUT_S = 60.0
_LEVELS: dict[str, Severity] = {"Error": "error", "Warning": "warning", "Info": "info"}


def analysis(cluster: Cluster, mesh: str, *, pre: bool) -> tuple[Finding, ...]:
    """The findings of the mesh's own program: none where it is not on PATH, one where it fails."""
    name, arguments, read = _PROGRAMS[mesh]
    program = shutil.which(name)
    if program is None or cluster.kubeconfig is None:
        return ()
    try:
        done = subprocess.run(
            [program, *arguments(pre), f"--context={cluster.context}"],
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
    remedy = f"Run it by hand to see more: {name} {' '.join(arguments(pre))}."
    message = f"{name} is installed and gave no answer: {why}."
    return (codes.finding(codes.PROGRAM_FAILED, name, message, remedy),)


def _istioctl(pre: bool) -> list[str]:
    return ["experimental", "precheck", "--output=json"] if pre else ["analyze", "-A", "--output=json"]


def _linkerd(pre: bool) -> list[str]:
    return ["check", *(["--pre"] if pre else []), "--output=json", "--wait=10s"]


def _of_istioctl(answer: list[dict[str, Any]] | None) -> Iterator[Finding]:
    for one in answer or ():
        remedy = f"See {one['documentationUrl']}" if one.get("documentationUrl") else "See istioctl analyze."
        severity = _LEVELS.get(str(one["level"]), "warning")
        yield Finding(str(one["code"]), severity, str(one.get("origin", "")), str(one["message"]), remedy)


def _of_linkerd(answer: dict[str, Any]) -> Iterator[Finding]:
    for category in answer["categories"]:
        for one in category.get("checks") or ():
            if one["result"] in ("error", "warning"):
                told = str(one.get("error") or one["description"])
                hint = f"See {one['hint']}" if one.get("hint") else "See linkerd check."
                yield Finding("LINKERD", one["result"], str(category["categoryName"]), told, hint)


_PROGRAMS: dict[str, tuple[str, Callable[[bool], list[str]], Callable[[Any], Iterator[Finding]]]] = {
    "istio": ("istioctl", _istioctl, _of_istioctl),
    "linkerd": ("linkerd", _linkerd, _of_linkerd),
}
