"""Steps that isolate a control plane's namespace: quota, default requests and network policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.intent.mesh import ControlPlane, Quota
from meshkit.kube.manifests import obj
from meshkit.kube.metadata import Labels
from meshkit.kube.quantities import amount
from meshkit.kube.steps import Step

QUOTA = Kind("v1", "ResourceQuota")
LIMIT_RANGE = Kind("v1", "LimitRange")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
NAME = "mesh-control-plane"
_DEFAULT_REQUEST = {"cpu": "50m", "memory": "64Mi"}


def quota_steps(quota: Quota | None, namespace: str) -> list[Step]:
    """A ResourceQuota, and a LimitRange with default requests, which a quota makes mandatory.

    Only requests are limited, because a quota on limits would require limits on every container.
    """
    if quota is None:
        return []
    hard = {"requests.cpu": quota.cpu, "requests.memory": quota.memory, "pods": str(quota.pods)}
    limits = [{"type": "Container", "defaultRequest": dict(_DEFAULT_REQUEST)}]
    return [
        Step(obj(LIMIT_RANGE, NAME, namespace, spec={"limits": limits})),
        Step(obj(QUOTA, NAME, namespace, spec={"hard": hard})),
    ]


def require_room(
    intent: ControlPlane,
    pods: Sequence[Sequence[Mapping[str, str]]],
    agents: Sequence[Mapping[str, str]] = (),
) -> None:
    """Raise ``BadInput`` for a quota that is too small for the replicas plus one during a rollout.

    ``pods`` has one pod of each component, as the requests of its containers. ``agents`` has additional pods,
    one on each node.
    """
    if intent.quota is None:
        return
    count = intent.replicas + 1
    for resource in ("cpu", "memory"):
        needed = count * sum(amount(container[resource]) for pod in pods for container in pod)
        needed += sum(amount(agent[resource]) for agent in agents)
        given = getattr(intent.quota, resource)
        if amount(given) < needed:
            each = " + ".join(container[resource] for pod in pods for container in pod)
            besides = f", and {len(agents)} node agents {agents[0][resource]} each" if agents else ""
            raise BadInput(
                f"control_plane.quota.{resource}",
                f"{given} is less than {intent.replicas} replicas and one more during a rollout request"
                f" ({count} x ({each})){besides}.",
                remedy="Raise the quota, or lower replicas or resources.",
            )
    most = count * len(pods) + len(agents)
    if intent.quota.pods < most:
        raise BadInput(
            "control_plane.quota.pods",
            f"{intent.quota.pods} pods are fewer than the {most} of a rollout.",
            remedy="Raise it, or lower replicas.",
        )


def reachable_on(name: str, namespace: str, selector: Labels, ports: Sequence[int]) -> Step:
    """A NetworkPolicy that allows these TCP ports from all sources and blocks all other ports.

    All sources are allowed because API servers often call from node addresses and proxies from other
    networks. Egress is not restricted: pods need the API server, DNS and key servers for JSON Web Tokens.
    """
    listed: list[dict[str, Any]] = [{"protocol": "TCP", "port": port} for port in ports]
    spec = {
        "podSelector": {"matchLabels": dict(selector)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": listed}],
    }
    return Step(obj(NETWORK_POLICY, name, namespace, spec=spec))
