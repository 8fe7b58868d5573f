"""What Linkerd's proxies are told by an annotation of their namespace.

It holds for pods that are made from then on: those that were told otherwise restart.
"""

from __future__ import annotations

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.kube.manifests import namespace_part
from meshkit.kube.steps import Step
from meshkit.kube.workloads import pods_of, restart, rolling
from meshkit.meshes.linkerd.injection import INJECT, INJECTION_RULES


def injected_namespaces(snapshot: Snapshot, field: str, otherwise: str) -> list[str]:
    """The namespaces that Linkerd injects. Raises ``BadInput`` about ``field`` where there is none;
    ``otherwise`` is what one can do but enable injection.
    """
    names = [
        str(namespace["metadata"]["name"])
        for namespace in snapshot.of("Namespace")
        if _told(namespace, INJECT, "") == "enabled"
    ]
    if not names:
        raise BadInput(
            field,
            "no namespace is injected by Linkerd yet, so there is nothing it could hold for.",
            remedy=f"Enable injection first, or {otherwise}.",
        )
    return names


def tell(
    namespace: str, part: str, annotation: str, value: str, silence: str, snapshot: Snapshot
) -> list[Step]:
    """The annotation on a namespace, as the ``part`` of its own manager, and restarts of the workloads with a
    meshed pod that was told otherwise. ``silence`` is what holds for a pod without the annotation.
    """
    behind = [
        workload
        for workload in rolling(snapshot, namespace)
        if any(
            INJECTION_RULES.runs_sidecar(pod) and _told(pod, annotation, silence) != value
            for pod in pods_of(workload, snapshot)
        )
    ]
    mark = namespace_part(namespace, part, annotations={annotation: value})
    return [mark, *(restart(workload) for workload in behind)]


def _told(obj: Object, annotation: str, silence: str) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(annotation, silence))
