"""Apply an object only while it is in the state that the plan showed."""

from __future__ import annotations

from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.cluster.diff import changes, digest
from meshkit.cluster.helm import client_for
from meshkit.cluster.steps.dry_run import PlannedStep
from meshkit.errors import ClusterError, Conflict
from meshkit.facts import Object
from meshkit.kube.helm import RELEASE

_ATTEMPTS = 10


def was_refused(error: ClusterError) -> bool:
    """Whether the server refused the request; after any other failure it may have been executed."""
    return error.status is not None and error.status < 500


def apply(
    cluster: Cluster,
    one: PlannedStep,
    left: str | None,
    *,
    dry_run: bool,
    known: dict[str, Any] | None = None,
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Apply an object only if it is in the state that was shown; return that state and the result.

    A change of status between reading and applying changes the resourceVersion but is no reason to stop.
    ``known`` is the object as it was read: the server refuses the request if it has changed since. Without
    it, the object is read, because no request can ask the server to refuse where an object exists.
    """
    step = one.step
    client = client_for(cluster, step.kind)
    attempts = 0
    if step.kind == RELEASE:
        known = None
    while True:
        live = known or client.get(step.kind, step.name, step.namespace)
        known = None
        require_same(one, live, left)
        try:
            pinned = _pinned(step.object, live)
            return live, client.apply(pinned, dry_run=dry_run, force=step.force, manager=step.manager)
        except Conflict as error:
            attempts += 1
            if error.managers or attempts == _ATTEMPTS:
                raise


def require_same(planned: PlannedStep, live: Object | None, left: str | None) -> None:
    """Raise ``Conflict`` if the object is neither as shown nor as an earlier step of this change left it."""
    if left is not None:
        expected, uid = left, None
    elif planned.seen is None:
        expected, uid = "", None
    else:
        expected, uid = planned.seen.digest, planned.seen.uid
    same_uid = uid is None or (live is not None and live["metadata"]["uid"] == uid)
    if same_uid and (digest(live) == expected or (planned.step.partial and live is not None)):
        return
    title = planned.step.title
    if live is None:
        raise Conflict(f"{title} has been deleted since it was planned.", remedy="Plan again.")
    if planned.seen is None and left is None:
        raise Conflict(
            f"{title} has been created by someone else since it was planned.", remedy="Plan again."
        )
    manager = last_writer(live)
    raise Conflict(
        f"{title} has been changed since it was planned, last by {manager}.",
        remedy="Plan again to see the new difference.",
        managers={manager: ()},
    )


def require_same_part(planned: PlannedStep, live: Object | None, after: Object) -> None:
    """Compare only the fields that the step writes, for an object that meshkit does not own.

    Changes of other fields, by an autoscaler or another user, are no reason to stop.
    """
    now = [(field.path, field.before, field.after) for field in changes(live, after)]
    if now != [(field.path, field.before, field.after) for field in planned.changes]:
        raise Conflict(
            f"{planned.step.title} has been changed since it was planned, where this would change it.",
            remedy="Plan again to see the new difference.",
        )


def last_writer(obj: Object) -> str:
    """The field manager that last wrote to an object, except its status."""
    entries = [e for e in obj["metadata"].get("managedFields") or () if e.get("subresource") != "status"]
    # Times are whole seconds; among entries of the same second the server lists the latest last.
    newest = max(reversed(entries), key=lambda e: e.get("time", ""), default=None)
    return str(newest["manager"]) if newest else "an unknown manager"


def _pinned(obj: Object, live: Object | None) -> dict[str, Any]:
    """Add uid and resourceVersion to the object, so that the server refuses any other state."""
    pins = {} if live is None else {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
    return {**obj, "metadata": {**obj["metadata"], **pins}}
