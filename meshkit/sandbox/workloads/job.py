"""The image ``meshkit.dev/sandbox/job``: works for a while, then ends.

Environment: RUN_S (0), seconds of work; EXIT_CODE (0), what it ends with.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Work, and end as asked."""
    run_s, code = float(os.environ.get("RUN_S", "0")), int(os.environ.get("EXIT_CODE", "0"))
    sys.stdout.write(f"working for {run_s:g} s\n")
    sys.stdout.flush()
    time.sleep(run_s)
    sys.stdout.write(f"done, exit code {code}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
