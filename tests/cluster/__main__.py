"""A cluster to work with by hand: ``python -m tests.cluster up | down [NUMBER] | kubeconfig [NUMBER]``.

``up`` starts one and prints what to do with it; it stays until ``down`` removes it. Without a number, the
others mean the only cluster that there is.
"""

from __future__ import annotations

import sys

from tests.cluster import needs, start
from tests.cluster.place import Place, places

USAGE = "usage: python -m tests.cluster up | down [NUMBER] | kubeconfig [NUMBER]"


def main(words: list[str]) -> int:
    """Run one command; 0 if it succeeded, 2 for words that mean none."""
    match words:
        case ["up"]:
            return _up()
        case ["down", *number] if len(number) < 2:
            return _on_one(number, remove=True)
        case ["kubeconfig", *number] if len(number) < 2:
            return _on_one(number, remove=False)
    print(USAGE, file=sys.stderr)
    return 2


def _up() -> int:
    try:
        needs.require()
    except (needs.Missing, needs.Refused) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    started = start.up(keep=True)
    number = started.place.number
    print(f"cluster {number} is ready after {started.started_s:.0f} s; logs are in {started.place.logs}")
    print(f"export KUBECONFIG={started.kubeconfig}")
    print(f"python -m tests.cluster down {number}")
    return 0


def _on_one(number: list[str], *, remove: bool) -> int:
    found = [each for each in places() if number in ([], [str(each.number)])]
    if len(found) != 1:
        known = ", ".join(str(each.number) for each in places()) or "none"
        print(f"cluster: name one of the clusters that are there: {known}", file=sys.stderr)
        return 2
    _remove(found[0]) if remove else print(found[0].kubeconfig)
    return 0


def _remove(place: Place) -> None:
    start.down(place)
    print(f"cluster {place.number} is gone")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
