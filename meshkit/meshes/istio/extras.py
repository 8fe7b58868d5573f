"""Plan the optional parts of Istio's charts: the CNI node agent and an ingress gateway.

Only values that differ from the charts' defaults are set, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.errors import BadInput
from meshkit.intent.mesh import ControlPlane, Gateway
from meshkit.kube import manifests
from meshkit.kube.helm import merged
from meshkit.kube.kinds import NAMESPACE
from meshkit.kube.steps import Step
from meshkit.meshes.control_plane import release_step

CNI_REQUESTS = {"cpu": "100m", "memory": "100Mi"}
"""What Istio's chart requests for the node agent on each node."""


def cni_step(
    namespace: str, intent: ControlPlane, images: Mapping[str, str], places: Mapping[str, Any]
) -> Step:
    """The step for the node agent, in istiod's namespace as in Istio's installation guide.

    Its pods are ``system-node-critical`` by the chart, and its update takes one node at a time.
    """
    values = {"global": dict(images), "resources": {"requests": dict(CNI_REQUESTS)}}
    return release_step("istio-cni", namespace, intent, values, directories=("cni", "istio-cni"), **places)


def gateway_steps(gateway: Gateway, intent: ControlPlane, places: Mapping[str, Any]) -> list[Step]:
    """The gateway's namespace and its release."""
    values = merged(gateway_values(gateway, intent), gateway.values)
    return [
        Step(manifests.obj(NAMESPACE, gateway.namespace)),
        release_step(gateway.name, gateway.namespace, intent, values, directories=("gateway",), **places),
    ]


def gateway_values(gateway: Gateway, intent: ControlPlane) -> dict[str, Any]:
    """The values for the gateway chart.

    By default the chart has one replica, no budget and no topology spread; its autoscaler needs a metrics
    server and guarantees no number of replicas.
    """
    revision = {"revision": intent.revision} if intent.revision else {}
    return {
        **revision,
        "autoscaling": {"enabled": False},
        "replicaCount": gateway.replicas,
        # The old replica serves requests from outside until the new one is ready.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "podDisruptionBudget": {"maxUnavailable": 1},
        "topologySpreadConstraints": manifests.spread({"app": gateway.name}) if intent.zones > 1 else [],
        "priorityClassName": intent.priority_class or "",
        "resources": {"requests": gateway.resources.model_dump()},
        "service": {"type": gateway.service},
    }


def require_apart(gateway: Gateway | None, namespace: str) -> None:
    """Reject a gateway in istiod's namespace, where access to it implies access to the mesh's signing key."""
    if gateway is not None and gateway.namespace == namespace:
        raise BadInput(
            "control_plane.gateway.namespace",
            f"{namespace} is the control plane's: rights to the gateway would be rights to the mesh's keys.",
            remedy="Give the gateway a namespace of its own.",
        )
