"""Linkerd's own destination and policy controllers on loopback, and what they answer to proxies.

The answers are those of ``linkerd diagnostics``, which asks as a proxy asks and prints them as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from meshkit.meshes.linkerd.meaning.authorization import NETWORKS
from meshkit.meshes.linkerd.meaning.protocols import BY_DEFAULT
from tests.conformance.certificates import Authority
from tests.conformance.cluster import RealCluster
from tests.conformance.processes import Process, free_port, running

NAMESPACE = "linkerd"
CLUSTER_NETWORKS = ",".join(NETWORKS)
"""The networks of a cluster as the meaning knows them, so that policies of the cluster compare."""
EVERYWHERE = "0.0.0.0/0,::/0"


@dataclass(frozen=True)
class ControlPlane:
    """Both controllers, with the address of each for proxies."""

    command_line: tuple[str, ...]
    destination: str
    policy: str
    webhook: str
    authority: Authority
    processes: tuple[Process, ...]

    def outbound(self, service: str, namespace: str, port: int, caller: str) -> dict[str, Any]:
        """The policy that a proxy of the namespace ``caller`` gets for a port of a Service."""
        token = f"--token={caller}:client"
        words = ("policy", f"--namespace={namespace}", token, f"svc/{service}", str(port))
        return dict(self._asked(self.policy, *words, "--output=json"))

    def inbound(self, pod: str, namespace: str, port: int) -> dict[str, Any]:
        """The policy that the proxy of a pod gets for one of its ports."""
        words = ("policy", f"--namespace={namespace}", f"po/{pod}", str(port))
        return dict(self._asked(self.policy, *words, "--output=json"))

    def profile(self, service: str, namespace: str, port: int, caller: str) -> dict[str, Any]:
        """The profile that a proxy of the namespace ``caller`` gets for a port of a Service."""
        token = json.dumps({"ns": caller})
        where = f"{service}.{namespace}.svc.cluster.local:{port}"
        return dict(self._asked(self.destination, "profile", f"--token={token}", where))

    def endpoints(self, *addresses: str) -> list[dict[str, Any]]:
        """The endpoints of hosts with ports. This takes 5 s."""
        found: list[dict[str, Any]] = self._asked(self.destination, "endpoints", "--output=json", *addresses)
        return found

    def refuses(self, item: Mapping[str, Any]) -> str:
        """Why the webhook of the policies refuses an object; empty if it takes it."""
        group, _, version = item["apiVersion"].rpartition("/")
        kind = {"group": group, "version": version, "kind": item["kind"]}
        request = {
            "uid": "u",
            "kind": kind,
            "resource": {"group": group, "version": version, "resource": f"{item['kind'].lower()}s"},
            "name": item["metadata"]["name"],
            "namespace": item["metadata"].get("namespace", ""),
            "operation": "CREATE",
            "userInfo": {},
            "object": item,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        asked = Request(
            self.webhook, json.dumps(review).encode(), headers={"content-type": "application/json"}
        )
        with urlopen(asked, timeout=30, context=self.authority.client_context()) as answer:
            said = json.load(answer)["response"]
        return "" if said["allowed"] else str((said.get("status") or {}).get("message") or "refused")

    def logs(self) -> str:
        """The end of both logs, for the report of a failure."""
        return "\n".join(f"--- {each.name}\n{each.tail()}" for each in self.processes)

    def _asked(self, address: str, *words: str) -> Any:
        command = [*self.command_line, f"--api-addr={address}", "diagnostics", *words]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if said.returncode != 0 or not said.stdout:
            raise AssertionError(f"linkerd diagnostics {' '.join(words)}: {said.stdout}{said.stderr}")
        return json.loads(said.stdout)


@contextmanager
def running_control_plane(cluster: RealCluster, programs: Mapping[str, Path]) -> Iterator[ControlPlane]:
    """Both controllers for the time of a ``with`` block. Linkerd's definitions must be served."""
    folder = cluster.folder / "linkerd"
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "HOSTNAME": "conformance", "KUBECONFIG": str(cluster.kubeconfig)}
    ports = {name: free_port() for name in ("destination", "destination-admin", "grpc", "admin", "webhook")}
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    certificate, key = cluster.authority.issue("linkerd-policy")
    destination = [
        *(str(programs["controller"]), "destination"),
        *(f"-kubeconfig={cluster.kubeconfig}", f"-controller-namespace={NAMESPACE}"),
        *(f"-addr={at['destination']}", f"-metrics-addr={at['destination-admin']}"),
        *("-identity-trust-domain=cluster.local", "-cluster-domain=cluster.local", "-enable-ipv6=false"),
        f"-default-opaque-ports={BY_DEFAULT}",
    ]
    policy = [
        str(programs["linkerd-policy-controller"]),
        *(f"--grpc-addr={at['grpc']}", f"--admin-addr={at['admin']}", f"--server-addr={at['webhook']}"),
        *(f"--server-tls-key={key}", f"--server-tls-certs={certificate}"),
        *(f"--cluster-networks={CLUSTER_NETWORKS}", f"--probe-networks={EVERYWHERE}"),
        f"--default-opaque-ports={BY_DEFAULT}",
    ]
    with (
        running("linkerd-destination", destination, folder, environment) as destinations,
        running("linkerd-policy", policy, folder, environment) as policies,
    ):
        destinations.wait_until_ready(f"http://{at['destination-admin']}/ready")
        policies.wait_until_ready(f"http://{at['admin']}/ready")
        yield ControlPlane(
            command_line=(str(programs["linkerd"]), f"--kubeconfig={cluster.kubeconfig}"),
            destination=at["destination"],
            policy=at["grpc"],
            webhook=f"https://localhost:{ports['webhook']}",
            authority=cluster.authority,
            processes=(destinations, policies),
        )
