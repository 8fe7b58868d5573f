"""Run pytest; run the few tests of real processes that failed once more, alone on the machine.

Tests of real processes share two cores with another worker. Where one fails, only a second run beside
nothing else tells a fault from a machine that stood still. Both results are printed, and a test that fails
alone fails the run, as does any test without processes, and as do more failures than `FEW`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WITH_PROCESSES = tuple(
    f"tests/{folder}/"
    for folder in (
        *("browser", "conformance", "contract", "e2e", "runbooks"),
        *("unit/sandbox_api", "unit/sandbox_dataplane"),  # kubectl, Envoy
    )
)
"""Folders of tests that start real processes."""
FEW = 5
FAILED = 1
"""The exit code of pytest if tests failed, and of nothing else."""
CACHE = ROOT / ".pytest_cache/run"


def main(options: list[str]) -> int:
    """Run pytest with these options; its exit code."""
    code = pytest(*options, "--cache-clear")
    failed = sorted(json.loads(last.read_text())) if (last := CACHE / "v/cache/lastfailed").exists() else []
    if code != FAILED or not 0 < len(failed) <= FEW or not all(map(starts_processes, failed)):
        return code
    say(f"running again, alone: {', '.join(failed)}")
    code = pytest(*selection(options), "--last-failed")
    if code == 0:
        say(f"failed beside another worker, passed alone (look into it): {', '.join(failed)}")
    return code


def say(line: str) -> None:
    """Print a line at once, in its order among the lines of pytest."""
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def pytest(*options: str) -> int:
    """Run pytest with these options in a process of its own; its exit code."""
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={CACHE}", *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def selection(options: list[str]) -> list[str]:
    """The options without those that share the tests out to workers."""
    values = [False, *(option in ("-n", "--dist") for option in options)]
    distributes = ("-n", "--dist", "--no-loadscope-reorder")
    kept = zip(options, values, strict=False)
    return [option for option, is_value in kept if not is_value and option not in distributes]


def starts_processes(test: str) -> bool:
    """Whether the test with this id is in a folder of tests that start real processes."""
    return test.startswith(WITH_PROCESSES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
