"""Server-side printing, the Tables that ``kubectl get`` shows.

Columns follow k8s.io/kubernetes pkg/printers/internalversion; a custom resource declares its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from meshkit.sandbox.api.schema.registry import Resource

Object = Mapping[str, Any]
NAME = {"name": "Name", "type": "string", "format": "name", "priority": 0}


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


def definitions(resource: Resource) -> list[dict[str, Any]]:
    """Return the column definitions of a resource's Table."""
    return [{**NAME, "description": ""}, *(column.definition() for column in _columns(resource))]


def row(resource: Resource, obj: Object, include: str) -> dict[str, Any]:
    """Return the Table row of an object.

    ``include`` (None, Metadata or Object) selects how much of the object the row carries for client-side
    sorting and filtering.
    """
    cells = [obj["metadata"]["name"], *(column.cell(obj) for column in _columns(resource))]
    table_row: dict[str, Any] = {"cells": cells}
    if include == "Object":
        table_row["object"] = obj
    elif include != "None":
        table_row["object"] = partial(obj)
    return table_row


def partial(obj: Object) -> dict[str, Any]:
    """Return the PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(
    resource: Resource, rows: Iterable[dict[str, Any]], metadata: Object, *, columns: bool
) -> dict[str, Any]:
    """Return a Table.

    The later events of a watch omit the columns.
    """
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions(resource) if columns else None,
        "rows": list(rows),
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


_AGE = Column("Age", _age)
_TABLES: dict[str, tuple[Column, ...]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": (Column("Role", _role), _AGE),
    "clusterroles.rbac.authorization.k8s.io": (Column("Created At", _field("metadata.creationTimestamp")),),
    "configmaps": (Column("Data", _count("data", "binaryData"), type="integer"), _AGE),
    "customresourcedefinitions.apiextensions.k8s.io": (
        Column("Created At", _field("metadata.creationTimestamp")),
    ),
    "deployments.apps": (
        Column("Ready", _ready_replicas),
        Column("Up-to-date", _field("status.updatedReplicas", 0), type="integer"),
        Column("Available", _field("status.availableReplicas", 0), type="integer"),
        _AGE,
        Column("Containers", _containers("name"), wide=True),
        Column("Images", _containers("image"), wide=True),
        Column("Selector", _selector, wide=True),
    ),
    "endpointslices.discovery.k8s.io": (
        Column("AddressType", _field("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        _AGE,
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
    "jobs.batch": (
        Column("Status", _job_status),
        Column("Completions", _completions),
        Column("Duration", _job_duration),
        _AGE,
        Column("Containers", _containers("name"), wide=True),
        Column("Images", _containers("image"), wide=True),
        Column("Selector", _selector, wide=True),
    ),
    "leases.coordination.k8s.io": (Column("Holder", _field("spec.holderIdentity", "")), _AGE),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": (
        Column("Webhooks", _count("webhooks"), type="integer"),
        _AGE,
    ),
    "namespaces": (Column("Status", _field("status.phase", "")), _AGE),
    "nodes": (
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _field("status.nodeInfo.kubeletVersion", "")),
        Column("OS-Image", _field("status.nodeInfo.osImage"), wide=True),
        Column("Container-Runtime", _field("status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    "poddisruptionbudgets.policy": (
        Column("Min Available", _field("spec.minAvailable", "N/A")),
        Column("Max Unavailable", _field("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", _field("status.disruptionsAllowed", 0), type="integer"),
        _AGE,
    ),
    "pods": (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _restarts),
        _AGE,
        Column("IP", _field("status.podIP"), wide=True),
        Column("Node", _field("spec.nodeName"), wide=True),
        Column("Nominated Node", _field("status.nominatedNodeName"), wide=True),
        Column("Readiness Gates", lambda _: "<none>", wide=True),
    ),
    "replicasets.apps": (
        Column("Desired", _field("spec.replicas", 0), type="integer"),
        Column("Current", _field("status.replicas", 0), type="integer"),
        Column("Ready", _field("status.readyReplicas", 0), type="integer"),
        _AGE,
        Column("Containers", _containers("name"), wide=True),
        Column("Images", _containers("image"), wide=True),
        Column("Selector", _selector, wide=True),
    ),
    "rolebindings.rbac.authorization.k8s.io": (Column("Role", _role), _AGE),
    "roles.rbac.authorization.k8s.io": (Column("Created At", _field("metadata.creationTimestamp")),),
    "secrets": (Column("Type", _field("type")), Column("Data", _count("data"), type="integer"), _AGE),
    "serviceaccounts": (_AGE,),
    "services": (
        Column("Type", _field("spec.type")),
        Column("Cluster-IP", _field("spec.clusterIP")),
        Column("External-IP", _field("spec.externalName")),
        Column("Port(s)", _ports),
        _AGE,
        Column("Selector", lambda obj: _pairs(at(obj, "spec.selector")), wide=True),
    ),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (
        Column("Webhooks", _count("webhooks"), type="integer"),
        _AGE,
    ),
}
_FILTER = re.compile(
    r"^(?P<list>[\w.]+)\[\?\(@\.(?P<key>\w+)\s*==\s*[\"'](?P<value>[^\"']*)[\"']\)\]\.(?P<rest>[\w.]+)$"
)


def _columns(resource: Resource) -> tuple[Column, ...]:
    if not resource.custom:
        return _TABLES.get(resource.key, (_AGE,))
    own = tuple(_own_column(column) for column in resource.columns)
    return own or (_AGE,)


def _own_column(declared: Mapping[str, Any]) -> Column:
    """Return the column of an additionalPrinterColumns entry."""
    path = declared["jsonPath"].lstrip(".")

    def cell(obj: Object) -> Any:
        value = json_path(obj, path)
        if declared["type"] == "date":
            return age(value) if value else "<unknown>"
        return json.dumps(value, separators=(",", ":")) if isinstance(value, (list, dict)) else value

    wide = declared.get("priority", 0) > 0
    return Column(declared["name"], cell, wide, "string" if declared["type"] == "date" else declared["type"])


def json_path(obj: Any, path: str) -> Any:
    """Return the value at a JSONPath, or None.

    Supports the subset of printer columns: ``a.b[0]`` and ``a[?(@.type=="Ready")].status``.
    """
    filtered = _FILTER.match(path)
    if filtered:
        for item in at(obj, filtered["list"]) or ():
            if item.get(filtered["key"]) == filtered["value"]:
                return at(item, filtered["rest"])
        return None
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+|\*)\]", path):
        if name:
            obj = obj.get(name) if isinstance(obj, Mapping) else None
        elif index != "*":
            obj = obj[int(index)] if isinstance(obj, list) and int(index) < len(obj) else None
    return obj
