"""The certificates of a cluster's programs, and their kubeconfigs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.place import CLUSTER_DOMAIN, NODES, SERVICES, Place
from tests.conformance.certificates import Authority, new_authority

MASTERS = "system:masters"
CONTEXT = "cluster"


@dataclass(frozen=True)
class Credentials:
    """The cluster's certificate authority, with what it issued."""

    place: Place
    authority: Authority

    def file(self, name: str) -> Path:
        """A certificate or key, such as ``kube-apiserver.crt``."""
        return self.authority.folder / name

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of a program."""
        return self.place.folder / f"{name}.kubeconfig"


def issue(place: Place) -> Credentials:
    """Issue everything that the cluster's programs need."""
    credentials = Credentials(place, new_authority(place.folder / "pki"))
    authority = credentials.authority
    service = f"kubernetes.default.svc.{CLUSTER_DOMAIN}"
    names = [service.rsplit(".", dots)[0] for dots in range(5)]
    addresses = [str(place.control_plane), str(SERVICES[1]), "127.0.0.1"]
    authority.issue("kube-apiserver", hosts=[*addresses, "localhost", service, *names])
    authority.issue("accounts")
    authority.issue("kubelet-client", organization=MASTERS)
    users = {
        "admin": ("admin", MASTERS),
        "coredns": ("coredns", MASTERS),
        "kube-controller-manager": ("system:kube-controller-manager", ""),
        "kube-scheduler": ("system:kube-scheduler", ""),
        "kube-proxy": ("system:kube-proxy", ""),
    }
    for node in NODES:
        users[f"node-{node}"] = (f"system:node:node-{node}", "system:nodes")
        authority.issue(f"kubelet-{node}", hosts=[str(place.node_address(node)), f"node-{node}"])
    for name, (user, group) in users.items():
        _write_kubeconfig(credentials, name, *authority.issue(user, organization=group))
    return credentials


def _write_kubeconfig(credentials: Credentials, name: str, certificate: Path, key: Path) -> None:
    root = base64.b64encode(credentials.authority.root.read_bytes()).decode()
    server = {"server": credentials.place.server, "certificate-authority-data": root}
    user = {
        "client-certificate-data": base64.b64encode(certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(key.read_bytes()).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": server}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": name}}],
        "current-context": CONTEXT,
    }
    path = credentials.kubeconfig(name)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
