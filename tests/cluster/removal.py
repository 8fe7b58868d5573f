"""Remove a cluster without a record of what was started: by cgroups, network namespaces and directory.

The order is what makes it whole. Mounts go with the last process in their namespace; cgroups can be removed
when they are empty; the directory, which keeps the place taken, goes last.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster import cgroups, network
from tests.cluster.place import Place, places


def remove(place: Place) -> None:
    """Remove everything of a cluster; nothing is wrong if it was started half, or removed half."""
    cgroups.end(place)
    network.remove(place)
    cgroups.end(place)
    cgroups.remove(place)
    shutil.rmtree(place.folder, ignore_errors=True)
    if remains := left(place):
        raise RuntimeError(f"cluster {place.name}: not removed: {', '.join(remains)}")


def remove_abandoned() -> list[Place]:
    """Remove the clusters of runs that are over, such as one that was killed; the places that were cleared.

    The caller holds ``place.one_at_a_time``.
    """
    found = [place for place in places() if place.abandoned]
    for place in found:
        remove(place)
    return found


def left(place: Place) -> list[str]:
    """Whatever of a cluster is still on this machine: none of it after ``remove``."""
    processes = [f"process {pid}" for pid in sorted(cgroups.processes(place))]
    groups = [str(each / place.name) for each in cgroups.hierarchies() if (each / place.name).exists()]
    mounts = [
        line.split()[1]
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if str(place.folder) in line or f"/{place.name}-" in line
    ]
    folder = [str(place.folder)] if place.folder.exists() else []
    return [*processes, *groups, *network.left(place), *mounts, *folder]
