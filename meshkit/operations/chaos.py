"""What goes wrong in a cluster, on purpose: a pod, a node or a zone is lost, a dependency gets slow.

For the sandbox only, where nobody else is hurt; any other cluster is refused. Everything goes through the
Kubernetes API: a pod is deleted without a grace period, a node carries an annotation that its agent obeys as
if the power had gone (every process ends at once, and nobody says goodbye), and a workload is told to be slow
on its control port. What follows is Kubernetes' business: the node is found NotReady, its pods leave their
services, and others are made elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object
from meshkit.kube.kinds import ZONE
from meshkit.kube.nodes import POWERED_OFF, can_be_switched_off, is_switched_off
from meshkit.kube.pods import is_ready
from meshkit.operations.shop import BEHAVIOUR_PORT

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

NODE, POD = Kind("v1", "Node"), Kind("v1", "Pod")


class Chaos:
    """Trouble for one sandbox. BadInput for any other cluster, and for what is not there."""

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
        """End a pod's processes at once, without a grace period; its owner makes another."""
        if self._api.get(POD, name, namespace) is None:
            raise BadInput("pod", f"{namespace}/{name} is not there.", remedy="See 'kubectl get pods -A'.")
        self._api.delete(POD, name, namespace, grace_s=0)

    def kill_node(self, name: str) -> None:
        """Switch a node off."""
        known = [each["metadata"]["name"] for each in self._nodes()]
        if name not in known:
            raise BadInput("node", f"{name!r} is not there.", remedy=f"Known: {', '.join(sorted(known))}.")
        self._switch(name, off=True)

    def kill_zone(self, zone: str) -> list[str]:
        """Switch every node of a zone off. Returns their names."""
        zones = {each["metadata"]["name"]: each["metadata"]["labels"].get(ZONE, "") for each in self._nodes()}
        names = sorted(name for name, here in zones.items() if here == zone)
        if not names:
            known = ", ".join(sorted(set(zones.values())))
            raise BadInput("zone", f"{zone!r} is not there.", remedy=f"Known: {known}.")
        for name in names:
            self._switch(name, off=True)
        return names

    def slow(
        self, namespace: str, workload: str, *, latency_ms: float, error_percent: float | None = None
    ) -> list[str]:
        """Let every running pod of a Deployment answer with this median latency, and with errors if asked.

        A pod that starts later is as fast as ever. Returns the pods that obeyed.
        """
        pods = [pod for pod in self._webs(namespace) if _is_of(pod, workload)]
        if not pods:
            raise BadInput(
                "workload",
                f"{namespace}/{workload} has no running pod with the annotation {BEHAVIOUR_PORT}.",
                remedy="Only the servers of the demo shop can be slowed down, such as web-v1 and stock.",
            )
        errors = {} if error_percent is None else {"error_percent": error_percent}
        return self._tell(pods, "/-/behaviour", {"latency_ms": latency_ms, **errors})

    def restore(self) -> list[str]:
        """Switch every node on again, and let every workload answer as it did at first.

        Returns the nodes and pods that this concerned.
        """
        down = [each["metadata"]["name"] for each in self._nodes() if is_switched_off(each)]
        for name in down:
            self._switch(name, off=False)
        return [*down, *self._tell(self._webs(None), "/-/restore", {})]

    def _nodes(self) -> Sequence[Object]:
        return self._api.list(NODE)

    def _switch(self, node: str, *, off: bool) -> None:
        annotations = {POWERED_OFF: "true" if off else None}
        self._api.merge_patch(NODE, node, None, {"metadata": {"annotations": annotations}})

    def _webs(self, namespace: str | None) -> list[Object]:
        """The ready pods that can be told how to answer."""
        return [pod for pod in self._api.list(POD, namespace) if is_ready(pod) and _behaviour_port(pod)]

    def _tell(self, pods: Sequence[Object], path: str, body: dict[str, float]) -> list[str]:
        names = []
        for pod in pods:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            self._api.pod_put(namespace, name, int(_behaviour_port(pod)), path, json.dumps(body))
            names.append(f"{namespace}/{name}")
        return names


def _is_of(pod: Object, workload: str) -> bool:
    owners = [each["name"] for each in pod["metadata"].get("ownerReferences") or ()]
    return any(owner == workload or owner.rpartition("-")[0] == workload for owner in owners)


def _behaviour_port(pod: Object) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(BEHAVIOUR_PORT, ""))
