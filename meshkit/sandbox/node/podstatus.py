"""A pod's status from those of its containers, as a kubelet would write it. Pure but for the time."""

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
    """The whole status. ``before`` is the last one: start time and times of transitions come from it;
    ``message`` is what a person should know of the pod.
    """
    specs = pod["spec"].get("initContainers") or ()
    initialized = all(
        each["started"] if spec.get("restartPolicy") == "Always" else _succeeded(each)
        for spec, each in zip(specs, init, strict=True)
    )
    sidecars = [each for spec, each in zip(specs, init, strict=True) if spec.get("restartPolicy") == "Always"]
    unready = [each["name"] for each in (*sidecars, *main) if not each["ready"]]
    why = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
    now = phase(pod, init, main)
    reason = "PodCompleted" if now == "Succeeded" else "ContainersNotReady" if unready else ""
    conditions = [dict(each) for each in before.get("conditions") or ()]
    conditions = set_condition(conditions, "PodScheduled", True, "", "")
    conditions = set_condition(
        conditions, "Initialized", initialized, "" if initialized else "ContainersNotInitialized", ""
    )
    conditions = set_condition(conditions, "ContainersReady", not unready, reason, why)
    if terminating:
        conditions = set_condition(conditions, "Ready", False, "Terminating", "the pod is being deleted")
    else:
        conditions = set_condition(conditions, "Ready", not unready, reason, why)
    status: Status = {
        "phase": now,
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
    """Pending until every container has started once; Succeeded or Failed when all have ended for good."""
    policy = pod["spec"].get("restartPolicy", "Always")
    ended = [each["state"].get("terminated") for each in main]
    if all(ended) and (
        policy == "Never" or (policy == "OnFailure" and all(_succeeded(each) for each in main))
    ):
        return "Succeeded" if all(_succeeded(each) for each in main) else "Failed"
    if policy == "Never" and any("terminated" in each["state"] and not _succeeded(each) for each in init):
        return "Failed"
    begun = all(each["started"] or each["lastState"] or each["state"].get("terminated") for each in main)
    return "Running" if begun else "Pending"


def restarts_before(pod: Mapping[str, Any], container: str) -> int:
    """How often the container was started before this run of the daemon; a first start counts from 0."""
    status = pod.get("status") or {}
    for each in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        if each["name"] == container:
            return int(each["restartCount"]) + (1 if each.get("started") else 0)
    return 0


def _succeeded(container: Status) -> bool:
    terminated = container["state"].get("terminated")
    return terminated is not None and terminated["exitCode"] == 0
