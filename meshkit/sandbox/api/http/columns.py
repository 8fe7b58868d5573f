"""The columns of ``kubectl get`` for the built-in kinds.

They follow k8s.io/kubernetes pkg/printers/internalversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """Define one column of a Table.

    ``wide`` columns are shown with ``-o wide`` only.
    """

    title: str
    cell: Callable[[Object], Any]
    wide: bool = False
    type: str = "string"

    def definition(self) -> dict[str, Any]:
        """Return the column definition of the Table."""
        return {
            "name": self.title,
            "type": self.type,
            "format": "",
            "description": "",
            "priority": 1 if self.wide else 0,
        }


def age(timestamp: str | None, until: str | None = None) -> str:
    """Return a duration in kubectl's short form, such as 3m20s.

    The duration runs from ``timestamp`` to ``until``, by default now.
    """
    if not timestamp:
        return "<unknown>"
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    seconds = max(0, int((end - datetime.fromisoformat(timestamp)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d"


def at(obj: Any, path: str) -> Any:
    """Return the value at a path such as ``status.phase``, or None."""
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return obj


def _age(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _field(path: str, default: Any = "<none>") -> Callable[[Object], Any]:
    return lambda obj: default if (value := at(obj, path)) in (None, "") else value


def _count(*paths: str) -> Callable[[Object], int]:
    return lambda obj: sum(len(at(obj, path) or ()) for path in paths)


def _pairs(labels: Object | None) -> str:
    return ",".join(f"{key}={value}" for key, value in (labels or {}).items()) or "<none>"


def _selector(obj: Object) -> str:
    return _pairs(at(obj, "spec.selector.matchLabels"))


def _ready_replicas(obj: Object) -> str:
    return f"{at(obj, 'status.readyReplicas') or 0}/{at(obj, 'spec.replicas') or 0}"


def _containers(field: str) -> Callable[[Object], str]:
    return lambda obj: ",".join(
        container.get(field, "") for container in at(obj, "spec.template.spec.containers") or ()
    )


def _sidecars(obj: Object) -> list[Object]:
    return [
        container
        for container in at(obj, "spec.initContainers") or ()
        if container.get("restartPolicy") == "Always"
    ]


def _pod_ready(obj: Object) -> str:
    sidecars = {entry["name"] for entry in _sidecars(obj)}
    statuses = [
        *(at(obj, "status.containerStatuses") or ()),
        *(entry for entry in at(obj, "status.initContainerStatuses") or () if entry["name"] in sidecars),
    ]
    total = len(at(obj, "spec.containers") or ()) + len(sidecars)
    return f"{sum(1 for entry in statuses if entry.get('ready'))}/{total}"


def _pod_status(obj: Object) -> str:
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for prefix, field in (("Init:", "initContainerStatuses"), ("", "containerStatuses")):
        for entry in at(obj, f"status.{field}") or ():
            if prefix and (entry.get("started") or at(entry, "state.terminated.exitCode") == 0):
                continue
            reason = at(entry, "state.waiting.reason") or at(entry, "state.terminated.reason")
            if reason and reason not in ("PodInitializing", "ContainerCreating"):
                return f"{prefix}{reason}"
    return str(at(obj, "status.reason") or at(obj, "status.phase") or "Unknown")


def _job_status(obj: Object) -> str:
    states = {
        condition["type"]
        for condition in at(obj, "status.conditions") or ()
        if condition.get("status") == "True"
    }
    for state in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if state in states:
            return state
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else "Running"


def _completions(obj: Object) -> str:
    succeeded, parallelism = at(obj, "status.succeeded") or 0, at(obj, "spec.parallelism") or 0
    if at(obj, "spec.completions") is not None:
        return f"{succeeded}/{at(obj, 'spec.completions')}"
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(obj: Object) -> str:
    start = at(obj, "status.startTime")
    return age(start, at(obj, "status.completionTime")) if start else ""


def _restarts(obj: Object) -> str:
    return str(sum(entry.get("restartCount", 0) for entry in at(obj, "status.containerStatuses") or ()))


def _node_status(obj: Object) -> str:
    ready = next((c["status"] for c in at(obj, "status.conditions") or () if c["type"] == "Ready"), "Unknown")
    word = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    return f"{word},SchedulingDisabled" if at(obj, "spec.unschedulable") else word


def _node_roles(obj: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = [key[len(prefix) :] for key in obj["metadata"].get("labels") or () if key.startswith(prefix)]
    return ",".join(sorted(roles)) or "<none>"


def _ports(obj: Object) -> str:
    ports = at(obj, "spec.ports") or ()
    return ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _slice_endpoints(obj: Object) -> str:
    addresses = [
        address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses", ())
    ]
    more = f" + {len(addresses) - 3} more..." if len(addresses) > 3 else ""
    return ",".join(addresses[:3]) + more if addresses else "<unset>"


def _slice_ports(obj: Object) -> str:
    return ",".join(str(port.get("port", "*")) for port in obj.get("ports") or ()) or "<unset>"


def _involved(obj: Object) -> str:
    return f"{at(obj, 'involvedObject.kind')}/{at(obj, 'involvedObject.name')}".lower()


def _last_seen(obj: Object) -> str:
    return age(obj.get("lastTimestamp") or obj.get("firstTimestamp"))


def _role(obj: Object) -> str:
    return f"{at(obj, 'roleRef.kind')}/{at(obj, 'roleRef.name')}"


def _owner(obj: Object) -> str:
    owner = next(
        (each for each in obj["metadata"].get("ownerReferences") or () if each.get("controller")), None
    )
    if owner is None:
        return "<none>"
    group = owner["apiVersion"].rpartition("/")[0]
    return f"{owner['kind'].lower()}{'.' if group else ''}{group}/{owner['name']}"


def _scaled(obj: Object) -> str:
    return f"{at(obj, 'spec.scaleTargetRef.kind')}/{at(obj, 'spec.scaleTargetRef.name')}"


def _hosts(obj: Object) -> str:
    hosts = [rule["host"] for rule in at(obj, "spec.rules") or () if rule.get("host")]
    more = f" + {len(hosts) - 3} more..." if len(hosts) > 3 else ""
    return ",".join(hosts[:3]) + more if hosts else "*"


AGE = Column("Age", _age)
_TEMPLATE = (
    Column("Containers", _containers("name"), wide=True),
    Column("Images", _containers("image"), wide=True),
)
"""The columns of the pod template of a workload."""
TABLES: dict[str, tuple[Column, ...]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": (Column("Role", _role), AGE),
    "clusterroles.rbac.authorization.k8s.io": (Column("Created At", _field("metadata.creationTimestamp")),),
    "configmaps": (Column("Data", _count("data", "binaryData"), type="integer"), AGE),
    "controllerrevisions.apps": (
        Column("Controller", _owner),
        Column("Revision", _field("revision", 0), type="integer"),
        AGE,
    ),
    "customresourcedefinitions.apiextensions.k8s.io": (
        Column("Created At", _field("metadata.creationTimestamp")),
    ),
    "daemonsets.apps": (
        Column("Desired", _field("status.desiredNumberScheduled", 0), type="integer"),
        Column("Current", _field("status.currentNumberScheduled", 0), type="integer"),
        Column("Ready", _field("status.numberReady", 0), type="integer"),
        Column("Up-to-date", _field("status.updatedNumberScheduled", 0), type="integer"),
        Column("Available", _field("status.numberAvailable", 0), type="integer"),
        Column("Node Selector", lambda obj: _pairs(at(obj, "spec.template.spec.nodeSelector"))),
        AGE,
        *_TEMPLATE,
        Column("Selector", _selector, wide=True),
    ),
    "deployments.apps": (
        Column("Ready", _ready_replicas),
        Column("Up-to-date", _field("status.updatedReplicas", 0), type="integer"),
        Column("Available", _field("status.availableReplicas", 0), type="integer"),
        AGE,
        *_TEMPLATE,
        Column("Selector", _selector, wide=True),
    ),
    "endpointslices.discovery.k8s.io": (
        Column("AddressType", _field("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    "events": (
        Column("Last Seen", _last_seen),
        Column("Type", _field("type")),
        Column("Reason", _field("reason")),
        Column("Object", _involved),
        Column("Message", _field("message")),
        Column("Source", _field("source.component"), wide=True),
        Column("Count", _field("count", 1), wide=True, type="integer"),
    ),
    "horizontalpodautoscalers.autoscaling": (
        Column("Reference", _scaled),
        Column("MinPods", _field("spec.minReplicas", "<unset>")),
        Column("MaxPods", _field("spec.maxReplicas", 0), type="integer"),
        Column("Replicas", _field("status.currentReplicas", 0), type="integer"),
        AGE,
    ),
    "ingresses.networking.k8s.io": (
        Column("Class", _field("spec.ingressClassName")),
        Column("Hosts", _hosts),
        AGE,
    ),
    "ingressclasses.networking.k8s.io": (Column("Controller", _field("spec.controller", "")), AGE),
    "jobs.batch": (
        Column("Status", _job_status),
        Column("Completions", _completions),
        Column("Duration", _job_duration),
        AGE,
        *_TEMPLATE,
        Column("Selector", _selector, wide=True),
    ),
    "leases.coordination.k8s.io": (Column("Holder", _field("spec.holderIdentity", "")), AGE),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": (
        Column("Webhooks", _count("webhooks"), type="integer"),
        AGE,
    ),
    "namespaces": (Column("Status", _field("status.phase", "")), AGE),
    "nodes": (
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", _field("status.nodeInfo.kubeletVersion", "")),
        Column("OS-Image", _field("status.nodeInfo.osImage"), wide=True),
        Column("Container-Runtime", _field("status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    "persistentvolumeclaims": (
        Column("Status", _field("status.phase", "")),
        Column("Volume", _field("spec.volumeName", "")),
        Column("Capacity", _field("status.capacity.storage", "")),
        Column("StorageClass", _field("spec.storageClassName", "")),
        AGE,
    ),
    "persistentvolumes": (
        Column("Capacity", _field("spec.capacity.storage", "")),
        Column("Reclaim Policy", _field("spec.persistentVolumeReclaimPolicy", "")),
        Column("Status", _field("status.phase", "")),
        Column("StorageClass", _field("spec.storageClassName", "")),
        AGE,
    ),
    "poddisruptionbudgets.policy": (
        Column("Min Available", _field("spec.minAvailable", "N/A")),
        Column("Max Unavailable", _field("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", _field("status.disruptionsAllowed", 0), type="integer"),
        AGE,
    ),
    "pods": (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _restarts),
        AGE,
        Column("IP", _field("status.podIP"), wide=True),
        Column("Node", _field("spec.nodeName"), wide=True),
        Column("Nominated Node", _field("status.nominatedNodeName"), wide=True),
        Column("Readiness Gates", lambda _: "<none>", wide=True),
    ),
    "replicasets.apps": (
        Column("Desired", _field("spec.replicas", 0), type="integer"),
        Column("Current", _field("status.replicas", 0), type="integer"),
        Column("Ready", _field("status.readyReplicas", 0), type="integer"),
        AGE,
        *_TEMPLATE,
        Column("Selector", _selector, wide=True),
    ),
    "rolebindings.rbac.authorization.k8s.io": (Column("Role", _role), AGE),
    "roles.rbac.authorization.k8s.io": (Column("Created At", _field("metadata.creationTimestamp")),),
    "secrets": (Column("Type", _field("type")), Column("Data", _count("data"), type="integer"), AGE),
    "serviceaccounts": (AGE,),
    "services": (
        Column("Type", _field("spec.type")),
        Column("Cluster-IP", _field("spec.clusterIP")),
        Column("External-IP", _field("spec.externalName")),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", lambda obj: _pairs(at(obj, "spec.selector")), wide=True),
    ),
    "statefulsets.apps": (
        Column("Ready", _ready_replicas),
        AGE,
        *_TEMPLATE,
    ),
    "storageclasses.storage.k8s.io": (
        Column("Provisioner", _field("provisioner", "")),
        Column("ReclaimPolicy", _field("reclaimPolicy", "")),
        Column("VolumeBindingMode", _field("volumeBindingMode", "")),
        AGE,
    ),
    "validatingadmissionpolicies.admissionregistration.k8s.io": (
        Column("Validations", _count("spec.validations"), type="integer"),
        AGE,
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        Column("PolicyName", _field("spec.policyName", "")),
        AGE,
    ),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (
        Column("Webhooks", _count("webhooks"), type="integer"),
        AGE,
    ),
}
