"""``make bench``: every benchmark, one table."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import api, changes, checks, command_line, glance, release_loop, sandbox, verdict
from benchmarks.canaries import field_contest
from benchmarks.canaries.__main__ import main as canaries
from benchmarks.figure import table

if __name__ == "__main__":
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    print(f"Python {platform.python_version()}, {machine}")
    parts = (command_line, verdict, checks, glance, api, release_loop, sandbox, changes)
    print(table([figure for part in parts for figure in part.measure()]))
    print("\nThe verdict against the rules of other tools:\n")
    codes = [canaries([])]
    print("\nThe verdict on other traffic:\n")
    codes.append(field_contest.main([]))
    sys.exit(max(codes))
