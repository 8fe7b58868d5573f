"""The names and addresses of one cluster on this machine, none of which another cluster has.

A cluster is one of a hundred numbered places. Its number is in every name that the kernel knows: network
namespaces, the interface, cgroups, the directory of its files. So all that belongs to a cluster is found
again without a record of what was started, also after the run was killed.

The first run to create the directory of a number has the place. ``owner.json`` there names the process that
needs the cluster; once that process is gone, the next run removes what is left. A cluster without an owner,
which a developer started, stays until it is removed by name.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

PLACES = Path("/var/lib/meshkit-cluster")
COUNT = 100
NODES = ("a", "b", "c")
"""One node in each of three zones."""
PODS = IPv4Network("10.244.0.0/16")
SERVICES = IPv4Network("10.96.0.0/16")
"""Inside a cluster's own namespaces only, so that every cluster has the same."""
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Place:
    """One numbered place: what everything of its cluster is called, and where it is."""

    number: int

    @property
    def name(self) -> str:
        """The prefix of everything that the kernel knows of the cluster."""
        return f"meshkit{self.number:02d}"

    @property
    def folder(self) -> Path:
        """The directory of its files: etcd's data, certificates, logs, the nodes' own file systems."""
        return PLACES / f"{self.number:02d}"

    @property
    def logs(self) -> Path:
        """The directory with one log of each program."""
        return self.folder / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "admin.kubeconfig"

    @property
    def network(self) -> IPv4Network:
        """The network of the control plane, the nodes and this machine's end."""
        return IPv4Network(f"10.88.{self.number}.0/24")

    @property
    def control_plane(self) -> IPv4Address:
        """The address of the API server and of CoreDNS."""
        return self.network[1]

    @property
    def machine(self) -> IPv4Address:
        """The address of this machine in the cluster's network."""
        return self.network[254]

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://{self.control_plane}:6443"

    def node_address(self, node: str) -> IPv4Address:
        """The address of a node."""
        return self.network[11 + NODES.index(node)]

    def pod_network(self, node: str) -> IPv4Network:
        """The addresses of a node's pods."""
        return list(PODS.subnets(new_prefix=24))[1 + NODES.index(node)]

    def namespace(self, part: str) -> str:
        """The network namespace of a node, or of the control plane (``cp``)."""
        return f"{self.name}-{part}"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All its network namespaces."""
        return tuple(self.namespace(part) for part in ("cp", *NODES))

    @property
    def owner(self) -> dict[str, Any] | None:
        """The process that needs the cluster, or None if it is to stay or was never finished."""
        try:
            found: dict[str, Any] | None = json.loads((self.folder / "owner.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    @property
    def abandoned(self) -> bool:
        """Whether nobody needs the cluster any more, or the machine was restarted since."""
        owner = self.owner
        if owner is None:
            return (self.folder / "boot").read_text() != boot()
        return not owner or owner != process(owner["pid"])


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other runs from taking or clearing a place meanwhile."""
    PLACES.mkdir(parents=True, exist_ok=True)
    with (PLACES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def places() -> list[Place]:
    """Every place that has a directory, whether its cluster runs or not."""
    numbers = (each.name for each in PLACES.glob("[0-9][0-9]"))
    return [Place(int(number)) for number in sorted(numbers)]


def take(place: Place, *, keep: bool) -> None:
    """Create the directory of a free place, for this process or (``keep``) until the machine stops."""
    place.logs.mkdir(parents=True)
    (place.folder / "boot").write_text(boot())
    owner = None if keep else process(os.getpid())
    (place.folder / "owner.json").write_text(json.dumps(owner))


def process(pid: int) -> dict[str, Any] | None:
    """A process with the time of its start, because its id is used again; None if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    state, *fields = status.rpartition(")")[2].split()
    return None if state == "Z" else {"pid": pid, "started": int(fields[18]), "boot": boot()}


def boot() -> str:
    """The identity of this start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
