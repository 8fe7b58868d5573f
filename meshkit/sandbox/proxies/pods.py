"""What pods, Services and EndpointSlices say, read in one place for translators, metrics and node agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshkit.sandbox.proxies.model import Object

ISTIO = "istio"
LINKERD = "linkerd"
CLUSTER_DOMAIN = "cluster.local"
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


def host_of(service: Object) -> str:
    """The full host name of a Service."""
    meta = service["metadata"]
    return f"{meta['name']}.{meta['namespace']}.svc.{CLUSTER_DOMAIN}"


def full_host(name: str, namespace: str) -> str:
    """A host name as its author's namespace resolves it (``web`` in shop -> web.shop.svc.cluster.local).

    A name with a dot stands as it is written, as in Istio (pilot/pkg/model, ResolveShortnameToFQDN).
    """
    return name if "." in name or name == "*" else f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}"


def domains_of(service: Object, port: int, caller_namespace: str) -> tuple[str, ...]:
    """Every name under which callers of one namespace reach a Service port.

    Names without a port mean port 80; a Service without port 80 answers them on its first port.
    """
    meta = service["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    names = [f"{name}.{namespace}", f"{name}.{namespace}.svc", host_of(service)]
    if namespace == caller_namespace:
        names.insert(0, name)
    address = service["spec"].get("clusterIP")
    if address and address != "None":
        names.append(address)
    ports = [int(entry["port"]) for entry in service["spec"].get("ports") or ()]
    bare = port == (80 if 80 in ports else ports[0])
    return tuple(names if bare else ()) + tuple(f"{entry}:{port}" for entry in names)


@dataclass(frozen=True)
class Backing:
    """One ready address behind a Service port, with the pod that has it."""

    address: str
    port: int
    pod: Object | None


@dataclass(frozen=True)
class Registry:
    """The Kubernetes objects that a translator reads:

    resource name ("pods", "virtualservices", ...) -> objects.

    ``root_namespace`` is where the control plane lives: policies there hold for the whole mesh.
    """

    objects: Mapping[str, Iterable[Object]]
    root_namespace: str = "istio-system"
    _sorted: dict[tuple[str, str | None], list[Object]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def of(self, resource: str, namespace: str | None = None) -> list[Object]:
        """The objects of one resource, of one namespace or of all, by age, then name, then namespace."""
        if (resource, namespace) not in self._sorted:
            found = [
                item
                for item in self.objects.get(resource, ())
                if namespace is None or item["metadata"].get("namespace") == namespace
            ]
            self._sorted[(resource, namespace)] = sorted(found, key=age_of)
        return self._sorted[(resource, namespace)]

    def pods_of(self, service: Object) -> list[Object]:
        """The pods a Service selects, ready or not."""
        selector = service["spec"].get("selector")
        if not selector:
            return []
        pods = self.of("pods", service["metadata"]["namespace"])
        return [pod for pod in pods if selects(selector, pod["metadata"].get("labels"))]

    def backings(self, service: Object, port: Mapping[str, Any]) -> tuple[Backing, ...]:
        """The ready, not terminating addresses of one Service port, from its EndpointSlices.

        A pod that is being deleted is left out at once, before its slice says so.
        """
        meta = service["metadata"]
        pods = {pod["metadata"]["name"]: pod for pod in self.of("pods", meta["namespace"])}
        found: dict[tuple[str, int], Backing] = {}
        for piece in self.of("endpointslices", meta["namespace"]):
            if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != meta["name"]:
                continue
            numbers = [
                int(p["port"])
                for p in piece.get("ports") or ()
                if (p.get("name") or "") == port.get("name", "")
            ]
            for endpoint in piece.get("endpoints") or ():
                pod = pods.get((endpoint.get("targetRef") or {}).get("name", ""))
                if not _serves(endpoint, pod):
                    continue
                for number in numbers:
                    for address in endpoint["addresses"]:
                        found[(address, number)] = Backing(address, number, pod)
        return tuple(found[key] for key in sorted(found))


def _serves(endpoint: Object, pod: Object | None) -> bool:
    conditions = endpoint.get("conditions") or {}
    if conditions.get("ready") is False or conditions.get("terminating"):
        return False
    return pod is None or not pod["metadata"].get("deletionTimestamp")


def age_of(item: Object) -> tuple[str, str, str]:
    """Sorts objects: the oldest first, then by name and namespace."""
    meta = item["metadata"]
    return (str(meta.get("creationTimestamp") or ""), str(meta["name"]), str(meta.get("namespace") or ""))
