"""Builders for the Kubernetes objects of control planes and injection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshkit.facts import Kind, Object
from meshkit.kube.kinds import NAMESPACE, SERVICE, ZONE
from meshkit.kube.metadata import Labels
from meshkit.kube.steps import Step, Wait

CRD_TIMEOUT_S = 30.0


def obj(
    kind: Kind,
    name: str,
    namespace: str | None = None,
    *,
    labels: Labels | None = None,
    annotations: Labels | None = None,
    **body: Any,
) -> dict[str, Any]:
    """Build an object with its fields in the usual order, without empty ones."""
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **body}


def crd_steps(definitions: Sequence[Object]) -> list[Step]:
    """Steps that apply CustomResourceDefinitions and wait until each is established."""
    return [Step(definition, wait=Wait("established", CRD_TIMEOUT_S)) for definition in definitions]


def service_account(name: str, namespace: str, labels: Labels) -> dict[str, Any]:
    """A ServiceAccount."""
    return obj(Kind("v1", "ServiceAccount"), name, namespace, labels=labels)


def cluster_role(name: str, labels: Labels, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A ClusterRole."""
    kind = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
    return obj(kind, name, labels=labels, rules=[dict(rule) for rule in rules])


def cluster_role_binding(name: str, account: str, namespace: str, labels: Labels) -> dict[str, Any]:
    """A ClusterRoleBinding that grants the ClusterRole of the same name to a ServiceAccount."""
    return obj(
        Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        name,
        labels=labels,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    )


def rule(groups: Sequence[str], resources: Sequence[str], verbs: str) -> dict[str, Any]:
    """One rule of a role. ``verbs`` is separated by spaces: ``"get list watch"``."""
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
    """A PodDisruptionBudget with ``maxUnavailable: 1``, so that a drain evicts one replica at a time."""
    return obj(
        Kind("policy/v1", "PodDisruptionBudget"),
        name,
        namespace,
        labels=labels,
        spec={"maxUnavailable": 1, "selector": {"matchLabels": dict(selector)}},
    )


def spread(selector: Labels) -> list[dict[str, Any]]:
    """Topology spread constraints: required across zones (maxSkew 1) and preferred across nodes.

    Zones are required so that the loss of one zone never takes all replicas. Nodes are only preferred so that
    a rollout still succeeds with fewer nodes than replicas.
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


def pod_webhook(
    name: str,
    service: Mapping[str, Any],
    failure: str,
    of_namespace: Sequence[Mapping[str, Any]],
    of_pod: Sequence[Mapping[str, Any]],
    resources: Sequence[str] = ("pods",),
    **more: Any,
) -> dict[str, Any]:
    """A webhook for new pods that match the ``matchExpressions`` of namespaces and of pods.

    ``resources`` are what it sees, if that is not pods alone.
    """
    made = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": list(resources),
    }
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


def namespace_part(
    name: str, purpose: str, *, labels: Labels | None = None, annotations: Labels | None = None
) -> Step:
    """A step that sets a label or annotation on a namespace that meshkit does not own."""
    part = obj(NAMESPACE, name, labels=labels, annotations=annotations)
    return Step(part, manager=f"meshkit-{purpose}", partial=True)
