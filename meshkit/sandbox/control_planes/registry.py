"""The one table of the sandbox's data planes, by the mesh's name, and whose proxy a pod has."""

from __future__ import annotations

from meshkit.kube.pods import has_sidecar
from meshkit.meshes.model.outbound import Object
from meshkit.meshes.model.pods import Peer, captured_ports
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE as ISTIO
from meshkit.sandbox.control_planes.linkerd.data_plane import DATA_PLANE as LINKERD

DATA_PLANES: dict[str, DataPlane] = {plane.proxy.mesh: plane for plane in (ISTIO, LINKERD)}


def data_plane_of(pod: Object) -> DataPlane | None:
    """The data plane whose proxy a pod has, None where it has none."""
    return next((each for each in DATA_PLANES.values() if has_sidecar(pod, each.proxy.container)), None)


def is_proxy(container: str) -> bool:
    """Whether a container of that name is a mesh's proxy."""
    return any(container == each.proxy.container for each in DATA_PLANES.values())


def ports_behind_proxy(pod: Object) -> tuple[int, ...]:
    """The container ports of a pod that its proxy answers; none where it has no proxy."""
    plane = data_plane_of(pod)
    return captured_ports(pod, plane.proxy) if plane else ()


def peer_of(pod: Object) -> Peer:
    """A pod as the metrics of other proxies name it."""
    plane = data_plane_of(pod)
    return Peer.of(pod, plane.proxy.mesh if plane else None)
