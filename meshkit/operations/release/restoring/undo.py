"""Undo a finished release: restore its original weights, and keep the fields' current owners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput
from meshkit.operations.clock import SystemClock
from meshkit.operations.plan import Change
from meshkit.operations.release.edge.places import place_of
from meshkit.operations.release.notices.announcer import announce
from meshkit.operations.release.notices.notice import Notice
from meshkit.operations.release.rights import require_rights
from meshkit.operations.release.route import route_of
from meshkit.operations.release.runner import hold_lock, require_alone
from meshkit.operations.release.state.fold import fold
from meshkit.operations.release.weights import WeightWriters, same_percent

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal


def undo_release(
    change_id: str, cluster: Cluster, journal: Journal, records: Sequence[Mapping[str, Any]]
) -> Change:
    """Restore the weights from before a release.

    Raises ``BadInput`` if the release changed none, is still running or is a member of a train, and
    ``ManualActionRequired``, without changing anything, if someone else has changed them since. An
    interrupted undo is completed by the next call.
    """
    require_alone(fold(records), "rollback")
    return undo_one(change_id, cluster, journal, records)


def undo_one(
    change_id: str, cluster: Cluster, journal: Journal, records: Sequence[Mapping[str, Any]]
) -> Change:
    """Restore the weights from before a release, also of a member of a train, which is undone as a whole."""
    state = fold(records)
    if not state.ended:
        problem = f"{change_id} is the release {state.release.name!r}, which is still running."
        name = state.release.name
        remedy = f"Roll it back with 'meshkit release rollback {name}'; if its process has died, add --force."
        raise BadInput("change", problem, remedy=remedy)
    if same_percent(state.asked_percent, state.found_percent):
        problem = f"{change_id} did not change the weights."
        if state.given_back:
            problem = f"the weights from before {change_id} were restored already."
        raise BadInput("change", problem, remedy="There is nothing to undo.")
    edges = [place_of(record) for record in state.edges]
    routes = [route_of(state.route), *(edge.route for edge in edges)]
    require_rights(cluster, routes)
    with hold_lock(cluster, state.release) as lock:
        writer = WeightWriters(cluster.api, lock, routes, state.release, state.additions)
        started = next((record for record in records if record.get("kind") == "undo"), None)
        if started is None:
            first, *others = writer.managed_fields()
            started = {"kind": "undo", "managed_fields": first, "of_edges": others}
            journal.append(change_id, started)
        saved = [started["managed_fields"], *(started.get("of_edges") or ())]
        weights = [state.found_weights, *(edge.weights for edge in edges)]
        writer.move_back(weights, state.asked_percent, "the release")
        writer.hand_back(saved)
    at_s, who = SystemClock().now(), cluster.api.whoami()
    journal.append(change_id, {"kind": "undone", "state": "undone", "at_s": at_s, "who": who})
    said = f"Release {state.release.name}: undone by {who}; the weights are those from before it."
    notice = Notice("undone", said, at_s, state.found_percent, who)
    announce(notice, state, cluster, journal=journal, result="undone")
    return Change(change_id, f"Undo of {records[0]['what']}", 1, cluster.ref)
