"""The StatefulSet controller gives each pod a name with an ordinal and replaces pods in order.

With ``OrderedReady`` it starts pods from the lowest ordinal, each when its predecessors are available, and
stops them from the highest, one at a time; with ``Parallel`` it does not wait. A rolling update replaces the
pods of an older template from the highest ordinal down to ``partition``, at most ``maxUnavailable`` at a
time. The rules are those of Kubernetes (kubernetes/pkg/controller/statefulset). Storage is not carried out:
pods refer to the claims of ``volumeClaimTemplates``, which are not created, and an Event says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshkit.kube.pods import is_ready
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    available_in_s,
    is_finished,
    is_terminating,
    key_of,
    scaled,
)
from meshkit.sandbox.controllers.pods import CREATED_AT_ONCE, OwnedPods, Selectors, claimed, from_template
from meshkit.sandbox.controllers.workloads import revisions

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

STATEFULSETS = "statefulsets.apps"
SOURCE = "statefulset-controller"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
HASH = "controller.kubernetes.io/hash"
_ORDINAL = re.compile(r"(.*)-([0-9]+)")


class StatefulSetController:
    """Reconciles the pods, the ControllerRevisions and the status of every StatefulSet."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._pods = OwnedPods(client, SOURCE)
        self._selectors = Selectors()
        self._told: set[str] = set()

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """StatefulSets, the pods that they own and the pods that they may adopt."""
        return {STATEFULSETS: self._selectors.keep, "pods": self._selectors.concerning("StatefulSet")}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step of one StatefulSet."""
        owner = await self._client.get(STATEFULSETS, name, namespace)
        if owner is None or is_terminating(owner):
            self._selectors.forget((namespace, name))
            return None
        await self._tell_of_storage(owner)
        known = await revisions.of_owner(self._client, owner)
        update = await revisions.newest(self._client, owner, known, HASH)
        before = (owner.get("status") or {}).get("currentRevision")
        current = next((each for each in known if each["metadata"]["name"] == before), update)
        pods = await claimed(
            self._client,
            owner,
            may_adopt=lambda pod: ordinal_of(owner, pod) is not None,
        )
        state = State.of(owner, pods, current, update)
        step = next_step(state)
        refusal = await self._pods.create_all(owner, step.create)
        await self._pods.delete(owner, step.delete)
        await self._status(state)
        used = {current["metadata"]["name"], update["metadata"]["name"], *map(_revision_of, pods)}
        await revisions.clean_up(self._client, owner, known, used)
        if refusal is not None:
            raise refusal
        return min((wait for pod in pods if (wait := state.waits[_uid(pod)])), default=None)

    async def _tell_of_storage(self, owner: Object) -> None:
        """Record once that no PersistentVolumeClaims are created."""
        names = [each["metadata"]["name"] for each in owner["spec"].get("volumeClaimTemplates") or ()]
        if not names or owner["metadata"]["uid"] in self._told:
            return
        self._told.add(owner["metadata"]["uid"])
        text = (
            "The sandbox does not carry out volumeClaimTemplates: no PersistentVolumeClaim is created for "
            f"{', '.join(names)}, and nothing is stored there."
        )
        await self._client.record_event(owner, "NotSupported", text, type="Warning", source=SOURCE)

    async def _status(self, state: State) -> None:
        """Write the status; an update is complete when every pod is ready and of the new template."""
        namespace, name = key_of(state.owner)
        alive = [pod for pod in state.pods if not is_terminating(pod)]
        current, update = state.current["metadata"]["name"], state.update["metadata"]["name"]
        counts = {
            "replicas": len(state.pods),
            "readyReplicas": sum(is_ready(pod) for pod in state.pods),
            "availableReplicas": sum(state.is_available(pod) for pod in state.pods),
            "currentReplicas": sum(_revision_of(pod) == current for pod in alive),
            "updatedReplicas": sum(_revision_of(pod) == update for pod in alive),
        }
        complete = (len(state.wanted),) * 3
        if (counts["updatedReplicas"], counts["replicas"], counts["readyReplicas"]) == complete:
            current, counts["currentReplicas"] = update, counts["updatedReplicas"]
        status = {
            "observedGeneration": state.owner["metadata"]["generation"],
            "collisionCount": 0,
            "currentRevision": current,
            "updateRevision": update,
            # Zeros are omitted, except where Kubernetes writes them.
            **{
                field: count
                for field, count in counts.items()
                if count or field in ("replicas", "availableReplicas")
            },
        }
        try:
            await self._client.update_status(STATEFULSETS, name, namespace, status)
        except ApiError as exc:
            if exc.code != 404:
                raise


@dataclass(frozen=True)
class State:
    """A StatefulSet, its pods in the order of their ordinals, and its two revisions.

    ``waits`` maps the uid of each pod to the seconds until it is available (0 means now), or to None.
    """

    owner: Object
    pods: Sequence[Object]
    current: Object
    update: Object
    waits: Mapping[str, float | None]

    @classmethod
    def of(cls, owner: Object, pods: Sequence[Object], current: Object, update: Object) -> State:
        """Return the state at this moment."""
        min_ready_s, now_s = owner["spec"].get("minReadySeconds", 0), time.time()
        ordered = sorted(pods, key=lambda pod: ordinal_of(owner, pod) or 0)
        waits = {_uid(pod): available_in_s(pod, min_ready_s, now_s) for pod in pods}
        return cls(owner, ordered, current, update, waits)

    def is_available(self, pod: Object) -> bool:
        """Return whether the pod is ready for at least ``minReadySeconds`` and not being deleted."""
        return self.waits[_uid(pod)] == 0

    @property
    def wanted(self) -> range:
        """Return the ordinals that the StatefulSet should have."""
        start = (self.owner["spec"].get("ordinals") or {}).get("start", 0)
        return range(start, start + self.owner["spec"]["replicas"])

    @property
    def is_ordered(self) -> bool:
        """Return whether each pod waits for its predecessors."""
        return bool(self.owner["spec"].get("podManagementPolicy") != "Parallel")

    @property
    def rolling(self) -> Object:
        """Return ``updateStrategy.rollingUpdate``."""
        return dict(self.owner["spec"]["updateStrategy"].get("rollingUpdate") or {})

    def is_outdated(self, pod: Object) -> bool:
        """Return whether the pod is of another template than the newest."""
        return bool(_revision_of(pod) != self.update["metadata"]["name"])


@dataclass
class Step:
    """The pods to create and to delete now."""

    create: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def next_step(state: State) -> Step:
    """Return the next step of a StatefulSet; starting and stopping pods comes before updates."""
    at = {number: pod for pod in state.pods if (number := ordinal_of(state.owner, pod)) is not None}
    step = Step()
    for ordinal in state.wanted:
        pod = at.get(ordinal)
        if pod is None:
            step.create.append(new_pod(state, ordinal))
        elif is_finished(pod) and not is_terminating(pod):
            step.delete.append(pod)
        elif state.is_available(pod):
            continue
        if state.is_ordered or len(step.create) == CREATED_AT_ONCE:
            return step
    surplus = [pod for ordinal, pod in reversed(list(at.items())) if ordinal not in state.wanted]
    _stop_surplus(state, surplus, step)
    if state.is_ordered and surplus:
        return step
    if state.owner["spec"]["updateStrategy"].get("type") == "RollingUpdate" and not step.create:
        step.delete += outdated(state, [at[ordinal] for ordinal in state.wanted])
    return step


def _stop_surplus(state: State, surplus: Sequence[Object], step: Step) -> None:
    """Delete pods beyond ``replicas``; in order, each after the one above it and only while others work."""
    unhealthy = [pod for pod in reversed(surplus) if not state.is_available(pod)]
    for pod in surplus:
        if is_terminating(pod):
            if state.is_ordered:
                return
            continue
        if state.is_ordered and unhealthy and pod is not unhealthy[0] and not state.is_available(pod):
            return
        step.delete.append(pod)
        if state.is_ordered:
            return


def outdated(state: State, pods: Sequence[Object]) -> list[Object]:
    """Return the pods to replace now, given all pods of the wanted ordinals in order."""
    partition = state.rolling.get("partition", 0)
    most = max(1, scaled(state.rolling.get("maxUnavailable", 1), len(pods), up=False))
    old = [pod for pod in reversed(pods[partition:]) if state.is_outdated(pod) and not is_terminating(pod)]
    room = max(0, most - sum(not state.is_available(pod) for pod in pods))
    if state.is_ordered:
        return old[:room]
    broken = [pod for pod in old if not state.is_available(pod)]
    return broken + [pod for pod in old if state.is_available(pod)][:room]


def new_pod(state: State, ordinal: int) -> Object:
    """Return the pod of an ordinal; below ``partition`` it is of the current template, else of the newest."""
    is_current = ordinal < state.wanted.start + state.rolling.get("partition", 0)
    revision = state.current if is_current else state.update
    pod = from_template(state.owner, revisions.template_of(revision))
    name = f"{state.owner['metadata']['name']}-{ordinal}"
    pod["metadata"].pop("generateName")
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"] = (pod["metadata"].get("labels") or {}) | {
        POD_NAME: name,
        POD_INDEX: str(ordinal),
        revisions.REVISION_HASH: revision["metadata"]["name"],
    }
    pod["spec"]["hostname"] = name
    if state.owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = state.owner["spec"]["serviceName"]
    claims = [each["metadata"]["name"] for each in state.owner["spec"].get("volumeClaimTemplates") or ()]
    others = [each for each in pod["spec"].get("volumes") or () if each["name"] not in claims]
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}} for claim in claims]
    if claims:
        pod["spec"]["volumes"] = volumes + others
    return pod


def ordinal_of(owner: Object, pod: Object) -> int | None:
    """Return the ordinal in the pod's name, or None for a name that is not of this StatefulSet."""
    match = _ORDINAL.fullmatch(pod["metadata"]["name"])
    return int(match[2]) if match and match[1] == owner["metadata"]["name"] else None


def _revision_of(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(revisions.REVISION_HASH, ""))


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])
