"""Pure functions that compute the sizes of ReplicaSets during a rolling update.

The rules are those of Kubernetes' deployment controller (kubernetes/pkg/controller/deployment/rolling.go):
at most ``replicas + maxSurge`` pods, at least ``replicas - maxUnavailable`` available pods, and unavailable
pods of old versions are removed first. Sizes are those of ``spec.replicas``, so a step that was requested but
is not complete is not requested twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.controllers.objects import scaled


@dataclass(frozen=True)
class Limits:
    """How many pods a rolling update may deviate from ``replicas`` in each direction."""

    surge: int
    unavailable: int


@dataclass(frozen=True)
class Size:
    """The desired and the available pods of one ReplicaSet."""

    wanted: int
    available: int


def limits(strategy: dict[str, Any], replicas: int) -> Limits:
    """Return the limits of a Deployment's ``spec.strategy``.

    Both default to 25 %; surge rounds up, unavailable rounds down. When both are zero the update could not
    proceed, so one pod may be unavailable, as in Kubernetes.
    """
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return Limits(surge, unavailable if surge or unavailable else 1)


def grown(new: Size, old: Sequence[Size], replicas: int, allowed: Limits) -> int:
    """Return the largest size that the new ReplicaSet may have now."""
    if new.wanted >= replicas:
        return replicas
    room = replicas + allowed.surge - new.wanted - sum(size.wanted for size in old)
    return new.wanted + max(0, min(room, replicas - new.wanted))


def shrunk(new: Size, old: Sequence[Size], replicas: int, allowed: Limits) -> list[int]:
    """Return the smallest sizes that the old ReplicaSets may have now, in the given order (oldest first)."""
    sizes = [replica_set.wanted for replica_set in old]
    must_stay = replicas - allowed.unavailable
    spare = new.wanted + sum(sizes) - must_stay - max(0, new.wanted - new.available)
    for index, replica_set in enumerate(old):
        broken = min(spare, max(0, replica_set.wanted - replica_set.available))
        if broken > 0:
            sizes[index] -= broken
            spare -= broken
    spare = min(spare, new.available + sum(replica_set.available for replica_set in old) - must_stay)
    for index, size in enumerate(sizes):
        removed = max(0, min(spare, size))
        sizes[index] -= removed
        spare -= removed
    return sizes


@dataclass(frozen=True)
class Share:
    """One active ReplicaSet of a Deployment that is scaled during a rollout.

    ``most`` is how many pods all ReplicaSets together were allowed before; ``age`` is greater for older ones.
    """

    wanted: int
    most: int
    age: int


def proportional(shares: Sequence[Share], replicas: int, surge: int) -> list[int]:
    """Return sizes that keep each ReplicaSet's share; the largest one gets the rounding remainder.

    Added pods go to larger and newer ReplicaSets first; removed pods come from larger and older ones first
    (kubernetes/pkg/controller/deployment/sync.go, util/deployment_util.go).
    """
    most = replicas + surge if replicas else 0
    change = most - sum(share.wanted for share in shares)
    sizes = [share.wanted for share in shares]
    if not change:
        return sizes
    by_age = 1 if change > 0 else -1
    order = sorted(range(len(shares)), key=lambda i: (-shares[i].wanted, by_age * shares[i].age))
    remaining = change
    for index in order:
        share = shares[index]
        part = math.floor(share.wanted * most / share.most + 0.5) - share.wanted if share.most else 0
        part = max(0, min(part, remaining)) if change > 0 else min(0, max(part, remaining))
        sizes[index] += part
        remaining -= part
    sizes[order[0]] = max(0, sizes[order[0]] + remaining)
    return sizes
