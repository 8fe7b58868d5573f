"""The Deployment controller keeps one ReplicaSet per pod template and performs rolling updates.

It finds the ReplicaSet of a template by the template's hash, so ``kubectl rollout undo`` (which writes an old
template back) reuses the old ReplicaSet and changes only its revision. The status has what ``kubectl rollout
status`` and Helm wait for: Progressing ends with the reason NewReplicaSetAvailable, and Available follows
from the allowed number of unavailable pods.
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
    is_terminating,
    key_of,
    owner_reference,
    seconds,
    set_condition,
    timestamp,
)
from meshkit.sandbox.controllers.pods import owner_key
from meshkit.sandbox.controllers.workloads import rollout

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

DEPLOYMENTS = "deployments.apps"
REPLICASETS = "replicasets.apps"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"


class DeploymentController:
    """Reconciles the ReplicaSets and the status of every Deployment."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client

    @property
    def watches(self) -> Mapping[str, Callable[[Object], Iterable[Key]]]:
        """Deployments and the ReplicaSets that they own."""
        return {DEPLOYMENTS: lambda obj: [key_of(obj)], REPLICASETS: owner_key("Deployment")}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Take the next step of one Deployment's rollout."""
        deployment = await self._client.get(DEPLOYMENTS, name, namespace)
        if deployment is None or is_terminating(deployment):
            return None
        owned = [
            rs
            for rs in await self._client.list(REPLICASETS, namespace)
            if controlled_by(rs, deployment) and not is_terminating(rs)
        ]
        owned.sort(key=_revision)
        hash_digits = template_hash(deployment["spec"]["template"])
        new = next((rs for rs in owned if rs["metadata"]["labels"].get(HASH) == hash_digits), None)
        old = [rs for rs in owned if rs is not new]
        paused = bool(deployment["spec"].get("paused"))
        if not paused:
            new = await self._new_replica_set(deployment, new, old, hash_digits)
            deployment = await self._copy_revision(deployment, new)
        if not paused or owned:
            new, old = await self._scale(deployment, new, old)
        if not paused:
            await self._clean_up_history(deployment, new, old)
        return await self._status(deployment, new, old)

    async def _new_replica_set(
        self, deployment: Object, new: Object | None, old: Sequence[Object], hash_digits: str
    ) -> Object:
        """Return the ReplicaSet of the current template, which has the highest revision."""
        latest = max((_revision(rs) for rs in old), default=0)
        if new is None:
            return await self._client.create(
                REPLICASETS, _replica_set(deployment, hash_digits, revision=latest + 1)
            )
        if _revision(new) > latest:
            return new
        return await self._patch(new, {"metadata": {"annotations": {REVISION: str(latest + 1)}}})

    async def _copy_revision(self, deployment: Object, new: Object) -> Object:
        """Copy the revision of the new ReplicaSet to the Deployment."""
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
            return await self._scale_proportionally(deployment, new, old)
        if recreate:
            old = [await self._resize(deployment, rs, 0) for rs in old]
            scaled_down = all((rs.get("status") or {}).get("replicas", 0) == 0 for rs in old)
            return await self._resize(deployment, new, replicas) if scaled_down else new, list(old)
        allowed = rollout.limits(strategy, replicas)
        sizes = [_size(rs) for rs in old]
        new = await self._resize(deployment, new, rollout.grown(_size(new), sizes, replicas, allowed))
        old_sizes = rollout.shrunk(_size(new), sizes, replicas, allowed)
        return new, [
            await self._resize(deployment, rs, size) for rs, size in zip(old, old_sizes, strict=True)
        ]

    async def _scale_proportionally(
        self, deployment: Object, new: Object | None, old: Sequence[Object]
    ) -> tuple[Object | None, list[Object]]:
        """Scale all ReplicaSets in proportion, without a step of the rollout."""
        replicas: int = deployment["spec"]["replicas"]
        replica_sets = [*old, *([new] if new is not None else [])]
        active = [rs for rs in replica_sets if rs["spec"]["replicas"]] or replica_sets[-1:]
        if len(active) > 1 and _strategy(deployment).get("type") == "Recreate":
            return new, list(old)
        sizes = [replicas]
        if len(active) > 1:
            existing = (deployment.get("status") or {}).get("replicas", 0)
            shares = [
                rollout.Share(
                    rs["spec"]["replicas"], _size_annotation(rs, MAX_REPLICAS) or existing, -_revision(rs)
                )
                for rs in active
            ]
            sizes = rollout.proportional(shares, replicas, _surge(deployment))
        wanted = {rs["metadata"]["name"]: size for rs, size in zip(active, sizes, strict=True)}
        resized = [
            await self._resize(deployment, rs, wanted.get(rs["metadata"]["name"], 0)) for rs in replica_sets
        ]
        return (resized.pop() if new is not None else None), resized

    async def _resize(self, deployment: Object, replica_set: Object, size: int) -> Object:
        """Scale a ReplicaSet and record the Deployment's size in its annotations."""
        annotations = _size_annotations(deployment)
        recorded = annotations.items() <= (replica_set["metadata"].get("annotations") or {}).items()
        if replica_set["spec"]["replicas"] == size and (recorded or not size):
            return replica_set
        return await self._patch(
            replica_set, {"metadata": {"annotations": annotations}, "spec": {"replicas": size}}
        )

    async def _patch(self, replica_set: Object, patch: Object) -> Object:
        namespace, name = key_of(replica_set)
        return await self._client.merge_patch(REPLICASETS, name, namespace, patch)

    async def _clean_up_history(self, deployment: Object, new: Object | None, old: Sequence[Object]) -> None:
        """Delete the oldest empty ReplicaSets beyond ``revisionHistoryLimit`` after a complete rollout."""
        if not _complete(deployment, _counts(new, old)):
            return
        empty = [
            rs
            for rs in old
            if rs["spec"]["replicas"] == 0 and not (rs.get("status") or {}).get("replicas", 0)
        ]
        for rs in empty[: max(0, len(empty) - deployment["spec"].get("revisionHistoryLimit", 10))]:
            namespace, name = key_of(rs)
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
    """Pod counts of a Deployment over all its ReplicaSets.

    ``wanted`` is the sum of ``spec.replicas``, ``all`` the pods that exist, and ``updated`` those of the new
    template.
    """

    wanted: int
    all: int
    updated: int
    ready: int
    available: int


def _counts(new: Object | None, old: Sequence[Object]) -> Counts:
    replica_sets = [rs for rs in (*old, new) if rs is not None]

    def total(field: str) -> int:
        return sum((rs.get("status") or {}).get(field, 0) for rs in replica_sets)

    updated = (new.get("status") or {}).get("replicas", 0) if new is not None else 0
    wanted = sum(rs["spec"]["replicas"] for rs in replica_sets)
    return Counts(wanted, total("replicas"), updated, total("readyReplicas"), total("availableReplicas"))


def _complete(deployment: Object, counts: Counts) -> bool:
    replicas: int = deployment["spec"]["replicas"]
    return counts.updated == counts.all == counts.available == replicas


def _progress(
    deployment: Object, new: Object | None, counts: Counts, conditions: list[Object]
) -> tuple[list[Object], float | None]:
    """Return the conditions with Progressing updated, and the seconds until its deadline."""
    name = new["metadata"]["name"] if new is not None else ""
    if new is None:
        return conditions, None
    if _complete(deployment, counts):
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return _progressing(conditions, True, "NewReplicaSetAvailable", text), None
    before = condition(deployment, "Progressing")
    status = deployment.get("status") or {}
    progressed = (
        before is None
        or before["reason"] == "NewReplicaSetAvailable"
        or status.get("observedGeneration") != deployment["metadata"]["generation"]
        or status.get("updatedReplicas", 0) < counts.updated
        or status.get("readyReplicas", 0) < counts.ready
        or status.get("availableReplicas", 0) < counts.available
        or status.get("replicas", 0) > counts.all
    )
    if progressed or before is None:
        text = f'ReplicaSet "{name}" is progressing.'
        since = time.time()
        conditions = _progressing(conditions, True, "ReplicaSetUpdated", text)
    else:
        since = seconds(before["lastUpdateTime"])
    remaining_s = since + deployment["spec"].get("progressDeadlineSeconds", 600) - time.time()
    if remaining_s > 0:
        return conditions, remaining_s
    text = f'ReplicaSet "{name}" has timed out progressing.'
    return _progressing(conditions, False, "ProgressDeadlineExceeded", text), None


def _progressing(conditions: list[Object], status: bool, reason: str, text: str) -> list[Object]:
    return set_condition(conditions, "Progressing", status, reason, text, lastUpdateTime=timestamp())


def _copy_failure(conditions: list[Object], new: Object | None) -> list[Object]:
    """Copy the condition ReplicaFailure (pods that could not be created) from the new ReplicaSet."""
    rest = [entry for entry in conditions if entry["type"] != "ReplicaFailure"]
    failure = condition(new, "ReplicaFailure") if new is not None else None
    if failure is None:
        return rest
    return [*rest, {**failure, "lastUpdateTime": failure["lastTransitionTime"]}]


def _keep_times(before: Sequence[Object], now: list[Object]) -> list[Object]:
    """Keep ``lastUpdateTime`` of unchanged conditions, so that an unchanged status is not written."""
    known = {entry["type"]: entry for entry in before}

    def same(first: Object, second: Object) -> bool:
        times = ("lastUpdateTime", "lastTransitionTime")
        return {k: v for k, v in first.items() if k not in times} == {
            k: v for k, v in second.items() if k not in times
        }

    merged: list[Object] = []
    for entry in now:
        old = known.get(entry["type"])
        progressed = entry.get("reason") == "ReplicaSetUpdated"
        merged.append(old if old is not None and same(old, entry) and not progressed else entry)
    return merged


def template_hash(template: Object) -> str:
    """Return ten hex digits that identify a pod template; its ReplicaSet's name ends with them."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _replica_set(deployment: Object, hash_digits: str, *, revision: int) -> Object:
    namespace, name = key_of(deployment)
    template = copy.deepcopy(deployment["spec"]["template"])
    labels = {**(template.setdefault("metadata", {}).get("labels") or {}), HASH: hash_digits}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: hash_digits}
    spec: Object = {"replicas": 0, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{hash_digits}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {REVISION: str(revision), **_size_annotations(deployment)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": spec,
    }


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _strategy(deployment: Object) -> Object:
    strategy: Object = deployment["spec"].get("strategy") or {}
    return strategy


def _surge(deployment: Object) -> int:
    """Return how many pods beyond ``spec.replicas`` a Deployment may have."""
    strategy = _strategy(deployment)
    if strategy.get("type") == "Recreate":
        return 0
    return rollout.limits(strategy, deployment["spec"]["replicas"]).surge


def _size_annotations(deployment: Object) -> dict[str, str]:
    """Return the annotations that record the Deployment's size, without and with the surge."""
    replicas: int = deployment["spec"]["replicas"]
    return {DESIRED: str(replicas), MAX_REPLICAS: str(replicas + _surge(deployment))}


def _size_annotation(replica_set: Object, name: str) -> int | None:
    text = (replica_set["metadata"].get("annotations") or {}).get(name, "")
    return int(text) if text.isdecimal() else None


def _is_resized(deployment: Object, replica_sets: Sequence[Object]) -> bool:
    """Return whether the Deployment was scaled after its ReplicaSets were."""
    active = [rs for rs in replica_sets if rs["spec"]["replicas"]]
    return any(_size_annotation(rs, DESIRED) not in (None, deployment["spec"]["replicas"]) for rs in active)


def _size(replica_set: Object) -> rollout.Size:
    available = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return rollout.Size(replica_set["spec"]["replicas"], available)
