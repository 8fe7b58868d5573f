"""Which pods and namespaces are in the mesh by the ambient mode."""

from __future__ import annotations

from meshkit.facts import Object
from meshkit.kube.metadata import annotations_of, labels
from meshkit.kube.pods import has_sidecar

MODE = "istio.io/dataplane-mode"
"""The label of a namespace or pod: ``ambient``, or ``none`` for a pod that stays outside."""
AMBIENT, OUTSIDE = "ambient", "none"
REDIRECTION = "ambient.istio.io/redirection"
"""The annotation that Istio's CNI agent sets on a pod whose connections ztunnel carries."""
CAPTURED = "enabled"
SIDECAR = "istio-proxy"
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
"""The label of the pods of gateways and waypoints of the Gateway API."""
_INJECTED = "sidecar.istio.io/status"
"""The annotation that the injector sets on a pod with a sidecar."""


def enrolled(pod: Object, namespace: Object) -> str:
    """The label or annotation that puts a pod or pod template into the ambient mode; empty if none does.

    A pod's own label takes precedence over that of its namespace. A sidecar takes precedence over both, and
    ztunnel cannot carry the connections of a pod on the host's network.
    """
    if has_own_proxy(pod) or (pod.get("spec") or {}).get("hostNetwork"):
        return ""
    if is_captured(pod):
        return f"{REDIRECTION}={CAPTURED}"
    own = labels(pod).get(MODE)
    if own in (AMBIENT, OUTSIDE):
        return f"{MODE}={AMBIENT}" if own == AMBIENT else ""
    return f"{MODE}={AMBIENT}" if is_ambient(namespace) else ""


def has_own_proxy(pod: Object) -> bool:
    """Whether a pod runs a proxy of Istio: a sidecar, a gateway or a waypoint."""
    return has_sidecar(pod, SIDECAR) or _INJECTED in annotations_of(pod)


def is_sidecar(pod: Object) -> bool:
    """Whether a pod runs a proxy of Istio beside a workload, not as a gateway or waypoint."""
    return has_own_proxy(pod) and GATEWAY_NAME not in labels(pod)


def is_ambient(namespace: Object) -> bool:
    """Whether a namespace puts its pods into the ambient mode."""
    return labels(namespace).get(MODE) == AMBIENT


def is_captured(pod: Object) -> bool:
    """Whether the CNI agent has redirected a pod's connections to ztunnel."""
    return annotations_of(pod).get(REDIRECTION) == CAPTURED
