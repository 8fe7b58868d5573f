"""A real Kubernetes API on loopback: etcd, kube-apiserver and what makes objects live on it.

The controller manager and the scheduler are Kubernetes' own. There is no kubelet: kwok says of every node
that it is ready and of every pod that it runs, so rollouts, waits and Helm's ``--wait`` see what they would
see on a cluster whose images all start, and no container exists. The administrator of the kubeconfig holds a
token whose group is ``system:masters``. Everything ends with the ``with`` block.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from meshkit.cluster.connect import connect
from meshkit.facts import Kind
from tests.conformance.certificates import Authority, new_authority
from tests.conformance.need import need
from tests.conformance.parts import module_folder
from tests.conformance.processes import Process, free_port, running

NODE, SERVICE_ACCOUNT = Kind("v1", "Node"), Kind("v1", "ServiceAccount")
ZONES = ("zone-a", "zone-b", "zone-c")
STAGES = (
    "node/fast/node-initialize",
    "node/heartbeat/node-heartbeat",
    "pod/fast/pod-ready",
    "pod/fast/pod-complete",
    "pod/fast/pod-delete",
)
"""What becomes of nodes and pods, as kwok's own project ships it: all is well at once."""


@dataclass(frozen=True)
class RealCluster:
    """Kubernetes' own API server, with an administrator's kubeconfig."""

    folder: Path
    server: str
    authority: Authority
    started_s: float
    processes: tuple[Process, ...]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "admin.yaml"

    def logs(self) -> str:
        """The end of every part's log, for the report of a failure."""
        return "\n".join(f"--- {each.name}\n{each.tail()}" for each in self.processes)


@dataclass
class _Starting:
    """What is known while the parts start one after the other."""

    folder: Path
    stack: ExitStack
    authority: Authority
    server: str
    processes: list[Process] = field(default_factory=list)

    def run(self, name: str, *flags: str) -> Process:
        command = [str(need(name)), *flags]
        self.processes.append(self.stack.enter_context(running(name, command, self.folder)))
        return self.processes[-1]


@contextmanager
def running_cluster(folder: Path) -> Iterator[RealCluster]:
    """A cluster of one's own for the time of a ``with`` block; its files lie in ``folder``."""
    began = time.monotonic()
    authority = new_authority(folder / "pki")
    with ExitStack() as stack:
        starting = _Starting(folder, stack, authority, f"https://127.0.0.1:{free_port()}")
        admin = _write_kubeconfig(starting, "admin", {"token": _write_token(folder)})
        _start_apiserver(starting, _start_etcd(starting))
        _start_controllers(starting)
        _start_nodes(starting, admin)
        took_s = time.monotonic() - began
        yield RealCluster(folder, starting.server, authority, took_s, tuple(starting.processes))


def _start_etcd(starting: _Starting) -> str:
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    etcd = starting.run(
        "etcd",
        f"--data-dir={starting.folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        "--unsafe-no-fsync",
    )
    etcd.wait_until_ready(f"{clients}/health")
    return clients


def _start_apiserver(starting: _Starting, etcd: str) -> None:
    authority, pki = starting.authority, starting.authority.folder
    certificate, key = authority.issue("kube-apiserver")
    authority.issue("accounts")
    apiserver = starting.run(
        "kube-apiserver",
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={starting.server.rpartition(':')[2]}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={authority.root}",
        f"--token-auth-file={starting.folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'accounts.crt'}",
        f"--service-account-signing-key-file={pki / 'accounts.key'}",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--allow-privileged=true",
    )
    apiserver.wait_until_ready(f"{starting.server}/readyz", authority.client_context())


def _start_controllers(starting: _Starting) -> None:
    authority = starting.authority
    # Their own loopback ports serve health and metrics only; both say what they do to the API server.
    for name in ("kube-controller-manager", "kube-scheduler"):
        certificate, key = authority.issue(f"system:{name}")
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        config, port = _write_kubeconfig(starting, name, user), free_port()
        flags = [
            f"--kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={starting.folder / name}",
            "--leader-elect=false",
        ]
        if name == "kube-controller-manager":
            flags += [
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={authority.folder / 'accounts.key'}",
                f"--root-ca-file={authority.root}",
            ]
        starting.run(name, *flags)


def _start_nodes(starting: _Starting, admin: Path) -> None:
    stages = module_folder("sigs.k8s.io/kwok") / "kustomize" / "stage"
    # Without a port of its own: kwok 0.8.0's server and its controllers both fill one map as they start, and
    # now and then that is the end of it ("fatal error: concurrent map writes").
    starting.run(
        "kwok",
        f"--kubeconfig={admin}",
        "--manage-all-nodes=true",
        "--cidr=10.244.0.0/16",
        "--node-ip=127.0.0.1",
        "--node-port=0",
        *(f"--config={stages / each}.yaml" for each in STAGES),
    )
    api = connect(kubeconfig=admin).api
    for zone in ZONES:
        api.apply(_node(f"node-{zone[-1]}", zone), manager="conformance")
        api.wait(NODE, f"node-{zone[-1]}", None, _is_ready, 60, "ready")
    api.wait(SERVICE_ACCOUNT, "default", "default", bool, 60, "there")


def _is_ready(node: dict[str, Any] | None) -> bool:
    conditions = ((node or {}).get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def _node(name: str, zone: str) -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}
    meta = {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta}


def _write_token(folder: Path) -> str:
    """The administrator's token, in the file that the API server reads."""
    token = secrets.token_urlsafe(16)
    (folder / "tokens.csv").write_text(f'{token},conformance-admin,1,"system:masters"\n')
    return token


def _write_kubeconfig(starting: _Starting, name: str, user: dict[str, str]) -> Path:
    root = base64.b64encode(starting.authority.root.read_bytes()).decode()
    server = {"server": starting.server, "certificate-authority-data": root}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "conformance", "cluster": server}],
        "users": [{"name": "conformance", "user": user}],
        "contexts": [{"name": "conformance", "context": {"cluster": "conformance", "user": "conformance"}}],
        "current-context": "conformance",
    }
    path = starting.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
