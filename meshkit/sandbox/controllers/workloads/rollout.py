"""The arithmetic of a rolling update: how many pods each ReplicaSet may have next. Pure.

The rules are those of Kubernetes' deployment controller (kubernetes/pkg/controller/deployment/rolling.go):
never more than ``replicas + maxSurge`` pods, never fewer than ``replicas - maxUnavailable`` available ones,
and pods of old versions that are not available go first. Sizes count by ``spec.replicas``, so a step asked
for but not yet carried out is never asked for twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meshkit.sandbox.controllers.objects import scaled


@dataclass(frozen=True)
class Limits:
    """How far a rolling update may stray from ``replicas``, in pods."""

    surge: int
    unavailable: int


@dataclass(frozen=True)
class Size:
    """One ReplicaSet: pods wanted, and pods available."""

    wanted: int
    available: int


def limits(strategy: dict[str, Any], replicas: int) -> Limits:
    """Limits of a Deployment's ``spec.strategy``; both default to 25 %, surge rounds up, unavailable down.

    Both zero would never move: then one pod may be unavailable, as in Kubernetes.
    """
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return Limits(surge, unavailable if surge or unavailable else 1)


def grown(new: Size, old: Sequence[Size], replicas: int, allowed: Limits) -> int:
    """The size that the new ReplicaSet may have now."""
    if new.wanted >= replicas:
        return replicas
    room = replicas + allowed.surge - new.wanted - sum(each.wanted for each in old)
    return new.wanted + max(0, min(room, replicas - new.wanted))


def shrunk(new: Size, old: Sequence[Size], replicas: int, allowed: Limits) -> list[int]:
    """The sizes that the old ReplicaSets may have now, oldest first as given."""
    sizes = [each.wanted for each in old]
    must_stay = replicas - allowed.unavailable
    spare = new.wanted + sum(sizes) - must_stay - max(0, new.wanted - new.available)
    for index, each in enumerate(old):
        broken = min(spare, max(0, each.wanted - each.available))
        if broken > 0:
            sizes[index] -= broken
            spare -= broken
    spare = min(spare, new.available + sum(each.available for each in old) - must_stay)
    for index, size in enumerate(sizes):
        fewer = max(0, min(spare, size))
        sizes[index] -= fewer
        spare -= fewer
    return sizes


@dataclass(frozen=True)
class Share:
    """One ReplicaSet with pods when its Deployment's size was changed during a rollout.

    ``most`` is how many pods all of them together were allowed before; ``age`` is greater for older ones.
    """

    wanted: int
    most: int
    age: int


def proportional(shares: Sequence[Share], replicas: int, surge: int) -> list[int]:
    """The sizes that keep each ReplicaSet's part of the pods; what is left by rounding goes to the largest.

    More pods go to the larger and newer first, fewer come from the larger and older first
    (kubernetes/pkg/controller/deployment/sync.go, util/deployment_util.go).
    """
    most = replicas + surge if replicas else 0
    change = most - sum(each.wanted for each in shares)
    sizes = [each.wanted for each in shares]
    if not change:
        return sizes
    by_age = 1 if change > 0 else -1
    order = sorted(range(len(shares)), key=lambda i: (-shares[i].wanted, by_age * shares[i].age))
    left = change
    for index in order:
        each = shares[index]
        part = math.floor(each.wanted * most / each.most + 0.5) - each.wanted if each.most else 0
        part = max(0, min(part, left)) if change > 0 else min(0, max(part, left))
        sizes[index] += part
        left -= part
    sizes[order[0]] = max(0, sizes[order[0]] + left)
    return sizes
