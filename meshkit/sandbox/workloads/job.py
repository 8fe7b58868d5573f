"""The program of the image ``meshkit.dev/sandbox/job``, which sleeps for a time and then exits.

Environment: RUN_S (seconds, default 0) and EXIT_CODE (default 0).
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Sleep for RUN_S seconds, then exit with EXIT_CODE."""
    run_s, code = float(os.environ.get("RUN_S", "0")), int(os.environ.get("EXIT_CODE", "0"))
    sys.stdout.write(f"working for {run_s:g} s\n")
    sys.stdout.flush()
    time.sleep(run_s)
    sys.stdout.write(f"done, exit code {code}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
