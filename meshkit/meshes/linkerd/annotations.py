"""Settings of Linkerd's proxies by an annotation of their namespace.

The annotation applies to new pods, so workloads whose pods have another value are restarted.
"""

from __future__ import annotations

from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.kube.manifests import namespace_part
from meshkit.kube.steps import Step
from meshkit.kube.workloads import pods_of, restart, rolling
from meshkit.meshes.linkerd.injection import INJECT, INJECTION_RULES


def injected_namespaces(snapshot: Snapshot, field: str, otherwise: str) -> list[str]:
    """The namespaces with injection. Raises ``BadInput`` for ``field`` if there is none.

    ``otherwise`` is the alternative to enabling injection, for the remedy.
    """
    names = [
        str(namespace["metadata"]["name"])
        for namespace in snapshot.of("Namespace")
        if _told(namespace, INJECT, "") == "enabled"
    ]
    if not names:
        raise BadInput(
            field,
            "no namespace has Linkerd's injection enabled, so the setting applies to no pod.",
            remedy=f"Enable injection first, or {otherwise}.",
        )
    return names


def tell(
    namespace: str, part: str, annotation: str, value: str, silence: str, snapshot: Snapshot
) -> list[Step]:
    """The step that annotates a namespace, and restarts of workloads whose pods have another value.

    ``part`` names the field manager; ``silence`` is the value of a pod without the annotation.
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
