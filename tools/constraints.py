"""Print exact versions of all that meshkit's requirements reach in this environment: ``make constraints``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import metadata

EXTRAS = ("sandbox", "lab", "docs", "test")


def reached(extras: Sequence[str] = EXTRAS) -> dict[str, str]:
    """Name -> version of each distribution that meshkit and these extras need, followed to the end."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [("meshkit", extra) for extra in ("", *extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            dist = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()] = dist.version
        for line in dist.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo += [(requirement.name, e) for e in ("", *requirement.extras)]
    found.pop("meshkit", None)
    return found


if __name__ == "__main__":
    sys.stdout.write(
        "# Exact versions of every dependency. Written by `make constraints`; ranges are in pyproject.toml.\n"
    )
    for name, version in sorted(reached().items()):
        sys.stdout.write(f"{name}=={version}\n")
