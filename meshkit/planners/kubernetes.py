"""The Kubernetes objects that every mesh's control plane and injection are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.planners.base import Need
from meshkit.planners.steps import RESTART_MANAGER, Step, Wait

NAMESPACE = Kind("v1", "Namespace")
SERVICE = Kind("v1", "Service")
POD = Kind("v1", "Pod")
NODE = Kind("v1", "Node")
CONFIG_MAP = Kind("v1", "ConfigMap")
DEPLOYMENT = Kind("apps/v1", "Deployment")
WORKLOADS = (DEPLOYMENT, Kind("apps/v1", "StatefulSet"), Kind("apps/v1", "DaemonSet"))
"""What replaces its pods when its template changes."""

ZONE = "topology.kubernetes.io/zone"
"""The label of a node's zone."""
RESTART_ANNOTATION = "meshkit.dev/restarted-at-generation"
ROLLOUT_TIMEOUT_S = 300.0
CRD_TIMEOUT_S = 30.0

Labels = Mapping[str, str]


def obj(
    kind: Kind,
    name: str,
    namespace: str | None = None,
    *,
    labels: Labels | None = None,
    annotations: Labels | None = None,
    **body: Any,
) -> dict[str, Any]:
    """An object with its metadata in the usual order; empty parts are left out."""
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **body}


def crd_steps(definitions: Sequence[Object]) -> list[Step]:
    """CustomResourceDefinitions, each served before the next step."""
    return [Step(definition, wait=Wait("established", CRD_TIMEOUT_S)) for definition in definitions]


def service_account(name: str, namespace: str, labels: Labels) -> dict[str, Any]:
    """A ServiceAccount."""
    return obj(Kind("v1", "ServiceAccount"), name, namespace, labels=labels)


def cluster_role(name: str, labels: Labels, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A ClusterRole."""
    kind = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
    return obj(kind, name, labels=labels, rules=[dict(rule) for rule in rules])


def cluster_role_binding(name: str, account: str, namespace: str, labels: Labels) -> dict[str, Any]:
    """A ClusterRoleBinding of the ClusterRole of the same name to a ServiceAccount."""
    return obj(
        Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        name,
        labels=labels,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    )


def rule(groups: Sequence[str], resources: Sequence[str], verbs: str) -> dict[str, Any]:
    """One rule of a role; ``verbs`` is a list in words: ``"get list watch"``."""
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": verbs.split()}


def service(
    name: str, namespace: str, labels: Labels, selector: Labels, ports: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """A Service; ``ports`` maps a port's name to (port, targetPort)."""
    listed = [
        {"name": port_name, "port": port, "targetPort": target, "protocol": "TCP"}
        for port_name, (port, target) in ports.items()
    ]
    return obj(SERVICE, name, namespace, labels=labels, spec={"selector": dict(selector), "ports": listed})


def disruption_budget(name: str, namespace: str, labels: Labels, selector: Labels) -> dict[str, Any]:
    """A PodDisruptionBudget: a drained node takes one replica at a time."""
    return obj(
        Kind("policy/v1", "PodDisruptionBudget"),
        name,
        namespace,
        labels=labels,
        spec={"maxUnavailable": 1, "selector": {"matchLabels": dict(selector)}},
    )


def spread(selector: Labels) -> list[dict[str, Any]]:
    """Topology spread: no zone may hold two replicas more than another, and no node need do so.

    Zones are required, because losing one must not take all replicas; nodes are preferred: with fewer nodes
    than replicas a rollout must still go on.
    """
    keys = {ZONE: "DoNotSchedule", "kubernetes.io/hostname": "ScheduleAnyway"}
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": unsatisfiable,
            "labelSelector": {"matchLabels": dict(selector)},
        }
        for key, unsatisfiable in keys.items()
    ]


@dataclass(frozen=True)
class Component:
    """A Deployment of a control plane: one container, ready when ``ready_port`` answers /ready with 200."""

    name: str
    container: str
    image: str
    args: tuple[str, ...]
    account: str
    ports: Mapping[str, int]
    ready_port: int
    cpu: str
    memory: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def deployment(
        self, namespace: str, labels: Labels, selector: Labels, intent: ControlPlane
    ) -> dict[str, Any]:
        """The Deployment, spread over zones and nodes."""
        pod: dict[str, Any] = {"serviceAccountName": self.account, "containers": [self._container()]}
        if intent.priority_class:
            pod["priorityClassName"] = intent.priority_class
        if intent.zones > 1:
            pod["topologySpreadConstraints"] = spread(selector)
        spec = {
            "replicas": intent.replicas,
            "selector": {"matchLabels": dict(selector)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {**labels, **selector}}, "spec": pod},
        }
        return obj(DEPLOYMENT, self.name, namespace, labels=labels, spec=spec)

    def _container(self) -> dict[str, Any]:
        return {
            "name": self.container,
            "image": self.image,
            "args": list(self.args),
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                *({"name": name, "value": value} for name, value in self.environment.items()),
            ],
            "ports": [
                {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in self.ports.items()
            ],
            "readinessProbe": {
                "httpGet": {"path": "/ready", "port": self.ready_port},
                "initialDelaySeconds": 1,
                "periodSeconds": 3,
                "timeoutSeconds": 5,
            },
            "resources": {"requests": {"cpu": self.cpu, "memory": self.memory}},
        }


def namespace_part(
    name: str, purpose: str, *, labels: Labels | None = None, annotations: Labels | None = None
) -> Step:
    """A label or annotation on a namespace that belongs to someone else."""
    part = obj(NAMESPACE, name, labels=labels, annotations=annotations)
    return Step(part, manager=f"meshkit-{purpose}", partial=True)


def workload_needs(namespace: str | None) -> tuple[Need, ...]:
    """What ``rolling`` and ``restarts`` must see."""
    return (Need(NAMESPACE), Need(POD, namespace), *(Need(kind, namespace) for kind in WORKLOADS))


def rolling(snapshot: Snapshot, namespace: str | None = None) -> Iterator[Object]:
    """The workloads that replace their pods by themselves, without somebody who deletes the old ones."""
    found = [workload for kind in WORKLOADS for workload in snapshot.of(kind.kind, namespace)]
    return (one for one in found if (one["spec"].get("updateStrategy") or {}).get("type") != "OnDelete")


def restarts(workloads: Sequence[Object], at_once: int) -> list[Step]:
    """Rolling restarts, ``at_once`` workloads a wave: a wave begins when the one before is available."""
    return [restart(each, wave=number // at_once + 1) for number, each in enumerate(workloads)]


def restart(workload: Object, *, wave: int = 0) -> Step:
    """A rolling restart: an annotation on the pod template, and a wait until the new pods are available.

    kubectl writes the time; a planner has no clock, so the generation that is being replaced stands for it.
    """
    meta = workload["metadata"]
    mark = {"metadata": {"annotations": {RESTART_ANNOTATION: str(meta.get("generation", 1))}}}
    kind = Kind(DEPLOYMENT.api_version, workload["kind"])
    part = obj(kind, meta["name"], meta["namespace"], spec={"template": mark})
    wait = Wait("available", ROLLOUT_TIMEOUT_S)
    return Step(part, manager=RESTART_MANAGER, partial=True, wait=wait, wave=wave)


def owners(pods: Sequence[Object], snapshot: Snapshot) -> tuple[list[Object], list[Object]]:
    """The workloads whose restart makes these pods anew, and the pods that no restart makes anew."""
    left = {pod["metadata"]["uid"]: pod for pod in pods}
    found = []
    for workload in rolling(snapshot):
        own = {pod["metadata"]["uid"] for pod in pods_of(workload, snapshot)}
        if own & left.keys():
            found.append(workload)
            left = {uid: pod for uid, pod in left.items() if uid not in own}
    return found, list(left.values())


def pods_of(workload: Object, snapshot: Snapshot) -> list[Object]:
    """The pods that a workload's selector finds and that are not on their way out."""
    selector = workload["spec"]["selector"]
    return [
        pod
        for pod in snapshot.of("Pod", workload["metadata"]["namespace"])
        if matches(selector, pod) and "deletionTimestamp" not in pod["metadata"]
    ]


def matches(selector: Mapping[str, Any], labelled: Object) -> bool:
    """Whether a label selector (``matchLabels``, ``matchExpressions``) finds an object."""
    carried: Labels = labelled["metadata"].get("labels") or {}
    return selects(selector.get("matchLabels") or {}, labelled) and all(
        _holds(one, carried.get(one["key"])) for one in selector.get("matchExpressions") or ()
    )


def _holds(expression: Mapping[str, Any], value: str | None) -> bool:
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def pod_webhook(
    name: str,
    service: Mapping[str, Any],
    failure: str,
    of_namespace: Sequence[Mapping[str, Any]],
    of_pod: Sequence[Mapping[str, Any]],
    **more: Any,
) -> dict[str, Any]:
    """A webhook that is asked about new pods, chosen by ``matchExpressions`` of namespaces and of pods."""
    made = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "name": name,
        "clientConfig": {"service": service},
        "rules": [made],
        "namespaceSelector": {"matchExpressions": of_namespace},
        "objectSelector": {"matchExpressions": of_pod},
        "admissionReviewVersions": ["v1"],
        "failurePolicy": failure,
        **more,
        "sideEffects": "None",
    }


def selects(labels: Labels, labelled: Object) -> bool:
    """Whether an object carries all of these labels."""
    carried = labelled["metadata"].get("labels") or {}
    return all(carried.get(key) == value for key, value in labels.items())


def managers(obj: Object, *path: str) -> list[str]:
    """The field managers that own a field, given by its keys."""
    found = []
    for entry in obj["metadata"].get("managedFields") or ():
        node: Any = entry.get("fieldsV1") or {}
        for key in path:
            node = node.get(f"f:{key}") if isinstance(node, Mapping) else None
        if node is not None:
            found.append(str(entry["manager"]))
    return found


def notes(obj: Object) -> Labels:
    """The annotations of an object, or of a pod template."""
    found: Labels = (obj.get("metadata") or {}).get("annotations") or {}
    return found


def is_live(pod: Object) -> bool:
    """Whether a pod is neither finished nor on its way out."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def has_sidecar(pod: Object, container: str) -> bool:
    """Whether a pod runs the proxy: as a container, or as an init container that stays (a native sidecar)."""
    spec = pod["spec"]
    containers = (*spec.get("containers", ()), *(spec.get("initContainers") or ()))
    return any(each["name"] == container for each in containers)
