"""StatefulSets, DaemonSets and the kinds that the sandbox only stores: defaults, refusals and status."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from tests.contract.kubectl import WITHIN, Kubectl, deployment
from tests.contract.refusals import invalid
from tests.contract.requests import request

LABELS = {"app": "w"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
WORKLOAD = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
NO_LESS = "must be greater than or equal to 0"

DEFAULTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "StatefulSet": (
        "/apis/apps/v1/namespaces/{}/statefulsets",
        {**WORKLOAD, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}]},
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {
                "type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1},
            },
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "volumeClaimTemplates": [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data"},
                    "spec": {**CLAIM, "volumeMode": "Filesystem"},
                    "status": {"phase": "Pending"},
                }
            ],
        },
    ),
    "DaemonSet": (
        "/apis/apps/v1/namespaces/{}/daemonsets",
        WORKLOAD,
        {
            "revisionHistoryLimit": 10,
            "updateStrategy": {
                "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
        },
    ),
    "HorizontalPodAutoscaler": (
        "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
        {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
         "behavior": {}},
        {
            "minReplicas": 1,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
                    },
                }
            ],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "selectPolicy": "Max",
                    "policies": [
                        {"type": "Pods", "value": 4, "periodSeconds": 15},
                        {"type": "Percent", "value": 100, "periodSeconds": 15},
                    ],
                },
                "scaleDown": {
                    "selectPolicy": "Max",
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                },
            },
        },
    ),
    "Ingress": (
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
        {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}},
        {},
    ),
    "PersistentVolumeClaim": (
        "/api/v1/namespaces/{}/persistentvolumeclaims", CLAIM, {"volumeMode": "Filesystem"},
    ),
    "PersistentVolume": (
        "/api/v1/persistentvolumes",
        {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "nfs": {"server": "s", "path": "/p"},
        },
        {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    ),
    "ValidatingAdmissionPolicyBinding": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
        {"policyName": "x", "validationActions": ["Deny"]},
        {},
    ),
    "PodDisruptionBudget": (
        "/apis/policy/v1/namespaces/{}/poddisruptionbudgets", {"selector": {"matchLabels": LABELS}}, {},
    ),
}  # fmt: skip
"""By kind: where it is created, the spec to create, and what the API server adds to it."""


@pytest.fixture(scope="module")
def connection(kubeconfig: Path) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(config_file=str(kubeconfig)) as found:
        yield found


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_those_of_kubernetes(connection: client.ApiClient, namespace: str, kind: str) -> None:
    path, spec, added = DEFAULTS[kind]
    body = {"metadata": {"name": "defaults"}, "spec": spec}
    code, made, _ = request(connection, "POST", f"{path.format(namespace)}?dryRun=All", body)
    assert code == 201, made
    made["spec"].pop("serviceName", None)  # empty, and written by Kubernetes only
    if "template" in spec:
        made["spec"]["template"] = TEMPLATE
    assert made["spec"] == {**spec, **added}


def refused(connection: client.ApiClient, namespace: str, plural: str, spec: object) -> list[tuple[str, ...]]:
    body = {"metadata": {"name": "refused"}, "spec": spec}
    group = "policy" if plural == "poddisruptionbudgets" else "apps"
    path = f"/apis/{group}/v1/namespaces/{namespace}/{plural}?dryRun=All"
    _, status, _ = request(connection, "POST", path, body)
    assert (status["code"], status["reason"]) == (422, "Invalid"), status["message"]
    return sorted((each["field"], each["reason"], each["message"]) for each in status["details"]["causes"])


def test_updates_that_cannot_be_carried_out_are_refused(connection: client.ApiClient, namespace: str) -> None:
    def strategy(kind: str, **rolling: object) -> dict[str, Any]:
        return {**WORKLOAD, "updateStrategy": {"type": kind, "rollingUpdate": rolling}}

    where = "spec.updateStrategy.rollingUpdate"
    odd = strategy("RollingUpdate", partition=-1, maxUnavailable="110%")
    assert refused(connection, namespace, "statefulsets", odd) == [
        invalid(f"{where}.maxUnavailable", "110%", "must not be greater than 100%"),
        (f"{where}.partition", "FieldValueInvalid", f"Invalid value: -1: {NO_LESS}"),
    ]
    both = strategy("RollingUpdate", maxSurge=1, maxUnavailable=1)
    assert refused(connection, namespace, "daemonsets", both) == [
        invalid(f"{where}.maxSurge", "1", "may not be set when maxUnavailable is non-zero")
    ]
    neither = strategy("RollingUpdate", maxSurge=0, maxUnavailable=0)
    assert refused(connection, namespace, "daemonsets", neither) == [
        (
            f"{where}.maxUnavailable",
            "FieldValueRequired",
            "Required value: cannot be 0 when maxSurge is 0",
        )
    ]
    policy = {**WORKLOAD, "podManagementPolicy": "Odd"}
    assert refused(connection, namespace, "statefulsets", policy) == [
        invalid("spec.podManagementPolicy", "Odd", "must be 'OrderedReady' or 'Parallel'")
    ]
    budget = {"selector": {"matchLabels": LABELS}, "minAvailable": "many"}
    (field, reason, message), *rest = refused(connection, namespace, "poddisruptionbudgets", budget)
    assert (field, reason, rest) == ("spec.minAvailable", "FieldValueInvalid", [])
    assert message.startswith('Invalid value: "many": a valid percent string must be a numeric string')


def test_the_status_of_a_statefulset_is_written_apart(connection: client.ApiClient, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    spec = {**WORKLOAD, "replicas": 0}
    body = {"metadata": {"name": "apart"}, "spec": spec, "status": {"replicas": 7}}
    code, made, _ = request(connection, "POST", path, body)
    assert (code, made["status"].get("replicas", 0) if "status" in made else 0) == (201, 0)
    code, scale, _ = request(connection, "GET", f"{path}/apart/scale")
    assert (code, scale["kind"], scale["spec"].get("replicas", 0)) == (200, "Scale", 0)
    changed = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
    code, _, _ = request(connection, "PATCH", f"{path}/apart", changed, "application/merge-patch+json")
    assert code == 422


@pytest.mark.usefixtures("sandbox_images")
def test_kubectl_follows_the_rollouts_of_a_statefulset_and_a_daemonset(kubectl: Kubectl) -> None:
    made = deployment()
    stateful = made | {"kind": "StatefulSet", "spec": {**made["spec"], "replicas": 2, "serviceName": "web"}}
    kubectl("apply", "-f", "-", stdin=stateful)
    kubectl("rollout", "status", "statefulset/web", WITHIN)
    assert kubectl("get", "pods", "-o", "name").split() == ["pod/web-0", "pod/web-1"]
    kubectl("rollout", "restart", "statefulset/web")
    kubectl("rollout", "status", "statefulset/web", WITHIN)
    assert len(kubectl("rollout", "history", "statefulset/web").splitlines()) == 5
    kubectl("delete", "statefulset", "web")
    daemons = made | {"kind": "DaemonSet", "metadata": {"name": "each"}}
    daemons["spec"] = {name: each for name, each in made["spec"].items() if name != "replicas"}
    kubectl("apply", "-f", "-", stdin=daemons)
    kubectl("rollout", "status", "daemonset/each", WITHIN)
    owned = '{.items[?(@.metadata.ownerReferences[0].kind=="DaemonSet")].spec.nodeName}'
    nodes = kubectl("get", "pods", f"-o=jsonpath={owned}").split()
    assert len(set(nodes)) == len(nodes) == 3


@pytest.mark.usefixtures("sandbox_images")
def test_the_sandbox_says_what_it_only_stores(connection: client.ApiClient, namespace: str) -> None:
    for kind in ("HorizontalPodAutoscaler", "Ingress", "PersistentVolume", "PersistentVolumeClaim"):
        path, spec, _ = DEFAULTS[kind]
        body = {"metadata": {"name": "told"}, "spec": spec}
        _, _, warnings = request(connection, "POST", f"{path.format(namespace)}?dryRun=All", body)
        (warning,) = warnings
        assert f"{kind} is stored but not carried out by the sandbox" in warning
