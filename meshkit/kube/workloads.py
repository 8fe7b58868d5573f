"""The pods of workloads, and rolling restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.kube.kinds import DEPLOYMENT, NAMESPACE, POD, WORKLOADS
from meshkit.kube.manifests import (
    obj,
)
from meshkit.kube.selectors import matches
from meshkit.kube.steps import RESTART_MANAGER, Step, Wait

RESTART_ANNOTATION = "meshkit.dev/restarted-at-generation"
ROLLOUT_TIMEOUT_S = 300.0


def workload_needs(namespace: str | None) -> tuple[Need, ...]:
    """The objects that ``rolling`` and ``restarts`` read."""
    return (Need(NAMESPACE), Need(POD, namespace), *(Need(kind, namespace) for kind in WORKLOADS))


def rolling(snapshot: Snapshot, namespace: str | None = None) -> Iterator[Object]:
    """The workloads that replace their pods on a rollout: all but those with updateStrategy OnDelete."""
    found = [workload for kind in WORKLOADS for workload in snapshot.of(kind.kind, namespace)]
    return (one for one in found if (one["spec"].get("updateStrategy") or {}).get("type") != "OnDelete")


def restarts(workloads: Sequence[Object], at_once: int) -> list[Step]:
    """Steps for rolling restarts in waves of ``at_once`` workloads; each wave waits for the previous one."""
    return [restart(each, wave=number // at_once + 1) for number, each in enumerate(workloads)]


def restart(workload: Object, *, wave: int = 0) -> Step:
    """A step for a rolling restart: it annotates the pod template and waits for the new pods.

    kubectl writes the time; planners have no clock, so the annotation holds the current generation instead.
    """
    mark = {RESTART_ANNOTATION: str(workload["metadata"].get("generation", 1))}
    return annotated(workload, mark, manager=RESTART_MANAGER, wave=wave)


def annotated(workload: Object, annotations: Mapping[str, str], *, manager: str, wave: int = 0) -> Step:
    """A step that annotates the pod template of a workload, and waits for the new pods."""
    meta = workload["metadata"]
    kind = Kind(DEPLOYMENT.api_version, workload["kind"])
    template = {"metadata": {"annotations": dict(annotations)}}
    part = obj(kind, meta["name"], meta["namespace"], spec={"template": template})
    wait = Wait("available", ROLLOUT_TIMEOUT_S)
    return Step(part, manager=manager, partial=True, wait=wait, wave=wave)


def owners(pods: Sequence[Object], snapshot: Snapshot) -> tuple[list[Object], list[Object]]:
    """Split pods into the workloads whose restart replaces them, and the pods that no restart replaces."""
    left = {pod["metadata"]["uid"]: pod for pod in pods}
    found = []
    for workload in rolling(snapshot):
        own = {pod["metadata"]["uid"] for pod in pods_of(workload, snapshot)}
        if own & left.keys():
            found.append(workload)
            left = {uid: pod for uid, pod in left.items() if uid not in own}
    return found, list(left.values())


def pods_of(workload: Object, snapshot: Snapshot) -> list[Object]:
    """The pods that a workload's selector selects, without those that are being deleted."""
    selector = workload["spec"]["selector"]
    return [
        pod
        for pod in snapshot.of("Pod", workload["metadata"]["namespace"])
        if matches(selector, pod) and "deletionTimestamp" not in pod["metadata"]
    ]
