"""What a cluster needs of this machine: root, Debian's packages, and a kernel that gives it namespaces.

Debian's packages are installed where root may. A part or a package that is missing raises ``Missing``, which
fails in CI; what this machine or its kernel refuses raises ``Refused``, which nobody can mend here: a skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster import cgroups
from tests.conformance.parts import Part, parts

PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "pilot-discovery",
    "pilot-agent",
)
CNI = Path("/usr/lib/cni")
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    str(CNI / "bridge"): "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""A program by which each of Debian's packages is known."""


class Refused(Exception):
    """A sentence that says what this machine does not let a cluster have."""


class Missing(Exception):
    """A sentence that says which part or package is missing and what installs it."""


def require() -> None:
    """Return if a cluster can start here, after installing Debian's packages where that is possible."""
    if os.geteuid() != 0:
        raise Refused("only root can create network namespaces and cgroups for a cluster's nodes")
    _require_cgroups()
    _require_packages()
    _require_mounts()
    unbuilt = [name for name in PARTS if not program(name).exists()]
    if unbuilt:
        raise Missing(f"not built: {' '.join(unbuilt)}: `python tests/conformance/parts.py` builds them")


def program(name: str) -> Path:
    """The file of a part of parts.toml."""
    found: Part = parts()[name]
    return found.path


def _require_cgroups() -> None:
    there = {each.name for each in cgroups.hierarchies()}
    if absent := [each for each in cgroups.NEEDED if each not in there]:
        found = "is of cgroup v2" if cgroups.is_unified() else f"has no hierarchy for {', '.join(absent)}"
        raise Refused(f"the nodes are built for cgroup v1, and {cgroups.ROOT} {found}")
    probe = cgroups.ROOT / cgroups.FINDS / "meshkit-probe"
    try:
        probe.mkdir(exist_ok=True)
        probe.rmdir()
    except OSError as error:
        raise Refused(f"no cgroup can be created: {error}") from error


def _require_packages() -> None:
    def absent() -> list[str]:
        return [package for known, package in PACKAGES.items() if shutil.which(known) is None]

    if not absent():
        return
    wanted = " ".join(absent())
    install = f"apt-get install --no-install-recommends {wanted}"
    if shutil.which("apt-get") is None:
        raise Missing(f"Debian's packages {wanted} are missing, and there is no apt-get to install them")
    said = ""
    for words in ("update -q", f"install -y -q --no-install-recommends {wanted}"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        said += done.stderr
    if absent():
        raise Missing(f"Debian's packages {wanted} are missing; `{install}` said: {said[-500:].strip()}")


def _require_mounts() -> None:
    """Try what every node does: namespaces of its own, and an overlay of directories like a container's."""
    with tempfile.TemporaryDirectory(prefix="meshkit-probe-", dir="/var/lib") as folder:
        for name in ("lower", "upper", "work", "merged"):
            Path(folder, name).mkdir()
        layers = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        mount = f"mount -t overlay overlay -o {layers} {folder}/merged"
        command = ["unshare", "--net", "--mount", "--uts", "--propagation", "private", "sh", "-c", mount]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"no mount and network namespaces with an overlay: {done.stderr.strip()}")
