"""Computes a pod's status from the statuses of its containers, as a kubelet does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshkit.sandbox.controllers.objects import set_condition, timestamp
from meshkit.sandbox.node.environment import HOST_IP

Status = dict[str, Any]


def pod_status(
    pod: Mapping[str, Any],
    before: Mapping[str, Any],
    ip: str,
    init: Sequence[Status],
    main: Sequence[Status],
    *,
    terminating: bool,
    message: str = "",
) -> Status:
    """Return the complete status of a pod.

    ``before`` is the previous status, which supplies the start time and transition times. ``message`` is a
    notice for the user.
    """
    specs = pod["spec"].get("initContainers") or ()
    initialized = all(
        container["started"] if spec.get("restartPolicy") == "Always" else _succeeded(container)
        for spec, container in zip(specs, init, strict=True)
    )
    sidecars = [
        container
        for spec, container in zip(specs, init, strict=True)
        if spec.get("restartPolicy") == "Always"
    ]
    unready = [container["name"] for container in (*sidecars, *main) if not container["ready"]]
    unready_message = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
    new_phase = phase(pod, init, main)
    reason = "PodCompleted" if new_phase == "Succeeded" else "ContainersNotReady" if unready else ""
    conditions = [dict(entry) for entry in before.get("conditions") or ()]
    conditions = set_condition(conditions, "PodScheduled", True, "", "")
    conditions = set_condition(
        conditions, "Initialized", initialized, "" if initialized else "ContainersNotInitialized", ""
    )
    conditions = set_condition(conditions, "ContainersReady", not unready, reason, unready_message)
    if terminating:
        conditions = set_condition(conditions, "Ready", False, "Terminating", "the pod is being deleted")
    else:
        conditions = set_condition(conditions, "Ready", not unready, reason, unready_message)
    status: Status = {
        "phase": new_phase,
        "conditions": conditions,
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": before.get("startTime") or timestamp(),
        "qosClass": before.get("qosClass") or "BestEffort",
        "containerStatuses": list(main),
    }
    if message:
        status["message"] = message
    if init:
        status["initContainerStatuses"] = list(init)
    return status


def phase(pod: Mapping[str, Any], init: Sequence[Status], main: Sequence[Status]) -> str:
    """Return the phase: Pending until all containers have started, Succeeded or Failed after they end."""
    policy = pod["spec"].get("restartPolicy", "Always")
    ended = [container["state"].get("terminated") for container in main]
    if all(ended) and (
        policy == "Never" or (policy == "OnFailure" and all(_succeeded(container) for container in main))
    ):
        return "Succeeded" if all(_succeeded(container) for container in main) else "Failed"
    if policy == "Never" and any(
        "terminated" in container["state"] and not _succeeded(container) for container in init
    ):
        return "Failed"
    all_started = all(
        container["started"] or container["lastState"] or container["state"].get("terminated")
        for container in main
    )
    return "Running" if all_started else "Pending"


def restarts_before(pod: Mapping[str, Any], container: str) -> int:
    """Return the container's restart count from before this run of the daemon; 0 for its first start."""
    status = pod.get("status") or {}
    for entry in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        if entry["name"] == container:
            return int(entry["restartCount"]) + (1 if entry.get("started") else 0)
    return 0


def _succeeded(container: Status) -> bool:
    terminated = container["state"].get("terminated")
    return terminated is not None and terminated["exitCode"] == 0
