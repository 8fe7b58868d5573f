"""What pods, Services and EndpointSlices say, read in one place for translators, metrics and node agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshkit.meshes.model.hosts import CLUSTER_DOMAIN
from meshkit.meshes.model.outbound import Object

ISTIO = "istio"
LINKERD = "linkerd"
REVISION = "istio.io/rev"
DEFAULT_REVISION = "default"
"""Linkerd has no other."""
TLS_MODE_LABEL = "security.istio.io/tlsMode"
SIDECARS = {"istio-proxy": ISTIO, "linkerd-proxy": LINKERD}
SKIPPED_PORTS = {
    ISTIO: "traffic.sidecar.istio.io/excludeInboundPorts",
    LINKERD: "config.linkerd.io/skip-inbound-ports",
}


ROOTS_VARIABLE = "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"
"""Where Linkerd's proxy finds the roots that it trusts for as long as it runs."""
COMPONENT = "linkerd.io/control-plane-component"


@dataclass(frozen=True)
class Peer:
    """One end of a request, as the meshes' metrics name it."""

    pod: str
    namespace: str
    service_account: str
    workload: str
    mesh: str | None = None
    zone: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: Object) -> Peer:
        """The peer that ``pod`` is."""
        meta = pod["metadata"]
        return cls(
            pod=meta["name"],
            namespace=meta["namespace"],
            service_account=service_account(pod),
            workload=workload_name(pod),
            mesh=mesh_of(pod),
            labels=meta.get("labels") or {},
        )


def mesh_of(pod: Object) -> str | None:
    """The mesh whose sidecar the pod has, in ``containers`` or as a native one in ``initContainers``."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*sidecars, *(spec.get("containers") or ())]:
        if container["name"] in SIDECARS:
            return SIDECARS[container["name"]]
    return None


def revision_of(pod: Object) -> str:
    """The revision of the control plane that injected the pod, and that alone configures it."""
    return str((pod["metadata"].get("annotations") or {}).get(REVISION, DEFAULT_REVISION))


def obeys(pod: Object, mesh: str, revision: str) -> bool:
    """Whether the pod has a sidecar of this mesh, and of this revision of its control plane."""
    return mesh_of(pod) == mesh and revision_of(pod) == revision


def is_control_plane(pod: Object) -> bool:
    """Whether the pod is one of Linkerd's own, whose charts give each a proxy."""
    return COMPONENT in (pod["metadata"].get("labels") or {})


def captured_ports(pod: Object) -> tuple[int, ...]:
    """The container ports that the sidecar answers: all TCP ports but those its annotation excludes.

    None of Linkerd's own pods: what their proxies carry in reality, what proxies are told and certificates,
    goes by files here; what is left are webhooks, which pass a real one untouched.
    """
    mesh = mesh_of(pod)
    if mesh is None or is_control_plane(pod):
        return ()
    skipped = (pod["metadata"].get("annotations") or {}).get(SKIPPED_PORTS[mesh], "")
    without = {int(port) for port in skipped.split(",") if port.strip().isdigit()}
    ports = {
        int(port["containerPort"])
        for container in pod["spec"].get("containers") or ()
        if container["name"] not in SIDECARS
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }
    return tuple(sorted(ports - without))


def service_account(pod: Object) -> str:
    """The name of the pod's ServiceAccount."""
    return str(pod["spec"].get("serviceAccountName") or "default")


def workload_identity(mesh: str, namespace: str, account: str) -> str:
    """The name a ServiceAccount's pods prove: a SPIFFE URI in Istio, a DNS name in Linkerd."""
    if mesh == ISTIO:
        return f"spiffe://{CLUSTER_DOMAIN}/ns/{namespace}/sa/{account}"
    return f"{account}.{namespace}.serviceaccount.identity.linkerd.{CLUSTER_DOMAIN}"


def workload_name(pod: Object) -> str:
    """The name of the Deployment (or other owner) the pod belongs to, else its own."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") == "ReplicaSet":
            suffix = "-" + str((meta.get("labels") or {}).get("pod-template-hash", ""))
            name = str(owner["name"])
            return name.removesuffix(suffix) if len(suffix) > 1 else name.rpartition("-")[0] or name
        return str(owner["name"])
    return str(meta["name"])


def is_running(pod: Object) -> bool:
    """Whether the pod has an address and has not ended."""
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")


def selects(selector: Mapping[str, str] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether ``labels`` hold every pair of ``selector``. An empty selector selects everything."""
    have = labels or {}
    return all(have.get(key) == value for key, value in (selector or {}).items())
