"""The control plane of a cluster: etcd, the API server, the controller manager, the scheduler and CoreDNS.

They listen in a network namespace of the cluster. The API server calls webhooks at the pods' own addresses
(aggregator routing), so that it needs no kube-proxy.
"""

from __future__ import annotations

from tests.cluster import programs
from tests.cluster.credentials import CONTEXT, Credentials
from tests.cluster.needs import program
from tests.cluster.place import CLUSTER_DOMAIN, SERVICES, Place
from tests.conformance.processes import Process

ETCD = "http://127.0.0.1:2379"
COREFILE = """
.:53 {{
  bind {address}
  errors
  ready {address}:8181
  cache 5
  loadbalance
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig} {context}
    ttl 5
  }}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
"""No name outside the cluster exists, which is what a program there is told."""


def start(place: Place, credentials: Credentials) -> None:
    """Start the control plane and return when the API server and CoreDNS answer."""
    _start(
        place,
        "etcd",
        f"--data-dir={place.folder / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
    )
    apiserver = _start_apiserver(place, credentials)
    apiserver.wait_until_ready(f"{place.server}/readyz", credentials.authority.client_context())
    _start_controllers(place, credentials)
    _start_dns(place, credentials).wait_until_ready(f"http://{place.control_plane}:8181/ready")


def _start(place: Place, name: str, *flags: str) -> Process:
    return programs.start(place, "cp", name, [program(name), *flags])


def _start_apiserver(place: Place, credentials: Credentials) -> Process:
    file = credentials.file
    return _start(
        place,
        "kube-apiserver",
        f"--etcd-servers={ETCD}",
        f"--bind-address={place.control_plane}",
        f"--advertise-address={place.control_plane}",
        "--secure-port=6443",
        f"--tls-cert-file={file('kube-apiserver.crt')}",
        f"--tls-private-key-file={file('kube-apiserver.key')}",
        f"--client-ca-file={file('ca.crt')}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--service-account-key-file={file('accounts.crt')}",
        f"--service-account-signing-key-file={file('accounts.key')}",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        "--enable-aggregator-routing=true",
        f"--kubelet-client-certificate={file('kubelet-client.crt')}",
        f"--kubelet-client-key={file('kubelet-client.key')}",
        f"--kubelet-certificate-authority={file('ca.crt')}",
        "--kubelet-preferred-address-types=InternalIP",
    )


def _start_controllers(place: Place, credentials: Credentials) -> None:
    for name in ("kube-controller-manager", "kube-scheduler"):
        flags = [
            f"--kubeconfig={credentials.kubeconfig(name)}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={place.folder / name}",
            "--leader-elect=false",
        ]
        if name == "kube-controller-manager":
            flags += [
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={credentials.file('accounts.key')}",
                f"--root-ca-file={credentials.file('ca.crt')}",
            ]
        _start(place, name, *flags)


def _start_dns(place: Place, credentials: Credentials) -> Process:
    corefile = place.folder / "Corefile"
    corefile.write_text(
        COREFILE.format(
            address=place.control_plane,
            domain=CLUSTER_DOMAIN,
            kubeconfig=credentials.kubeconfig("coredns"),
            context=CONTEXT,
        )
    )
    return _start(place, "coredns", "-conf", str(corefile))
