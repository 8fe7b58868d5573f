"""Start a cluster in a free place of this machine, and remove it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshkit.cluster.api import Api
from meshkit.cluster.connect import connect
from meshkit.facts import Kind
from tests.cluster import cgroups, control_plane, credentials, images, network, node, programs
from tests.cluster.place import COUNT, NODES, Place, one_at_a_time, take
from tests.cluster.removal import remove, remove_abandoned
from tests.conformance.processes import START_S

NODE, SERVICE_ACCOUNT = Kind("v1", "Node"), Kind("v1", "ServiceAccount")


@dataclass(frozen=True)
class Started:
    """A cluster whose nodes are ready, and how long its start took."""

    place: Place
    started_s: float

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.place.kubeconfig

    def logs(self) -> str:
        """The end of every program's log, for the report of a failure."""
        return programs.logs(self.place)


@contextmanager
def running_cluster() -> Iterator[Started]:
    """A cluster for the time of a ``with`` block, and no trace of it after that."""
    started = up(keep=False)
    try:
        yield started
    finally:
        down(started.place)


def up(*, keep: bool) -> Started:
    """Start a cluster; with ``keep`` it stays until it is taken down. A start that fails leaves nothing."""
    archive = images.archive()
    began = time.monotonic()
    with one_at_a_time():
        remove_abandoned()
        place = free_place()
        take(place, keep=keep)
    try:
        cgroups.create(place)
        network.create(place)
        control_plane.start(place, credentials.issue(place))
        start_nodes(place, archive)
    except BaseException:
        print(programs.logs(place))
        down(place)
        raise
    return Started(place, time.monotonic() - began)


def down(place: Place) -> None:
    """Remove a cluster."""
    with one_at_a_time():
        remove(place)


def free_place() -> Place:
    """The first place that neither a cluster nor another network of this machine has."""
    for number in range(COUNT):
        place = Place(number)
        if not place.folder.exists() and network.is_free(place):
            return place
    raise RuntimeError(f"none of {COUNT} places for a cluster is free on this machine")


def start_nodes(place: Place, archive: Path, names: tuple[str, ...] = NODES) -> None:
    """Start nodes at once and wait until each is ready."""
    launchers = {each: node.start(place, each, archive) for each in names}
    try:
        for name, launcher in launchers.items():
            if code := launcher.wait(START_S):
                raise RuntimeError(f"node {name} did not start: {code}")
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"a node did not start within {START_S:.0f} s") from error
    api: Api = connect(kubeconfig=place.kubeconfig).api
    for name in names:
        api.wait(NODE, f"node-{name}", None, is_ready, START_S, "ready")
    api.wait(SERVICE_ACCOUNT, "default", "default", bool, START_S, "there")


def cut_power(place: Place, name: str) -> None:
    """End every process of a node, its containers' too, and what only the kernel knew of them."""
    cgroups.end(place, name)
    cgroups.remove(place, name)


def restore_power(place: Place, name: str) -> None:
    """Start a node again, with what was on its disk."""
    shutil.rmtree(place.folder / f"node-{name}" / node.VOLATILE)
    cgroups.create(place)
    start_nodes(place, images.archive(), (name,))


def is_ready(found: dict[str, Any] | None) -> bool:
    """Whether a node is there and has the condition Ready."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)
