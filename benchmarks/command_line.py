"""The start time of commands that need no cluster."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figure import Figure

COMMANDS = (["--help"], ["--version"], ["runbook", "list"])
RUNS = 9


def measure() -> list[Figure]:
    program = str(Path(sys.executable).with_name("meshkit"))
    return [
        Figure(f"meshkit {' '.join(c)}", "s", tuple(_run([program, *c]) for _ in range(RUNS)), 0.2)
        for c in COMMANDS
    ]


def _run(command: list[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began_s
