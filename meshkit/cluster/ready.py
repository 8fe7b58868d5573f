"""The conditions that steps wait for, and the explanation if a wait times out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meshkit.cluster.api import Api
from meshkit.errors import ClusterError, TimedOut
from meshkit.facts import Kind, Object
from meshkit.kube.steps import Condition, Wait

_OF_ROUTES = ("Accepted", "ResolvedRefs")
"""The conditions that a route needs for each parent."""
_POD, _EVENT = Kind("v1", "Pod"), Kind("v1", "Event")


def wait_for(api: Api, kind: Kind, name: str, namespace: str | None, wait: Wait) -> dict[str, Any] | None:
    """Wait until the object meets the condition and return it. Raises ``TimedOut`` with its state.

    An object that nobody has answered is returned as well if ``wait`` says so.
    """
    ready = _READY[wait.condition]

    def why(obj: dict[str, Any] | None) -> str:
        return explain(api, obj, wait.condition)

    try:
        return api.wait(kind, name, namespace, ready, wait.timeout_s, wait.condition, why=why)
    except TimedOut:
        found = api.get(kind, name, namespace) if wait.unanswered else None
        if found is None or answered(found):
            raise
        return found


def meets(obj: dict[str, Any], wait: Wait) -> bool:
    """Whether an object meets the condition of a wait."""
    return _READY[wait.condition](obj)


def available(workload: Object | None) -> bool:
    """Whether all replicas of a workload have the newest pod template and are available."""
    if workload is None:
        return False
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 1):
        return False
    _, wanted = _counted(workload)
    of_each_node = ("updatedNumberScheduled", "numberAvailable")
    of_replicas = ("replicas", "updatedReplicas", "availableReplicas")
    keys = of_each_node if workload["kind"] == "DaemonSet" else of_replicas
    return all(status.get(key, 0) == wanted for key in keys)


def established(definition: Object | None) -> bool:
    """Whether a CustomResourceDefinition has the condition Established."""
    conditions = ((definition or {}).get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def trusted(webhook: Object | None) -> bool:
    """Whether every webhook of a configuration has a CA bundle."""
    hooks = (webhook or {}).get("webhooks") or ()
    return bool(hooks) and all(hook["clientConfig"].get("caBundle") for hook in hooks)


def accepted(route: Object | None) -> bool:
    """Whether a route, as it is now, is accepted for each of its parents and its backends are found."""
    return route is not None and all(
        any(all(_holds(entry, kind, route) for kind in _OF_ROUTES) for entry in _told(route, parent))
        for parent in _parents(route)
    )


def answered(route: Object) -> bool:
    """Whether a controller has written a status for any parent of a route."""
    return any(True for parent in _parents(route) for _ in _told(route, parent))


def parents(route: Object) -> Iterator[str]:
    """What the controllers say of a route, one text for each parent and controller."""
    for parent in _parents(route):
        where = f"{parent.get('kind', 'Gateway')} {parent['name']}"
        where += f":{parent['port']}" if parent.get("port") else ""
        told = list(_told(route, parent))
        if not told:
            yield f"no controller has written a status for {where}"
        for entry in told:
            parts = [_condition(entry, kind, route) for kind in _OF_ROUTES]
            yield f"{where}: {', '.join(parts)} by {entry.get('controllerName')}"


def _parents(route: Object) -> list[Mapping[str, Any]]:
    return list((route.get("spec") or {}).get("parentRefs") or ())


def _told(route: Object, parent: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The entries of a route's status for a parent."""
    keys = ("kind", "name", "port", "sectionName")
    for entry in (route.get("status") or {}).get("parents") or ():
        if all(entry["parentRef"].get(key) == parent.get(key) for key in keys):
            yield entry


def _holds(entry: Mapping[str, Any], kind: str, route: Object) -> bool:
    return _condition(entry, kind, route) == kind


def _condition(entry: Mapping[str, Any], kind: str, route: Object) -> str:
    """A condition as a text: its name where it holds, else what is said instead."""
    generation = route["metadata"].get("generation", 0)
    for each in entry.get("conditions") or ():
        if each["type"] != kind:
            continue
        if each.get("observedGeneration", generation) < generation:
            break
        if each["status"] == "True":
            return kind
        message = each.get("message") or ""
        return f"not {kind} ({each.get('reason')}{': ' + message if message else ''})"
    return f"{kind} not known yet"


_READY: dict[Condition, Callable[[dict[str, Any] | None], bool]] = {
    "available": available,
    "established": established,
    "trusted": trusted,
    "accepted": accepted,
}


def explain(api: Api, obj: Object | None, condition: Condition) -> str:
    """Explain why an object does not meet a condition: replica counts, problems of pods, last warnings."""
    if obj is None:
        return "it does not exist"
    if condition == "established":
        return "its names have not been accepted yet"
    if condition == "trusted":
        return "its control plane has not written the CA into it"
    if condition == "accepted":
        return "; ".join(parents(obj))
    text = "{} of {} replicas are available".format(*_counted(obj))
    try:
        reasons = _pod_troubles(api, obj)
    except ClusterError:
        return text
    return "; ".join([text, *reasons])


def _counted(workload: Object) -> tuple[int, int]:
    """The number of available and of desired replicas."""
    status = workload.get("status") or {}
    if workload["kind"] == "DaemonSet":
        return status.get("numberAvailable", 0), status.get("desiredNumberScheduled", 0)
    return status.get("availableReplicas", 0), workload["spec"].get("replicas", 1)


def _pod_troubles(api: Api, deployment: Object) -> list[str]:
    namespace = deployment["metadata"]["namespace"]
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = api.list(_POD, namespace, selector)
    if pods:
        troubles = {trouble for pod in pods for trouble in _troubles(pod)}
        return sorted(troubles)[:3]
    warnings = [
        event["message"]
        for event in api.list(_EVENT, namespace)
        if event.get("type") == "Warning"
        and event["involvedObject"]["name"].startswith(deployment["metadata"]["name"])
    ]
    return ["no pod was created", *warnings[-1:]]


def _troubles(pod: Object) -> list[str]:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    found = [
        f"pod {name}: {c.get('message') or c.get('reason')}"
        for c in status.get("conditions") or ()
        if c["type"] == "PodScheduled" and c["status"] == "False"
    ]
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            reason = f"{waiting.get('reason')} {waiting.get('message') or ''}".strip()
            found.append(f"pod {name}, container {container['name']}: {reason}")
        elif not container.get("ready"):
            found.append(f"pod {name}, container {container['name']}: not ready")
    return found
