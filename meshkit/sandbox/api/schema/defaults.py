"""Default values that the API server sets on built-in kinds.

Contains only the defaults that clients, controllers or a mesh read; those of pods and workloads are in
``workload_defaults``. The values are those of k8s.io/kubernetes pkg/apis/*/v1/defaults.go.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable

from meshkit.sandbox.api.admission import limits
from meshkit.sandbox.api.copies import copied
from meshkit.sandbox.api.requests import Object, now
from meshkit.sandbox.api.schema import workload_defaults as workloads


def fill(resource: str, obj: Object) -> None:
    """Set the defaults of one object, in place."""
    default = _OF.get(resource)
    if default is not None:
        default(obj)


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _storage_class(obj: Object) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


_SCALE_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_SCALE_DOWN = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


def _autoscaler(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if "behavior" in spec:
        for name, values in (("scaleUp", _SCALE_UP), ("scaleDown", _SCALE_DOWN)):
            spec["behavior"][name] = copied(values) | (spec["behavior"].get(name) or {})


def _ingress_class(obj: Object) -> None:
    parameters = obj.setdefault("spec", {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def _admission_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if "matchConstraints" in spec:
        _match_resources(spec["matchConstraints"])


def _admission_policy_binding(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "matchResources" in spec:
        _match_resources(spec["matchResources"])


def _match_resources(match: Object) -> None:
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(field) or ():
            rule.setdefault("scope", "*")


def _api_service(obj: Object) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if kind == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("clusterIP", _cluster_ip(obj["metadata"]))
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        spec.setdefault("externalTrafficPolicy", "Cluster")


def _cluster_ip(metadata: Object) -> str:
    """Return an address in 10.96.0.0/12 that is a hash of namespace and name.

    It only identifies the Service; nothing listens on it.
    """
    number = zlib.crc32(f"{metadata.get('namespace')}/{metadata.get('name')}".encode())
    return f"10.{96 + number % 16}.{(number >> 4) % 256}.{1 + (number >> 12) % 254}"


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].get("labels") or {}
    obj["metadata"]["labels"] = labels | {"kubernetes.io/metadata.name": obj["metadata"]["name"]}
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    written = obj.pop("stringData", None)
    if written:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in written.items()}
        obj["data"] = (obj.get("data") or {}) | encoded


def _role_reference(obj: Object) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        group = "" if subject.get("kind") == "ServiceAccount" else "rbac.authorization.k8s.io"
        if group:
            subject.setdefault("apiGroup", group)


def _webhooks(obj: Object) -> None:
    for webhook in obj.get("webhooks") or ():
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("timeoutSeconds", 10)
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        if obj["kind"] == "MutatingWebhookConfiguration":
            webhook.setdefault("reinvocationPolicy", "Never")
        service = webhook.get("clientConfig", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")


def _definition(obj: Object) -> None:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    if "kind" in names:
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    _establish(obj)


def _establish(crd: Object) -> None:
    """Mark a valid CustomResourceDefinition as established."""
    conditions = {item["type"]: item for item in crd.get("status", {}).get("conditions", ())}
    for kind, reason, message in (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ):
        conditions.setdefault(
            kind,
            {
                "type": kind,
                "status": "True",
                "lastTransitionTime": now(),
                "reason": reason,
                "message": message,
            },
        )
    spec = crd.get("spec") or {}
    stored = [item["name"] for item in spec.get("versions") or () if item.get("storage")]
    before = crd.get("status", {}).get("storedVersions", [])
    crd["status"] = {
        "conditions": list(conditions.values()),
        "acceptedNames": spec.get("names", {}),
        "storedVersions": [*before, *(name for name in stored if name not in before)],
    }


def _network_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("name", "")


_OF: dict[str, Callable[[Object], None]] = {
    "apiservices.apiregistration.k8s.io": _api_service,
    "clusterrolebindings.rbac.authorization.k8s.io": _role_reference,
    "cronjobs.batch": workloads.cron_job,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
    "daemonsets.apps": workloads.daemon_set,
    "deployments.apps": workloads.deployment,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
    "ingressclasses.networking.k8s.io": _ingress_class,
    "limitranges": limits.complete,
    "jobs.batch": workloads.job,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
    "namespaces": _namespace,
    "networkpolicies.networking.k8s.io": _network_policy,
    "persistentvolumeclaims": workloads.volume_claim,
    "persistentvolumes": _volume,
    "pods": workloads.pod,
    "replicasets.apps": workloads.replica_set,
    "rolebindings.rbac.authorization.k8s.io": _role_reference,
    "secrets": _secret,
    "services": _service,
    "statefulsets.apps": workloads.stateful_set,
    "storageclasses.storage.k8s.io": _storage_class,
    "validatingadmissionpolicies.admissionregistration.k8s.io": _admission_policy,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": _admission_policy_binding,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
}
