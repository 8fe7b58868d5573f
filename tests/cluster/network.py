"""The networks of a cluster: a namespace for the control plane, and one for each node.

A bridge in the control plane's namespace joins the nodes. This machine has one interface on it, so that
programs here reach the API server; it has no route to pods. The bridge's namespace is where the default route
of each node ends, and it forwards nothing: no packet of a cluster leaves the machine.

Programs enter a namespace by ``nsenter``. ``ip netns exec`` would mount /sys anew, without the cgroups.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tests.cluster.place import NODES, Place

MOUNTED = Path("/run/netns")


def ip(*words: object) -> str:
    """Run ``ip``; what it printed. Raises CalledProcessError with its message."""
    command = ["ip", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def inside(namespace: str) -> list[str]:
    """The words before a command that runs it in a network namespace."""
    return ["nsenter", f"--net={MOUNTED / namespace}", "--"]


def is_free(place: Place) -> bool:
    """Whether this machine has neither an interface nor a network that would collide with the place's."""
    routes: list[dict[str, Any]] = json.loads(ip("-4", "-json", "route", "show", "table", "all") or "[]")
    for destination in (route["dst"] for route in routes):
        network = IPv4Network(destination if destination != "default" else "0.0.0.0/0")
        if network.prefixlen >= 16 and network.overlaps(place.network):
            return False
    return not any((MOUNTED / each).exists() for each in place.namespaces)


def create(place: Place) -> None:
    """Create the namespaces, the bridge between them, and this machine's interface."""
    control = place.namespace("cp")
    ip("netns", "add", control)
    ip("-n", control, "link", "set", "lo", "up")
    ip("-n", control, "link", "add", "bridge", "type", "bridge")
    ip("-n", control, "address", "add", f"{place.control_plane}/24", "dev", "bridge")
    ip("-n", control, "link", "set", "bridge", "up")
    ip("link", "add", place.name, "type", "veth", "peer", "name", "machine", "netns", control)
    ip("-n", control, "link", "set", "machine", "master", "bridge", "up")
    ip("address", "add", f"{place.machine}/24", "dev", place.name)
    ip("link", "set", place.name, "up")
    for node in NODES:
        _add_node(place, node)


def _add_node(place: Place, node: str) -> None:
    control, own = place.namespace("cp"), place.namespace(node)
    address = place.node_address(node)
    ip("netns", "add", own)
    ip("link", "add", "eth0", "netns", own, "type", "veth", "peer", "name", f"node-{node}", "netns", control)
    ip("-n", control, "link", "set", f"node-{node}", "master", "bridge", "up")
    ip("-n", control, "route", "add", place.pod_network(node), "via", address)
    ip("-n", own, "link", "set", "lo", "up")
    ip("-n", own, "address", "add", f"{address}/24", "dev", "eth0")
    ip("-n", own, "link", "set", "eth0", "up")
    ip("-n", own, "route", "add", "default", "via", place.control_plane)
    for other in NODES:
        if other != node:
            ip("-n", own, "route", "add", place.pod_network(other), "via", place.node_address(other))
    settings = "echo 1 > /proc/sys/net/ipv4/ip_forward"
    subprocess.run([*inside(own), "sh", "-c", settings], check=True)


def remove(place: Place) -> None:
    """Remove the namespaces with all that is in them, and this machine's interface."""
    for namespace in place.namespaces:
        with contextlib.suppress(subprocess.CalledProcessError):  # It is not there.
            for pid in ip("netns", "pids", namespace).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            ip("netns", "delete", namespace)
    with contextlib.suppress(subprocess.CalledProcessError):
        ip("link", "delete", place.name)


def left(place: Place) -> list[str]:
    """What there still is of the place's networks."""
    found = [each for each in place.namespaces if (MOUNTED / each).exists()]
    return [*found, *([place.name] if Path("/sys/class/net", place.name).exists() else [])]
