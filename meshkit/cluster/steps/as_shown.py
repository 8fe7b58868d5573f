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
from meshkit.kube.steps import Step

_ATTEMPTS = 10
_OF_NO_OBJECT = "1"
"""A resourceVersion that no object has: etcd, and what stands in for it, counts the first write as 2. An
apply that carries it creates the object, and is refused if there is one."""


def was_refused(error: ClusterError) -> bool:
    """Whether the server refused the request; after any other failure it may have been executed."""
    return error.status is not None and error.status < 500


def apply(
    cluster: Cluster,
    one: PlannedStep,
    left: str | None,
    live: dict[str, Any] | None,
    *,
    dry_run: bool,
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Apply an object only if it is in the state that was shown; return that state and the result.

    ``live`` is the object as it was read, None where there was none: the server refuses the request if that
    has changed since. Then the object is read again, as a change of its status is no reason to stop.
    """
    step = one.step
    client = client_for(cluster, step.kind)
    if step.kind == RELEASE:
        live = client.get(step.kind, step.name, step.namespace)
    attempts = 0
    while True:
        require_same(one, live, left)
        try:
            pinned = _pinned(step, live)
            return live, client.apply(pinned, dry_run=dry_run, force=step.force, manager=step.manager)
        except Conflict as error:
            attempts += 1
            if attempts == _ATTEMPTS or (error.managers and live is not None):
                raise
        live = client.get(step.kind, step.name, step.namespace)


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


def _pinned(step: Step, live: Object | None) -> dict[str, Any]:
    """Add uid and resourceVersion to the object, so that the server refuses any other state."""
    if live is not None:
        pins = {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
    else:
        pins = {} if step.kind == RELEASE else {"resourceVersion": _OF_NO_OBJECT}
    return {**step.object, "metadata": {**step.object["metadata"], **pins}}
