"""Start the run of a release plan in the journal, or resume the one that the plan started before.

The caller holds the lock. Each check compares what the plan has seen with the present state of the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput, ClusterError, Conflict
from meshkit.kube.pods import all_containers
from meshkit.operations.release.additions import additions_of
from meshkit.operations.release.baseline import pods_of
from meshkit.operations.release.edge.places import place_now
from meshkit.operations.release.evidence_bundle.secret_texts import SecretTexts
from meshkit.operations.release.route import record_of, weights_of
from meshkit.operations.release.runner import running_state
from meshkit.operations.release.state.fold import BEGIN, begin_record, fold
from meshkit.operations.release.state.model import ReleaseState
from meshkit.version import __version__

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.facts import Object
    from meshkit.operations.release.commands import Mailbox
    from meshkit.operations.release.edge.places import Place
    from meshkit.operations.release.plan import ReleasePlan


def start(
    plan: ReleasePlan, cluster: Cluster, journal: Journal, mailbox: Mailbox, lock: Lock, why: str
) -> ReleaseState:
    """Return the initial state: that of a new run, or of the plan's own if its process has died.

    Raises ``Conflict`` if another plan's run has not ended, if the plan's own has, or if the weights are no
    longer those of the plan.
    """
    name = plan.release.name
    stamp = {"at_s": plan.clock.now(), "writer": lock.transitions, "who": cluster.api.whoami()}
    running = running_state(name, cluster)
    if running is not None and running.change_id != plan.change_id:
        problem = f"Release {name} was started since the plan, as change {running.change_id}."
        raise Conflict(problem, remedy="Nothing was changed. Plan again: the plan then resumes it.")
    records = journal.records(plan.change_id) if journal.has(plan.change_id) else []
    if not any(record.get("kind") == BEGIN for record in records):
        return _begin(plan, cluster, journal, mailbox, stamp, why, started=bool(records))
    state = fold(records)
    if state.ended:
        problem = f"Change {plan.change_id} of the plan has ended: release {name} is {state.status}."
        raise Conflict(problem, remedy="Nothing was changed. Plan again to start another run.")
    if running is None:
        mailbox.open(begin_record(state))
    return take_up(plan.change_id, journal, stamp)


def take_up(change_id: str, journal: Journal, stamp: Mapping[str, Any]) -> ReleaseState:
    """Return the state of a run whose process has died, as the caller goes on from it."""
    # Read again after this record: later records of a runner that was only slow are ignored.
    journal.append(change_id, {"kind": "taken up", **stamp})
    return fold(journal.records(change_id))


def _begin(
    plan: ReleasePlan,
    cluster: Cluster,
    journal: Journal,
    mailbox: Mailbox,
    stamp: dict[str, Any],
    why: str,
    *,
    started: bool,
) -> ReleaseState:
    """Write the first records; ``started`` says that the change has a record, of a process that has died."""
    release = plan.release
    record = first_record(plan, cluster, stamp)
    secrets = SecretTexts(release, cluster)
    if not started:
        operation = Operation("release", plan.mesh, release.name, {"namespace": release.namespace})
        what = f"Release {release.namespace}/{release.name}"
        why = secrets.text(why) or f"{release.stable} to {release.canary}"
        journal.start(operation, what, why, id=plan.change_id)
    notes = [{"kind": "note", "text": secrets.text(text), **stamp} for text in plan.unmoved]
    for each in (record, *notes):
        journal.append(plan.change_id, each)
    mailbox.open(record)
    return fold([record, *notes])


def first_record(plan: ReleasePlan, cluster: Cluster, stamp: Mapping[str, Any]) -> dict[str, Any]:
    """The record that the run begins with, which has all that its undo needs.

    Raises ``Conflict`` if the weights are no longer those of the plan.
    """
    release = plan.release
    obj = _as_planned(plan, cluster)
    edges = _edges_as_planned(plan, cluster)
    return {
        "kind": BEGIN,
        "change_id": plan.change_id,
        "release": release.model_dump(mode="json"),
        "mesh": plan.mesh,
        "object": str(plan.route),
        "route": record_of(plan.route),
        "weights": list(plan.weights),
        "additions": dict(plan.additions),
        "managed_fields": obj["metadata"].get("managedFields") or [],
        "edges": [place.as_record() for place in edges],
        "versions": _versions(plan, cluster),
        **({"train": plan.train} if plan.train else {}),
        **stamp,
    }


def _versions(plan: ReleasePlan, cluster: Cluster) -> dict[str, Any]:
    """The version of meshkit, and the images of both versions' pods."""
    release = plan.release
    images: dict[str, list[str]] = {}
    for version in (release.stable, release.canary):
        try:
            pods = pods_of(cluster, release, plan.route, version)
        except ClusterError:
            pods = ()
        found = {str(each.get("image")) for pod in pods for each in all_containers(pod)}
        images[version] = sorted(found)
    return {"meshkit": __version__, "images": images}


def _as_planned(plan: ReleasePlan, cluster: Cluster) -> Object:
    """Return the object with the weights, which are those of the plan."""
    remedy = "Nothing was changed. Plan again."
    route = plan.route
    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None:
        raise Conflict(f"{route} was deleted since the plan.", remedy=remedy)
    found = weights_of(obj, route, plan.release)
    now = found.pair
    if now != plan.weights:
        planned = f"{plan.weights[0]} and {plan.weights[1]}"
        problem = f"The weights of {route} are {now[0]} and {now[1]} now; the plan saw {planned}."
        raise Conflict(problem, remedy=remedy)
    if additions_of(plan.mesh, plan.release, route, obj, found) != plan.additions:
        raise Conflict(f"The rule of {route} with the weights was changed since the plan.", remedy=remedy)
    return obj


def _edges_as_planned(plan: ReleasePlan, cluster: Cluster) -> list[Place]:
    """Return the rules at gateways as they are, with the weights of the plan."""
    remedy, found = "Nothing was changed. Plan again.", []
    for planned in plan.edges:
        try:
            place = place_now(planned.route, plan.release, cluster)
        except BadInput as error:
            problem = f"{planned.route} was changed since the plan: {error.problem}"
            raise Conflict(problem, remedy=remedy) from error
        if place.weights != planned.weights:
            problem = f"The weights of {planned.route} have changed since the plan."
            raise Conflict(problem, remedy=remedy)
        found.append(place)
    return found
