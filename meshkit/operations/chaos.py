"""Fault injection: loss of a pod, a node or a zone, and slow dependencies.

It is available for the sandbox only; any other cluster is refused. Everything uses the Kubernetes API: a pod
is deleted without a grace period, and an annotation makes the node's agent behave as after a power failure
(all processes end at once, without a graceful shutdown). A workload is slowed through its control port. The
consequences are Kubernetes' own: the node becomes NotReady, its pods leave their services, and replacements
start on other nodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object
from meshkit.kube.kinds import ZONE
from meshkit.kube.nodes import POWERED_OFF, can_be_switched_off, is_switched_off
from meshkit.kube.pods import is_ready, workload
from meshkit.operations.shop import BEHAVIOUR_PORT

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

NODE, POD = Kind("v1", "Node"), Kind("v1", "Pod")


class Chaos:
    """Fault injection for one sandbox.

    Raises ``BadInput`` for any other cluster and for objects that do not exist.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._api = cluster, cluster.api
        nodes = self._nodes()
        if not nodes or not all(map(can_be_switched_off, nodes)):
            raise BadInput(
                "cluster",
                f"the nodes of {cluster.context} cannot be switched off: it is not a sandbox.",
                remedy="Start one with 'meshkit sandbox up' and connect to it.",
            )

    def kill_pod(self, namespace: str, name: str) -> None:
        """End a pod's processes at once, without a grace period; its owner creates a replacement."""
        if self._api.get(POD, name, namespace) is None:
            raise BadInput("pod", f"{namespace}/{name} does not exist.", remedy="See 'kubectl get pods -A'.")
        self._api.delete(POD, name, namespace, grace_s=0)

    def kill_node(self, name: str) -> None:
        """Switch a node off."""
        known = [node["metadata"]["name"] for node in self._nodes()]
        if name not in known:
            raise BadInput(
                "node", f"{name!r} does not exist.", remedy=f"Existing nodes: {', '.join(sorted(known))}."
            )
        self._switch(name, off=True)

    def kill_zone(self, zone: str) -> list[str]:
        """Switch off every node of a zone, and return their names."""
        zones = {node["metadata"]["name"]: node["metadata"]["labels"].get(ZONE, "") for node in self._nodes()}
        names = sorted(name for name, here in zones.items() if here == zone)
        if not names:
            known = ", ".join(sorted(set(zones.values())))
            raise BadInput("zone", f"{zone!r} does not exist.", remedy=f"Existing zones: {known}.")
        for name in names:
            self._switch(name, off=True)
        return names

    def slow(
        self, namespace: str, workload: str, *, latency_ms: float, error_percent: float | None = None
    ) -> list[str]:
        """Set the median latency, and optionally the error rate, of every running pod of a Deployment.

        Pods that start later are not affected. Returns the affected pods.
        """
        errors = {} if error_percent is None else {"error_percent": error_percent}
        return self.behave(namespace, workload, {"latency_ms": latency_ms, **errors})

    def behave(self, namespace: str, workload: str, values: Mapping[str, float]) -> list[str]:
        """Set some values of the behaviour of every running pod of a Deployment, and return these pods."""
        return self._tell(self._running(namespace, workload), "/-/behaviour", values)

    def behaviour(self, namespace: str, workload: str) -> dict[str, float]:
        """The behaviour of a Deployment, as its first pod has it."""
        pod = self._running(namespace, workload)[0]
        port, name = int(_behaviour_port(pod)), pod["metadata"]["name"]
        found: dict[str, float] = json.loads(self._api.pod_get(namespace, name, port, "/-/behaviour"))
        return found

    def adjustable(self, namespace: str) -> list[str]:
        """The Deployments of a namespace whose behaviour can be set."""
        return sorted({workload(pod).partition("/")[2] for pod in self._webs(namespace)})

    def _running(self, namespace: str, workload: str) -> list[Object]:
        pods = [pod for pod in self._webs(namespace) if _is_of(pod, workload)]
        if not pods:
            raise BadInput(
                "workload",
                f"{namespace}/{workload} has no running pod with the annotation {BEHAVIOUR_PORT}.",
                remedy="Only the servers of the demo shop can be slowed down, such as web-v1 and stock.",
            )
        return pods

    def restore(self) -> list[str]:
        """Switch on every node and reset every workload, and return the affected nodes and pods."""
        down = [node["metadata"]["name"] for node in self._nodes() if is_switched_off(node)]
        for name in down:
            self._switch(name, off=False)
        return [*down, *self._tell(self._webs(None), "/-/restore", {})]

    def _nodes(self) -> Sequence[Object]:
        return self._api.list(NODE)

    def _switch(self, node: str, *, off: bool) -> None:
        annotations = {POWERED_OFF: "true" if off else None}
        self._api.merge_patch(NODE, node, None, {"metadata": {"annotations": annotations}})

    def _webs(self, namespace: str | None) -> list[Object]:
        """The ready pods whose behaviour can be set."""
        return [pod for pod in self._api.list(POD, namespace) if is_ready(pod) and _behaviour_port(pod)]

    def _tell(self, pods: Sequence[Object], path: str, body: Mapping[str, float]) -> list[str]:
        names = []
        for pod in pods:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            self._api.pod_put(namespace, name, int(_behaviour_port(pod)), path, json.dumps(dict(body)))
            names.append(f"{namespace}/{name}")
        return names


def _is_of(pod: Object, workload: str) -> bool:
    owners = [each["name"] for each in pod["metadata"].get("ownerReferences") or ()]
    return any(owner == workload or owner.rpartition("-")[0] == workload for owner in owners)


def _behaviour_port(pod: Object) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(BEHAVIOUR_PORT, ""))
