"""Deployment -> ReplicaSets: one per pod template, rolled over by the arithmetic of ``rollout``.

The ReplicaSet of a template is found by the template's hash, so ``kubectl rollout undo`` (which writes an old
template back) finds the old ReplicaSet, and only its revision moves. Status follows what ``kubectl rollout
status`` and Helm wait for: Progressing with reason NewReplicaSetAvailable at the end, Available by the
allowed number of missing pods.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers.loop import Key
from meshkit.sandbox.controllers.objects import (
    Object,
    condition,
    controlled_by,
    controller_of,
    is_terminating,
    key_of,
    owner_reference,
    seconds,
    set_condition,
    timestamp,
)
from meshkit.sandbox.controllers.workloads import rollout

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

DEPLOYMENTS = "deployments.apps"
REPLICASETS = "replicasets.apps"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"


class DeploymentController:
    """Keeps the ReplicaSets of every Deployment, and its status."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Deployments, and the ReplicaSets they own."""
        return {DEPLOYMENTS: lambda obj: [key_of(obj)], REPLICASETS: _deployment_of}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step of one Deployment's rollout."""
        deployment = await self._client.get(DEPLOYMENTS, name, namespace)
        if deployment is None or is_terminating(deployment):
            return None
        owned = [
            each
            for each in await self._client.list(REPLICASETS, namespace)
            if controlled_by(each, deployment) and not is_terminating(each)
        ]
        owned.sort(key=_revision)
        hashed = template_hash(deployment["spec"]["template"])
        new = next((each for each in owned if each["metadata"]["labels"].get(HASH) == hashed), None)
        old = [each for each in owned if each is not new]
        paused = bool(deployment["spec"].get("paused"))
        if not paused:
            new = await self._new(deployment, new, old, hashed)
            deployment = await self._number(deployment, new)
        if not paused or owned:
            new, old = await self._scale(deployment, new, old)
        if not paused:
            await self._forget(deployment, new, old)
        return await self._status(deployment, new, old)

    async def _new(
        self, deployment: Object, new: Object | None, old: Sequence[Object], hashed: str
    ) -> Object:
        """The ReplicaSet of the present template, with the highest revision."""
        latest = max((_revision(each) for each in old), default=0)
        if new is None:
            return await self._client.create(
                REPLICASETS, _replica_set(deployment, hashed, revision=latest + 1)
            )
        if _revision(new) > latest:
            return new
        return await self._patch(new, {"metadata": {"annotations": {REVISION: str(latest + 1)}}})

    async def _number(self, deployment: Object, new: Object) -> Object:
        """Carry the revision over to the Deployment."""
        revision = new["metadata"]["annotations"][REVISION]
        if (deployment["metadata"].get("annotations") or {}).get(REVISION) == revision:
            return deployment
        namespace, name = key_of(deployment)
        patch = {"metadata": {"annotations": {REVISION: revision}}}
        return await self._client.merge_patch(DEPLOYMENTS, name, namespace, patch)

    async def _scale(
        self, deployment: Object, new: Object | None, old: Sequence[Object]
    ) -> tuple[Object | None, list[Object]]:
        spec = deployment["spec"]
        replicas: int = spec["replicas"]
        strategy = _strategy(deployment)
        recreate = strategy.get("type") == "Recreate"
        if new is None or spec.get("paused") or (not recreate and _is_resized(deployment, (*old, new))):
            return await self._share_out(deployment, new, old)
        if recreate:
            old = [await self._resize(deployment, each, 0) for each in old]
            gone = all((each.get("status") or {}).get("replicas", 0) == 0 for each in old)
            return await self._resize(deployment, new, replicas) if gone else new, list(old)
        allowed = rollout.limits(strategy, replicas)
        sizes = [_size(each) for each in old]
        new = await self._resize(deployment, new, rollout.grown(_size(new), sizes, replicas, allowed))
        fewer = rollout.shrunk(_size(new), sizes, replicas, allowed)
        return new, [
            await self._resize(deployment, each, size) for each, size in zip(old, fewer, strict=True)
        ]

    async def _share_out(
        self, deployment: Object, new: Object | None, old: Sequence[Object]
    ) -> tuple[Object | None, list[Object]]:
        """A new size of the Deployment, and no step of a rollout: each ReplicaSet keeps its part."""
        replicas: int = deployment["spec"]["replicas"]
        everyone = [*old, *([new] if new is not None else [])]
        active = [each for each in everyone if each["spec"]["replicas"]] or everyone[-1:]
        if len(active) > 1 and _strategy(deployment).get("type") == "Recreate":
            return new, list(old)
        sizes = [replicas]
        if len(active) > 1:
            there = (deployment.get("status") or {}).get("replicas", 0)
            shares = [
                rollout.Share(each["spec"]["replicas"], _noted(each, MOST) or there, -_revision(each))
                for each in active
            ]
            sizes = rollout.proportional(shares, replicas, _surge(deployment))
        wanted = {each["metadata"]["name"]: size for each, size in zip(active, sizes, strict=True)}
        done = [
            await self._resize(deployment, each, wanted.get(each["metadata"]["name"], 0)) for each in everyone
        ]
        return (done.pop() if new is not None else None), done

    async def _resize(self, deployment: Object, replica_set: Object, size: int) -> Object:
        """Give a ReplicaSet its size, and note beside it what that was a part of."""
        notes = _notes(deployment)
        noted = notes.items() <= (replica_set["metadata"].get("annotations") or {}).items()
        if replica_set["spec"]["replicas"] == size and (noted or not size):
            return replica_set
        return await self._patch(
            replica_set, {"metadata": {"annotations": notes}, "spec": {"replicas": size}}
        )

    async def _patch(self, replica_set: Object, patch: Object) -> Object:
        namespace, name = key_of(replica_set)
        return await self._client.merge_patch(REPLICASETS, name, namespace, patch)

    async def _forget(self, deployment: Object, new: Object | None, old: Sequence[Object]) -> None:
        """Delete the oldest empty ReplicaSets beyond ``revisionHistoryLimit``, once the rollout is done."""
        if not _complete(deployment, _counts(new, old)):
            return
        empty = [
            each
            for each in old
            if each["spec"]["replicas"] == 0 and not (each.get("status") or {}).get("replicas", 0)
        ]
        for each in empty[: max(0, len(empty) - deployment["spec"].get("revisionHistoryLimit", 10))]:
            namespace, name = key_of(each)
            await self._client.delete(REPLICASETS, name, namespace)

    async def _status(self, deployment: Object, new: Object | None, old: Sequence[Object]) -> float | None:
        counts = _counts(new, old)
        allowed = rollout.limits(deployment["spec"].get("strategy") or {}, deployment["spec"]["replicas"])
        before = deployment.get("status") or {}
        conditions = list(before.get("conditions") or [])
        enough = counts.available >= deployment["spec"]["replicas"] - allowed.unavailable
        conditions = set_condition(
            conditions,
            "Available",
            enough,
            "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
            lastUpdateTime=timestamp(),
        )
        conditions = _copy_failure(conditions, new)
        conditions, again_s = _progress(deployment, new, counts, conditions)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": counts.all,
            "updatedReplicas": counts.updated,
            "readyReplicas": counts.ready,
            "availableReplicas": counts.available,
            "unavailableReplicas": max(0, counts.wanted - counts.available),
            "conditions": _keep_times(before.get("conditions") or [], conditions),
        }
        namespace, name = key_of(deployment)
        await self._client.update_status(DEPLOYMENTS, name, namespace, status)
        return again_s


@dataclass(frozen=True)
class Counts:
    """Pods of a Deployment.

    Wanted by its ReplicaSets together, there, of the new template, ready, available.
    """

    wanted: int
    all: int
    updated: int
    ready: int
    available: int


def _counts(new: Object | None, old: Sequence[Object]) -> Counts:
    everyone = [each for each in (*old, new) if each is not None]

    def total(field: str) -> int:
        return sum((each.get("status") or {}).get(field, 0) for each in everyone)

    updated = (new.get("status") or {}).get("replicas", 0) if new is not None else 0
    wanted = sum(each["spec"]["replicas"] for each in everyone)
    return Counts(wanted, total("replicas"), updated, total("readyReplicas"), total("availableReplicas"))


def _complete(deployment: Object, counts: Counts) -> bool:
    replicas: int = deployment["spec"]["replicas"]
    return counts.updated == counts.all == counts.available == replicas


def _progress(
    deployment: Object, new: Object | None, counts: Counts, conditions: list[Object]
) -> tuple[list[Object], float | None]:
    """The condition Progressing, and in how many seconds its deadline passes."""
    name = new["metadata"]["name"] if new is not None else ""
    if new is None:
        return conditions, None
    if _complete(deployment, counts):
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return _progressing(conditions, True, "NewReplicaSetAvailable", text), None
    before = condition(deployment, "Progressing")
    status = deployment.get("status") or {}
    moved = (
        before is None
        or before["reason"] == "NewReplicaSetAvailable"
        or status.get("observedGeneration") != deployment["metadata"]["generation"]
        or status.get("updatedReplicas", 0) < counts.updated
        or status.get("readyReplicas", 0) < counts.ready
        or status.get("availableReplicas", 0) < counts.available
        or status.get("replicas", 0) > counts.all
    )
    if moved or before is None:
        text = f'ReplicaSet "{name}" is progressing.'
        since = time.time()
        conditions = _progressing(conditions, True, "ReplicaSetUpdated", text)
    else:
        since = seconds(before["lastUpdateTime"])
    left_s = since + deployment["spec"].get("progressDeadlineSeconds", 600) - time.time()
    if left_s > 0:
        return conditions, left_s
    text = f'ReplicaSet "{name}" has timed out progressing.'
    return _progressing(conditions, False, "ProgressDeadlineExceeded", text), None


def _progressing(conditions: list[Object], status: bool, reason: str, text: str) -> list[Object]:
    return set_condition(conditions, "Progressing", status, reason, text, lastUpdateTime=timestamp())


def _copy_failure(conditions: list[Object], new: Object | None) -> list[Object]:
    """ReplicaFailure as the new ReplicaSet has it: pods that could not be created."""
    rest = [each for each in conditions if each["type"] != "ReplicaFailure"]
    failure = condition(new, "ReplicaFailure") if new is not None else None
    if failure is None:
        return rest
    return [*rest, {**failure, "lastUpdateTime": failure["lastTransitionTime"]}]


def _keep_times(before: Sequence[Object], now: list[Object]) -> list[Object]:
    """``lastUpdateTime`` moves only with the rest of a condition: a status without news is no write."""
    known = {each["type"]: each for each in before}

    def same(one: Object, other: Object) -> bool:
        times = ("lastUpdateTime", "lastTransitionTime")
        return {k: v for k, v in one.items() if k not in times} == {
            k: v for k, v in other.items() if k not in times
        }

    kept: list[Object] = []
    for each in now:
        old = known.get(each["type"])
        progressed = each.get("reason") == "ReplicaSetUpdated"
        kept.append(old if old is not None and same(old, each) and not progressed else each)
    return kept


def template_hash(template: Object) -> str:
    """Ten hex digits of a pod template: its ReplicaSet's name ends with them."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _replica_set(deployment: Object, hashed: str, *, revision: int) -> Object:
    namespace, name = key_of(deployment)
    template = copy.deepcopy(deployment["spec"]["template"])
    labels = {**(template.setdefault("metadata", {}).get("labels") or {}), HASH: hashed}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: hashed}
    spec: Object = {"replicas": 0, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{hashed}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {REVISION: str(revision), **_notes(deployment)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": spec,
    }


def _deployment_of(replica_set: Object) -> list[Key]:
    owner = controller_of(replica_set)
    if owner is None or owner["kind"] != "Deployment":
        return []
    return [(replica_set["metadata"]["namespace"], owner["name"])]


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _strategy(deployment: Object) -> Object:
    strategy: Object = deployment["spec"].get("strategy") or {}
    return strategy


def _surge(deployment: Object) -> int:
    """How many pods more than its size a Deployment may have."""
    strategy = _strategy(deployment)
    if strategy.get("type") == "Recreate":
        return 0
    return rollout.limits(strategy, deployment["spec"]["replicas"]).surge


def _notes(deployment: Object) -> dict[str, str]:
    """What a ReplicaSet's size was a part of: the Deployment's size, and with the surge."""
    replicas: int = deployment["spec"]["replicas"]
    return {DESIRED: str(replicas), MOST: str(replicas + _surge(deployment))}


def _noted(replica_set: Object, note: str) -> int | None:
    text = (replica_set["metadata"].get("annotations") or {}).get(note, "")
    return int(text) if text.isdecimal() else None


def _is_resized(deployment: Object, replica_sets: Sequence[Object]) -> bool:
    """Whether the Deployment's size was changed since its ReplicaSets got theirs."""
    active = [each for each in replica_sets if each["spec"]["replicas"]]
    return any(_noted(each, DESIRED) not in (None, deployment["spec"]["replicas"]) for each in active)


def _size(replica_set: Object) -> rollout.Size:
    available = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return rollout.Size(replica_set["spec"]["replicas"], available)
