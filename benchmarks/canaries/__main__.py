"""``python -m benchmarks.canaries``: the contest, as a table; exit code 1 when a promise is broken."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.canaries import contest
from benchmarks.canaries.results import as_json, markdown

SHORT = 20


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=SHORT, help="releases in each cell")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    given = parser.parse_args(arguments)
    found = contest.run(given.repetitions, given.processes)
    if given.out:
        given.out.write_text(json.dumps(as_json(found)))
    print(markdown(found, contest.RULES))
    print("\nWhere a peer is faster or finds more:")
    print("\n".join(f"- {line}" for line in contest.slower(found)))
    broken = contest.broken(found)
    print("\nBroken promises: " + ("none" if not broken else ""))
    print("\n".join(f"- {line}" for line in broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
