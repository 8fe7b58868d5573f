"""Default values that the API server sets on built-in kinds.

Contains only the defaults that clients, controllers or a mesh read. The values are those of k8s.io/kubernetes
pkg/apis/*/v1/defaults.go.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator

from meshkit.sandbox.api.admission import compute, limits
from meshkit.sandbox.api.requests import Object, now


def fill(resource: str, obj: Object) -> None:
    """Set the defaults of one object, in place."""
    default = _OF.get(resource)
    if default is not None:
        default(obj)


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("serviceAccountName", "default")
    _pod_spec(spec)
    for container in _containers(spec):
        resources = container["resources"]
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    _whole_pod(spec)
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _whole_pod(spec: Object) -> None:
    """Set the pod-level requests of a pod that has pod-level limits.

    Requests default to the sum of the containers' requests, or else to the limits.
    """
    resources = spec.get("resources") or {}
    if resources.get("limits"):
        container_requests = compute.of_all_containers(spec, "requests")
        summed = {
            name: str(amount) for name, amount in container_requests.items() if compute.of_a_whole_pod(name)
        }
        resources["requests"] = resources["limits"] | summed | (resources.get("requests") or {})


def _pod_spec(spec: Object) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in _containers(spec):
        _container(container)


def _containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def _container(container: Object) -> None:
    tag = container.get("image", "").rpartition(":")[2]
    latest = tag == "latest" or "/" in tag or ":" not in container.get("image", "")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])


def _probe(probe: Object) -> None:
    for name, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        probe.setdefault(name, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _template(spec)


def _replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)


def _cron_job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)


def _job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "parallelism" not in spec:
        spec.setdefault("completions", 1)
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    _template(spec)
    uid = obj["metadata"].get("uid")
    if spec.get("manualSelector") or not uid or not isinstance(spec.get("template"), dict):
        return
    name = obj["metadata"]["name"]
    metadata = spec["template"]["metadata"]
    metadata["labels"] = (metadata.get("labels") or {}) | {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})


def _template(spec: Object) -> None:
    if isinstance(spec.get("template"), dict):
        spec["template"].setdefault("metadata", {})
        _pod_spec(spec["template"].setdefault("spec", {}))


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


def _disruption_budget(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "minAvailable" not in spec and "maxUnavailable" not in spec:
        spec["minAvailable"] = 1


def _network_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "policyTypes" not in spec:
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("name", "")


_OF: dict[str, Callable[[Object], None]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": _role_reference,
    "cronjobs.batch": _cron_job,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
    "deployments.apps": _deployment,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "limitranges": limits.complete,
    "jobs.batch": _job,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
    "namespaces": _namespace,
    "networkpolicies.networking.k8s.io": _network_policy,
    "poddisruptionbudgets.policy": _disruption_budget,
    "pods": _pod,
    "replicasets.apps": _replica_set,
    "rolebindings.rbac.authorization.k8s.io": _role_reference,
    "secrets": _secret,
    "services": _service,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
}
