"""What pods, Services and EndpointSlices say, read in one place for translators, metrics and node agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from meshkit.kube.metadata import labels, notes
from meshkit.kube.pods import has_sidecar
from meshkit.meshes.model.outbound import Object

DEFAULT_REVISION = "default"
"""The control plane without a name; a mesh without revisions has no other."""


@dataclass(frozen=True)
class Proxy:
    """How the proxy of one mesh stands in a pod, and the name that its certificate proves."""

    mesh: str
    container: str
    skipped_ports: str
    """The annotation with the ports that the proxy leaves alone."""
    san_type: Literal["URI", "DNS"]
    """What kind of name a certificate holds."""
    identity: Callable[[str, str], str]
    """From namespace and ServiceAccount to that name."""
    revision_mark: str = ""
    """What names a revision: an annotation of pods, a label of the mesh's objects. Empty for a mesh that has
    only one.
    """
    own_pods: str = ""
    """The label of the control plane's own pods, where these have proxies."""
    roots_variable: str = ""
    """Where a proxy finds the roots that it trusts for as long as it runs; empty where the control
    plane tells it.
    """


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
    def of(cls, pod: Object, mesh: str | None) -> Peer:
        """The peer that ``pod`` is, with the sidecar of ``mesh`` or of none."""
        meta = pod["metadata"]
        return cls(
            pod=meta["name"],
            namespace=meta["namespace"],
            service_account=service_account(pod),
            workload=workload_name(pod),
            mesh=mesh,
            labels=meta.get("labels") or {},
        )


def revision_of(pod: Object, proxy: Proxy) -> str:
    """The revision of the control plane that injected the pod, and that alone configures it."""
    return str(notes(pod).get(proxy.revision_mark, DEFAULT_REVISION))


def obeys(pod: Object, proxy: Proxy, revision: str) -> bool:
    """Whether the pod has this proxy, from this revision of its control plane."""
    return has_sidecar(pod, proxy.container) and revision_of(pod, proxy) == revision


def is_control_plane(pod: Object, proxy: Proxy) -> bool:
    """Whether the pod is one of the control plane's own that have a proxy."""
    return proxy.own_pods in labels(pod)


def captured_ports(pod: Object, proxy: Proxy) -> tuple[int, ...]:
    """The container ports that the sidecar answers: all TCP ports but those its annotation excludes.

    None of the control plane's own pods: what their proxies carry in reality, what proxies are told and
    certificates, goes by files here; what is left are webhooks, which pass a real one untouched.
    """
    if not has_sidecar(pod, proxy.container) or is_control_plane(pod, proxy):
        return ()
    skipped = notes(pod).get(proxy.skipped_ports, "")
    without = {int(port) for port in skipped.split(",") if port.strip().isdigit()}
    ports = {
        int(port["containerPort"])
        for container in pod["spec"].get("containers") or ()
        if container["name"] != proxy.container
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }
    return tuple(sorted(ports - without))


def service_account(pod: Object) -> str:
    """The name of the pod's ServiceAccount."""
    return str(pod["spec"].get("serviceAccountName") or "default")


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
