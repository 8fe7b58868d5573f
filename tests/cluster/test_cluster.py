"""The cluster has ready nodes in three zones, and nothing of one is left when its run was killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from meshkit.cluster.connect import Cluster
from meshkit.facts import Kind
from tests.cluster import cgroups, network, removal
from tests.cluster.place import Place, one_at_a_time
from tests.cluster.start import Started

NODE = Kind("v1", "Node")
REPOSITORY = Path(__file__).parents[2]


def test_its_nodes_are_ready_in_three_zones(cluster: Cluster) -> None:
    labels = [node["metadata"]["labels"] for node in cluster.api.list(NODE)]
    assert {each["topology.kubernetes.io/zone"] for each in labels} == {"zone-a", "zone-b", "zone-c"}


def test_what_a_killed_run_left_is_removed_by_the_next(started: Started) -> None:
    """The other run has cgroups with a process that has left its session, and network namespaces."""
    script = """
        import os, signal
        from tests.cluster import cgroups, network, programs, start
        from tests.cluster.place import one_at_a_time, take
        with one_at_a_time():
            place = start.free_place()
            take(place, keep=False)
        cgroups.create(place)
        network.create(place)
        programs.start(place, "a", "orphan", ["sleep", "600"])
        print(place.number, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    killed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    place = Place(int(killed.stdout))
    assert killed.returncode == -9
    assert cgroups.processes(place)
    assert set(network.left(place)) == {*place.namespaces, place.name}
    with one_at_a_time():
        cleared = removal.remove_abandoned()
    assert place in cleared
    assert removal.left(place) == []
    assert started.place not in cleared
    assert cgroups.processes(started.place)
