"""Fault injection: loss of a pod, a node or a zone, and slow dependencies.

It is available for the sandbox only; any other cluster is refused. Everything uses the Kubernetes API: a pod
is deleted without a grace period, and an annotation makes the node's agent behave as after a power failure
(all processes end at once, without a graceful shutdown). A workload is slowed through its control port. The
consequences are Kubernetes' own: the node becomes NotReady, its pods leave their services, and replacements
start on other nodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshkit.errors import BadInput
from meshkit.facts import Kind, Object
from meshkit.kube.kinds import ZONE
from meshkit.kube.pods import is_ready

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

NODE, POD = Kind("v1", "Node"), Kind("v1", "Pod")
DOWN = "sandbox.meshkit.dev/down"
"""The annotation that makes the sandbox's node agent stop its node."""
SANDBOX_RUNTIME = "meshkit://"
WEB_IMAGE = "meshkit.dev/sandbox/web"
"""The only image whose latency can be set."""
CONTROL_PORT = 9000


class Chaos:
    """Fault injection for one sandbox.

    Raises ``BadInput`` for any other cluster and for objects that do not exist.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._api = cluster, cluster.api
        runtimes = [node["status"]["nodeInfo"]["containerRuntimeVersion"] for node in self._nodes()]
        if not runtimes or not all(node.startswith(SANDBOX_RUNTIME) for node in runtimes):
            raise BadInput(
                "cluster",
                f"{cluster.context} is not a sandbox; faults are injected only there.",
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
        pods = [pod for pod in self._webs(namespace) if _is_of(pod, workload)]
        if not pods:
            raise BadInput(
                "workload",
                f"{namespace}/{workload} has no running pod of the image {WEB_IMAGE}.",
                remedy="Only the sandbox's own web image can be slowed; the shop's are web-v1 and stock.",
            )
        errors = {} if error_percent is None else {"error_percent": error_percent}
        return self._tell(pods, "/-/behaviour", {"latency_ms": latency_ms, **errors})

    def restore(self) -> list[str]:
        """Switch on every node and reset every workload, and return the affected nodes and pods."""
        down = [node["metadata"]["name"] for node in self._nodes() if _is_down(node)]
        for name in down:
            self._switch(name, off=False)
        return [*down, *self._tell(self._webs(None), "/-/restore", {})]

    def _nodes(self) -> Sequence[Object]:
        return self._api.list(NODE)

    def _switch(self, node: str, *, off: bool) -> None:
        annotations = {DOWN: "true" if off else None}
        self._api.merge_patch(NODE, node, None, {"metadata": {"annotations": annotations}})

    def _webs(self, namespace: str | None) -> list[Object]:
        """The ready pods whose behaviour can be set."""
        return [pod for pod in self._api.list(POD, namespace) if is_ready(pod) and _runs_web(pod)]

    def _tell(self, pods: Sequence[Object], path: str, body: dict[str, float]) -> list[str]:
        names = []
        for pod in pods:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            self._api.pod_put(namespace, name, CONTROL_PORT, path, json.dumps(body))
            names.append(f"{namespace}/{name}")
        return names


def _is_down(node: Object) -> bool:
    return (node["metadata"].get("annotations") or {}).get(DOWN) == "true"


def _is_of(pod: Object, workload: str) -> bool:
    owners = [each["name"] for each in pod["metadata"].get("ownerReferences") or ()]
    return any(owner == workload or owner.rpartition("-")[0] == workload for owner in owners)


def _runs_web(pod: Object) -> bool:
    return any(container["image"].startswith(WEB_IMAGE) for container in pod["spec"]["containers"])
