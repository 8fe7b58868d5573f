"""The table of the sandbox's data planes by mesh, and functions that find the proxy of a pod."""

from __future__ import annotations

from meshkit.kube.pods import has_sidecar
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Peer, captured_ports
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE as ISTIO
from meshkit.sandbox.control_planes.linkerd.data_plane import DATA_PLANE as LINKERD

DATA_PLANES: dict[str, DataPlane] = {plane.proxy.mesh: plane for plane in (ISTIO, LINKERD)}


def data_plane_of(pod: Object) -> DataPlane | None:
    """Return the data plane of a pod's proxy, or None if the pod has no proxy."""
    return next((plane for plane in DATA_PLANES.values() if has_sidecar(pod, plane.proxy.container)), None)


def is_proxy(container: str) -> bool:
    """Return whether a container of this name is a mesh's proxy."""
    return any(container == plane.proxy.container for plane in DATA_PLANES.values())


def ports_behind_proxy(pod: Object) -> tuple[int, ...]:
    """Return the container ports of a pod that its proxy captures."""
    plane = data_plane_of(pod)
    return captured_ports(pod, plane.proxy) if plane else ()


def peer_of(pod: Object) -> Peer:
    """Return the pod's names for the metrics of other proxies."""
    plane = data_plane_of(pod)
    return Peer.of(pod, plane.proxy.mesh if plane else None)
