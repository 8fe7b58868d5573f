"""``python -m benchmarks.canaries``: the contest, as a table; exit code 1 when a promise is broken.

``--out FILE`` keeps each cell as it is finished; a run that is started again with that file goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.canaries import contest
from benchmarks.canaries.results import Found, as_json, from_json, markdown

SHORT = 20


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=SHORT, help="releases in each cell")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="keep the results as JSON, and go on there")
    parser.add_argument("--nulls", action="store_true", help="only good canaries")
    given = parser.parse_args(arguments)
    known = from_json(json.loads(given.out.read_text())) if given.out and given.out.exists() else {}
    found: Found = known
    for found in contest.run(given.repetitions, given.processes, known=known, nulls=given.nulls):
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
