"""The DaemonSet controller runs one pod on each node that the pod template may use.

A rolling update replaces the pods of an older template: with ``maxUnavailable`` the old pod goes first, with
``maxSurge`` after the new one is available on the same node. The rules are those of Kubernetes
(kubernetes/pkg/controller/daemon): pods tolerate the taints of lost and cordoned nodes, a finished pod is
replaced, and a pod on a node that the template may no longer use is deleted.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshkit.kube.pods import is_ready
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    available_in_s,
    is_finished,
    is_terminating,
    key_of,
    scaled,
)
from meshkit.sandbox.controllers.pods import OwnedPods, Selectors, claimed, from_template
from meshkit.sandbox.controllers.scheduling.placement import may_use
from meshkit.sandbox.controllers.scheduling.taints import evicted_after_s, untolerated
from meshkit.sandbox.controllers.workloads import revisions

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

DAEMONSETS = "daemonsets.apps"
SOURCE = "daemonset-controller"
_TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""The key and effect of each taint that every pod of a DaemonSet tolerates."""


class DaemonSetController:
    """Reconciles the pods, the ControllerRevisions and the status of every DaemonSet."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._pods = OwnedPods(client, SOURCE)
        self._selectors = Selectors()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """DaemonSets, their pods, and the nodes, each of which concerns every DaemonSet."""
        return {
            DAEMONSETS: self._selectors.keep,
            "pods": self._selectors.concerning("DaemonSet"),
            "nodes": lambda node: self._selectors.keys,
        }

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step of one DaemonSet."""
        owner = await self._client.get(DAEMONSETS, name, namespace)
        if owner is None or is_terminating(owner):
            self._selectors.forget((namespace, name))
            return None
        known = await revisions.of_owner(self._client, owner)
        update = await revisions.newest(self._client, owner, known, revisions.REVISION_HASH)
        digits = update["metadata"]["labels"][revisions.REVISION_HASH]
        nodes = await self._client.list("nodes")
        pods = await claimed(self._client, owner)
        state = State.of(owner, digits, nodes, pods)
        step = next_step(state)
        new = [new_pod(owner, node, digits, update["revision"]) for node in step.create]
        refusal = await self._pods.create_all(owner, new)
        await self._pods.delete(owner, step.delete)
        await self._client.update_status(DAEMONSETS, name, namespace, status_of(state))
        in_use = {f"{name}-{digits}", *(f"{name}-{hash_of(pod)}" for pod in pods)}
        await revisions.clean_up(self._client, owner, known, in_use)
        if refusal is not None:
            raise refusal
        return min((wait for pod in pods if (wait := state.waits[pod["metadata"]["uid"]])), default=None)


@dataclass(frozen=True)
class State:
    """A DaemonSet and its pods by node.

    ``wanted`` are the nodes that should have a pod and ``kept`` those that may keep one; ``waits`` maps the
    uid of each pod to the seconds until it is available (0 means now), or to None.
    """

    owner: Object
    digits: str
    wanted: frozenset[str]
    kept: frozenset[str]
    by_node: Mapping[str, Sequence[Object]]
    waits: Mapping[str, float | None]

    @classmethod
    def of(cls, owner: Object, digits: str, nodes: Sequence[Object], pods: Sequence[Object]) -> State:
        """Return the state at this moment."""
        pod = {"spec": tolerating(owner["spec"]["template"]["spec"])}
        usable = [node for node in nodes if _names(pod, node) and may_use(pod["spec"], node)]
        by_node: dict[str, list[Object]] = {}
        for each in sorted(pods, key=lambda each: str(each["metadata"].get("creationTimestamp"))):
            by_node.setdefault(node_of(each), []).append(each)
        min_ready_s, now_s = owner["spec"].get("minReadySeconds", 0), time.time()
        return cls(
            owner,
            digits,
            frozenset(key_of(node)[1] for node in usable if untolerated(pod, node) is None),
            frozenset(key_of(node)[1] for node in usable if evicted_after_s(pod, node, 0.0) is None),
            by_node,
            {each["metadata"]["uid"]: available_in_s(each, min_ready_s, now_s) for each in pods},
        )

    def is_available(self, pod: Object) -> bool:
        """Return whether the pod is ready for at least ``minReadySeconds`` and not being deleted."""
        return self.waits[pod["metadata"]["uid"]] == 0

    def is_new(self, pod: Object) -> bool:
        """Return whether the pod is of the present template."""
        return hash_of(pod) == self.digits

    def limit(self, name: str, default: int) -> int:
        """Return ``maxSurge`` or ``maxUnavailable`` as a number of pods."""
        rolling = self.owner["spec"]["updateStrategy"].get("rollingUpdate") or {}
        return scaled(rolling.get(name, default), len(self.wanted), up=True)


@dataclass
class Step:
    """The nodes to create a pod for and the pods to delete now."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def next_step(state: State) -> Step:
    """Return the next step of a DaemonSet."""
    step = Step()
    surge = state.limit("maxSurge", 0) if _is_rolling(state) else 0
    for node in sorted(state.wanted | set(state.by_node)):
        pods = state.by_node.get(node, ())
        finished = [pod for pod in pods if is_finished(pod)]
        step.delete += [pod for pod in finished if not is_terminating(pod)]
        running = [pod for pod in pods if not is_terminating(pod) and not is_finished(pod)]
        if node not in state.wanted:
            step.delete += running if node not in state.kept else []
        elif not pods:
            step.create.append(node)
        else:
            step.delete += _surplus(state, running, surge)
    if surge:
        _surge(state, step, surge)
    elif _is_rolling(state):
        _replace(state, step)
    return step


def _surplus(state: State, pods: Sequence[Object], surge: int) -> list[Object]:
    """Return the pods of one node beyond the oldest; a surging update has one of each template there."""
    if not surge:
        return list(pods[1:])
    new = [pod for pod in pods if state.is_new(pod)]
    old = [pod for pod in pods if not state.is_new(pod)]
    done = bool(new) and state.is_available(new[0])
    return [*new[1:], *(old if done else old[1:])]


def _replace(state: State, step: Step) -> None:
    """Delete old pods, so that at most ``maxUnavailable`` nodes are without an available pod."""
    most = state.limit("maxUnavailable", 1) or 1
    unavailable, candidates = 0, []
    for node in sorted(state.wanted):
        alive = [pod for pod in state.by_node.get(node, ()) if pod not in step.delete]
        old = [pod for pod in alive if not state.is_new(pod) and not is_terminating(pod)]
        if any(state.is_available(pod) for pod in alive):
            candidates += old
        else:
            unavailable += 1
            step.delete += old
    step.delete += candidates[: max(0, most - unavailable)]


def _surge(state: State, step: Step, surge: int) -> None:
    """Create new pods beside old ones on at most ``maxSurge`` nodes; beside a broken pod always."""
    surging, candidates = 0, []
    for node in sorted(state.wanted):
        pods = [pod for pod in state.by_node.get(node, ()) if not is_terminating(pod)]
        old = [pod for pod in pods if not state.is_new(pod)]
        if not old:
            continue
        if len(old) < len(pods):
            surging += 1
        elif any(state.is_available(pod) for pod in old):
            candidates.append(node)
        else:
            step.create.append(node)
    step.create += candidates[: max(0, surge - surging)]


def status_of(state: State) -> Object:
    """Return the status; of several pods on a node the oldest counts."""
    first = [
        next((pod for pod in state.by_node[node] if not is_terminating(pod)), state.by_node[node][0])
        for node in sorted(state.wanted & set(state.by_node))
    ]
    available = sum(state.is_available(pod) for pod in first)
    updated = sum(state.is_new(pod) for pod in first)
    status = {
        "observedGeneration": state.owner["metadata"]["generation"],
        "desiredNumberScheduled": len(state.wanted),
        "currentNumberScheduled": len(first),
        "numberMisscheduled": len(set(state.by_node) - state.wanted),
        "numberReady": sum(is_ready(pod) for pod in first),
    }
    optional = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": len(state.wanted) - available,
    }
    return status | {name: count for name, count in optional.items() if count}


def new_pod(owner: Object, node: str, digits: str, generation: int) -> Object:
    """Return the pod for one node, which the scheduler binds by its required node affinity."""
    pod = from_template(owner)
    labels = pod["metadata"].get("labels") or {}
    pod["metadata"]["labels"] = {
        **labels,
        revisions.REVISION_HASH: digits,
        "pod-template-generation": str(generation),
    }
    pod["spec"] = tolerating(pod["spec"])
    affinity = pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [here]}
    return pod


def tolerating(spec: Object) -> Object:
    """Return the pod spec with the tolerations that every pod of a DaemonSet has."""
    result = copy.deepcopy(spec)
    own = list(result.get("tolerations") or ())
    more = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _TOLERATIONS]
    result["tolerations"] = [*own, *(each for each in more if each not in own)]
    return result


def node_of(pod: Object) -> str:
    """Return the node of a pod: where it runs, or before that the one of its node affinity."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if each["key"] == "metadata.name" and each["operator"] == "In" and each.get("values"):
                return str(each["values"][0])
    return ""


def hash_of(pod: Object) -> str:
    """Return the hash of the template that the pod was made from."""
    return str((pod["metadata"].get("labels") or {}).get(revisions.REVISION_HASH, ""))


def _is_rolling(state: State) -> bool:
    return bool(state.owner["spec"]["updateStrategy"].get("type") == "RollingUpdate")


def _names(pod: Object, node: Object) -> bool:
    return pod["spec"].get("nodeName") in (None, "", key_of(node)[1])
