"""A node of a cluster: containerd, the kubelet and kube-proxy, in namespaces of their own.

``python -m tests.cluster.node NUMBER NODE ARCHIVE`` runs in these namespaces, where it mounts directories of
the node's own over those that the programs use by convention. So nothing needs another path, and all mounts
go with the node's last process. It imports the images of an archive, starts the kubelet last, and ends.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import programs
from tests.cluster.images import PAUSE
from tests.cluster.needs import CNI, program
from tests.cluster.place import CLUSTER_DOMAIN, PODS, Place

OWN = (
    "/etc/cni/net.d",
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
VOLATILE = "run"
"""The part of them that is in memory on a real node."""
SOCKET = Path("/run/containerd/containerd.sock")
CONTAINERD = f"""
version = 2
disabled_plugins = [
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE no process may lower oom_score_adj, and runc would end without saying why.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
START_S = 60.0


def start(place: Place, node: str, archive: Path) -> subprocess.Popen[bytes]:
    """Start a node; the process ends with 0 as soon as its kubelet runs."""
    words = ["unshare", "--mount", "--uts", "--propagation", "private"]
    command = [sys.executable, "-m", "tests.cluster.node", str(place.number), node, archive]
    repository = Path(__file__).parents[2]
    launcher = ["env", f"--chdir={repository}", *words, *command]
    return programs.start(place, node, f"node-{node}", launcher).popen


def zone(node: str) -> str:
    """The zone of a node."""
    return f"zone-{node}"


def main(number: str, node: str, archive: str) -> None:
    """Start the programs of a node in the namespaces that this process is in."""
    place = Place(int(number))
    own = place.folder / f"node-{node}"
    _mount(own)
    socket.sethostname(f"node-{node}")
    _write_network(place, node)
    (own / "containerd.toml").write_text(CONTAINERD)
    programs.start_here(
        place, node, f"containerd-{node}", ["containerd", "--config", own / "containerd.toml"]
    )
    _wait_for_containerd()
    subprocess.run(["ctr", "--namespace=k8s.io", "images", "import", archive], check=True)
    (own / "kube-proxy.yaml").write_text(yaml.safe_dump(_proxy_settings(place, node)))
    settings = [program("kube-proxy"), f"--config={own / 'kube-proxy.yaml'}"]
    programs.start_here(place, node, f"kube-proxy-{node}", settings)
    (own / "resolv.conf").touch()
    (own / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_settings(place, node)))
    programs.start_here(
        place,
        node,
        f"kubelet-{node}",
        [
            program("kubelet"),
            f"--config={own / 'kubelet.yaml'}",
            f"--kubeconfig={place.folder / f'node-{node}.kubeconfig'}",
            f"--hostname-override=node-{node}",
            f"--node-ip={place.node_address(node)}",
            f"--node-labels=topology.kubernetes.io/zone={zone(node)},topology.kubernetes.io/region=here",
        ],
    )


def _mount(own: Path) -> None:
    """Mount the node's own directories; the kubelet needs mounts below / to be shared."""
    _run("mount", "--make-rshared", "/")
    for path in OWN:
        source = own / path.lstrip("/")
        for folder in (source, Path(path)):
            folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", source, path)
    _run("mount", "--make-rshared", "/var/lib/kubelet")


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def _write_network(place: Place, node: str) -> None:
    """A bridge for the node's pods, which no address is translated for."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": str(place.pod_network(node))}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}
    Path("/etc/cni/net.d/10-pods.conflist").write_text(json.dumps(network))


def _wait_for_containerd() -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if SOCKET.exists():
            asked = subprocess.run(["ctr", "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"containerd was not ready after {START_S:.0f} s")


def _proxy_settings(place: Place, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": str(PODS),
        "hostnameOverride": f"node-{node}",
        "clientConnection": {"kubeconfig": str(place.folder / "kube-proxy.kubeconfig")},
        "conntrack": {"maxPerCore": 0},
    }


def _kubelet_settings(place: Place, node: str) -> dict[str, Any]:
    pki = place.folder / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / f"kubelet-{node}.crt"),
        "tlsPrivateKeyFile": str(pki / f"kubelet-{node}.key"),
        "cgroupDriver": "cgroupfs",
        # Its own, because a kubelet ends pods below its root that it does not know.
        "cgroupRoot": f"/{place.name}/{node}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [str(place.control_plane)],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(place.folder / f"node-{node}" / "resolv.conf"),
        "evictionHard": {"memory.available": "100Mi"},
        # What is imported cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
