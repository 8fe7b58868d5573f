"""A release whose records were deleted before its end: which weights stand, and what restores them.

The ConfigMap of the release's name (commands.py) still has the first record of the run, with the route and
the weights from before it. If that is gone too, the file of the release says which route is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshkit.cluster.journal import NAMESPACE
from meshkit.errors import BadInput, BrokenJournal, ClusterError, ReleaseLost, UnknownName
from meshkit.operations.release.route import route_of, weights_of
from meshkit.operations.release.state.fold import begin_record, begun
from meshkit.operations.release.state.model import ReleaseState

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.release.commands import Mailbox


def release_lost(
    name: str, change_id: str, begin: Mapping[str, Any] | None, cluster: Cluster, *, kept: bool = True
) -> ReleaseLost:
    """Return the error for a release whose journal is gone.

    ``begin`` is its first record, if it is known; ``kept`` says that the cluster still has it.
    """
    message = (
        f"The records of release {name} (change {change_id}) were deleted from namespace {NAMESPACE}, "
        "so it cannot go on."
    )
    which = name if begin is not None and kept else "-f FILE"
    stable = "the stable version"
    if begin is not None:
        state = begun(begin)
        stable = state.release.stable
        message += f" {standing(route_of(state.route), state.release, cluster)}"
        if state.train:
            which = f"{state.train} --force"
        if state.additions:
            message += f" The route may also have its {' and '.join(state.additions)} still."
    remedy = (
        f"'meshkit release rollback {which}' gives the requests back to {stable}; "
        "after that the release can be run again."
    )
    return ReleaseLost(message, remedy=remedy)


def lost_meanwhile(
    state: ReleaseState, cluster: Cluster, journal: Journal, mailbox: Mailbox
) -> ReleaseLost | None:
    """Return the error for a running release whose journal was deleted, None if it can still be read.

    The first record is kept in the ConfigMap of the release's name, for a rollback.
    """
    try:
        journal.records(state.change_id)
        return None
    except (UnknownName, BrokenJournal):
        pass
    except ClusterError:
        return None
    begin, kept = begin_record(state), True
    try:
        mailbox.open(begin)
    except ClusterError:
        kept = False
    return release_lost(state.release.name, state.change_id, begin, cluster, kept=kept)


def percent_now(route: WeightedRoute, release: Release, cluster: Cluster) -> float | None:
    """The canary's share in the route, None if it cannot be read."""
    try:
        obj = cluster.api.get(route.kind, route.name, route.namespace)
        return weights_of(obj, route, release).canary_percent if obj else None
    except (ClusterError, BadInput):
        return None


def standing(route: WeightedRoute, release: Release, cluster: Cluster) -> str:
    """Say which weights the route has now."""
    try:
        obj = cluster.api.get(route.kind, route.name, route.namespace)
        if obj is None:
            return f"{route} is gone too."
        now = weights_of(obj, route, release)
    except ClusterError as error:
        return f"The weights of {route} cannot be read: {error.message}"
    except BadInput:
        return f"{route} no longer has both {release.stable} and {release.canary}."
    return (
        f"{route} has weight {now.stable.weight} for {release.stable} and {now.canary.weight} for "
        f"{release.canary}: {release.canary} gets {now.canary_percent:g} %, and no process watches it."
    )
