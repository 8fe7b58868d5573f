"""Read the state of pods for translators, metrics and the node agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from meshkit.kube.metadata import annotations_of, labels
from meshkit.kube.pods import has_sidecar
from meshkit.meshes.model.outbound import Object

DEFAULT_REVISION = "default"
"""The name of the default revision, the only one of a mesh without revisions."""


@dataclass(frozen=True)
class Proxy:
    """How to recognize a mesh's proxy in a pod, and the identity in its certificate."""

    mesh: str
    container: str
    skipped_ports: str
    """The annotation with the ports that the proxy does not capture."""
    san_type: Literal["URI", "DNS"]
    """The kind of name in a certificate."""
    identity: Callable[[str, str], str]
    """Makes that name from namespace and ServiceAccount."""
    captured_ports: str = ""
    """The annotation with the only ports that the proxy captures, if it is not ``*``."""
    skipped_outbound_ports: str = ""
    """The annotation with the ports of calls that the proxy does not capture."""
    revision_mark: str = ""
    """The annotation of pods and label of objects with the revision; empty for a mesh without revisions."""
    own_pods: str = ""
    """The label of the control plane's pods, if these have proxies."""
    pod_labels: tuple[tuple[str, str], ...] = ()
    """The labels of pods with the proxy, which the injector sets."""
    inherited_annotations: str = ""
    """The prefix of the annotations that the injector copies from a namespace to its pods."""
    roots_variable: str = ""
    """The environment variable with the root certificates that a proxy trusts while it runs; empty if the
    control plane sends them.
    """


@dataclass(frozen=True)
class Peer:
    """One end of a request, as named in the meshes' metrics."""

    pod: str
    namespace: str
    service_account: str
    workload: str
    mesh: str | None = None
    zone: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: Object, mesh: str | None) -> Peer:
        """The peer for ``pod``, with the sidecar of ``mesh`` or without one."""
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
    """The revision of the control plane that injected the pod and configures it."""
    return str(annotations_of(pod).get(proxy.revision_mark, DEFAULT_REVISION))


def obeys(pod: Object, proxy: Proxy, revision: str) -> bool:
    """Whether the pod has this proxy, from this revision of its control plane."""
    return has_sidecar(pod, proxy.container) and revision_of(pod, proxy) == revision


def is_control_plane(pod: Object, proxy: Proxy) -> bool:
    """Whether the pod belongs to the control plane and has a proxy."""
    return proxy.own_pods in labels(pod)


def captured_ports(pod: Object, proxy: Proxy) -> tuple[int, ...]:
    """The container ports that the sidecar captures: all TCP ports except those that its annotation excludes.

    None for pods of the control plane: in the sandbox, proxies get configuration and certificates by files,
    and the remaining traffic are webhook calls, which a real proxy passes through unchanged.
    """
    ports = {
        int(port["containerPort"])
        for container in pod["spec"].get("containers") or ()
        if container["name"] != proxy.container
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }
    return tuple(sorted(captured_of(pod, proxy, ports)))


def captured_of(pod: Object, proxy: Proxy, ports: set[int]) -> set[int]:
    """Those of these ports that the sidecar captures, whether or not a container declares them."""
    if not has_sidecar(pod, proxy.container) or is_control_plane(pod, proxy):
        return set()
    written = annotations_of(pod)
    skipped, listed = written.get(proxy.skipped_ports, ""), written.get(proxy.captured_ports, "*")
    return {port for port in ports if not _lists(skipped, port) and (listed == "*" or _lists(listed, port))}


def calls_past(pod: Object, proxy: Proxy, port: int) -> bool:
    """Whether calls of a pod to a port go past its proxy."""
    return _lists(annotations_of(pod).get(proxy.skipped_outbound_ports, ""), port)


def _lists(written: str, port: int) -> bool:
    """Whether a list of ports and ranges, such as ``25,8000-8080``, has a port."""
    for part in written.split(","):
        low, _, high = (each.strip() for each in part.partition("-"))
        if low.isdigit() and (high or low).isdigit() and int(low) <= port <= int(high or low):
            return True
    return False


def port_numbers(pod: Object, written: int | str) -> set[int]:
    """The container ports of a pod that a number or the name of a port stands for."""
    return {written} if isinstance(written, int) else set(_named_ports(pod, written))


def target_port(pod: Object, port: Mapping[str, Any]) -> int | None:
    """The port of a pod that a port of a Service or ServiceEntry leads to; None if the pod has none."""
    target = port.get("targetPort") or port.get("port") or port.get("number")
    if isinstance(target, int) or str(target).isdigit():
        return int(str(target))
    return next(_named_ports(pod, str(target)), None)


def _named_ports(pod: Object, name: str) -> Iterator[int]:
    spec = pod.get("spec") or {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        yield from (int(p["containerPort"]) for p in container.get("ports") or () if p.get("name") == name)


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
