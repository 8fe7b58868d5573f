"""``mk.plan_rollback``: give the requests back to the stable version of a release that no process runs.

That is a release that has ended, such as one that was promoted; one whose process has died; or one whose
records were deleted. After the end, the rollback is a change of its own, so ``mk.undo`` takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshkit.decide.ladder import share_percent
from meshkit.errors import BadInput, Conflict, ManualActionRequired, ReleaseLost, UnknownName
from meshkit.facts import ClusterRef
from meshkit.operations.clock import SystemClock
from meshkit.operations.plan import Change, pending
from meshkit.operations.progress import OnEvent, noop
from meshkit.operations.release.additions import Additions, additions_of, present
from meshkit.operations.release.baseline import require_ready
from meshkit.operations.release.edge.places import (
    EdgeRollback,
    Place,
    described,
    moved_edges,
    place_now,
    place_of,
)
from meshkit.operations.release.notices.announcer import announce
from meshkit.operations.release.notices.notice import Notice
from meshkit.operations.release.restoring.lost_journal import standing
from meshkit.operations.release.rights import require_rights
from meshkit.operations.release.route import find_route, owners, record_of, route_of, weights_of
from meshkit.operations.release.runner import hold_lock, release_state, require_alone, runner_of
from meshkit.operations.release.state.fold import GIVEN_BACK, TAKEN_AGAIN, begun, fold
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.weights import WeightWriters, same_percent

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.clock import Clock

OPERATION = "release rollback"
"""The name of the operation in the journal."""


@dataclass(frozen=True)
class RollbackPlan:
    """A plan of ``mk.plan_rollback``; ``mk.apply`` carries it out.

    ``weights`` are the present ones of the stable version and the canary, ``wanted`` those that the plan
    restores. ``state`` is the release, None if its records are gone.
    """

    release: Release
    mesh: str
    cluster: ClusterRef
    change_id: str
    route: WeightedRoute
    weights: tuple[int, int]
    wanted: tuple[int, int]
    clock: Clock = field(repr=False, compare=False)
    state: ReleaseState | None = None
    managed_fields: tuple[Mapping[str, Any], ...] | None = field(default=None, repr=False)
    """Those to hand the fields back to; None: those at the time of the rollback."""
    edges: tuple[EdgeRollback, ...] = ()
    """The rules at gateways, which get their weights back after ``route``."""
    additions: Additions = field(default_factory=dict, repr=False)
    """What the release may have left in the route beside its weights."""
    left: tuple[str, ...] = ()
    """The names of the additions that are still there."""

    confirmation = ""

    @property
    def what(self) -> str:
        """What the plan does, in one line."""
        release = self.release
        return f"Rollback of release {release.namespace}/{release.name} to {release.stable}"

    @property
    def empty(self) -> bool:
        """Whether the stable version has its weights back already, and the release says so."""
        state = self.state
        settled = state is not None and state.ended and same_percent(state.asked_percent, state.found_percent)
        return settled and self.restored

    @property
    def restored(self) -> bool:
        """Whether every rule has the wanted weights."""
        return self.weights == self.wanted and all(each.now.weights == each.wanted for each in self.edges)

    @property
    def routes(self) -> tuple[WeightedRoute, ...]:
        """The rules whose weights the plan restores."""
        return (self.route, *(each.now.route for each in self.edges))

    def __str__(self) -> str:
        if self.empty:
            return f"{self.what}, cluster {self.cluster}: nothing to do."
        left = "".join(f", its {name} removed" for name in self.left)
        lines = [described(self.release, self.route, self.weights, self.wanted) + left]
        lines += [
            described(self.release, each.now.route, each.now.weights, each.wanted) for each in self.edges
        ]
        return "\n".join((f"{self.what}, cluster {self.cluster}:", *lines))

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(0 if self.empty else 1)

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Change:
        """Restore the weights; ``mk.apply`` calls this.

        Raises ``Conflict``, before any change, if another process runs a release of the Service, or if the
        weights have changed since the plan.
        """
        if self.empty:
            return Change("", self.what, 0, cluster.ref)
        require_rights(cluster, self.routes)
        with hold_lock(cluster, self.release, self.clock) as lock:
            if self.state is not None and not self.state.ended:
                return _ended_here(self.state, self.what, cluster, lock, self.clock)
            change = self._restored(cluster, lock, why)
            self._settle(cluster, change.id)
        return change

    def _restored(self, cluster: Cluster, lock: Lock, why: str) -> Change:
        """Write the weights as a change of its own, unless they are as wanted."""
        from meshkit.cluster.journal import Journal, Operation

        writer = WeightWriters(cluster.api, lock, self.routes, self.release, self.additions)
        planned = [self.weights, *(each.now.weights for each in self.edges)]
        read = writer.read()
        for route, (_, found), pair in zip(self.routes, read, planned, strict=True):
            if (now := found.pair) != pair:
                problem = f"The weights of {route} are {now[0]} and {now[1]} now, not those of the plan."
                raise Conflict(problem, remedy="Nothing was changed. Plan again.")
        if self.restored and not writer.present():
            return Change("", self.what, 0, cluster.ref)
        present = [obj["metadata"].get("managedFields") or [] for obj, _ in read]
        journal, release = Journal(cluster), self.release
        facts = {"namespace": release.namespace}
        operation = Operation(OPERATION, self.mesh, release.name, facts)
        journal.start(operation, self.what, why or f"{release.canary} to {release.stable}", id=self.change_id)
        record = {
            "kind": OPERATION,
            "release": release.model_dump(mode="json"),
            "released": self.state.change_id if self.state else "",
            "route": record_of(self.route),
            "before": list(self.weights),
            "after": list(self.wanted),
            "managed_fields": present[0],
            "edges": [
                {**each.now.as_record(), "managed_fields": fields, "after": list(each.wanted)}
                for each, fields in zip(self.edges, present[1:], strict=True)
            ],
        }
        journal.append(self.change_id, record)
        wanted = [self.wanted, *(each.wanted for each in self.edges)]
        left = [share_percent(*pair) for pair, then in zip(planned, wanted, strict=True) if pair != then]
        together = all(same_percent(share, left[0]) for share in left)
        writer.move_each(wanted, expected_percent=left[0] if together else None)
        saved = [self.managed_fields, *(each.managed_fields for each in self.edges)]
        writer.hand_back([now if then is None else then for now, then in zip(present, saved, strict=True)])
        journal.append(self.change_id, {"event": "end", "state": "done"})
        return Change(self.change_id, self.what, 1, cluster.ref)

    def _settle(self, cluster: Cluster, change_id: str) -> None:
        """Write into the records of the release, or into what is left of them, that it was rolled back."""
        from meshkit.cluster.journal import Journal
        from meshkit.operations.release.commands import Mailbox

        who, mailbox = cluster.api.whoami(), Mailbox(cluster, self.release.name)
        at_s = self.clock.now()
        stamp = {"at_s": at_s, "state": "rolled_back", "who": who}
        percent = share_percent(*self.wanted)
        journal = Journal(cluster)
        if self.state is not None and journal.has(self.state.change_id):
            record = {"kind": GIVEN_BACK, "change": change_id, "percent": percent, **stamp}
            journal.append(self.state.change_id, record)
            said = f"Release {self.release.name}: rolled back by {who} after its end."
            notice = Notice("rolled back", said, at_s, percent, who)
            announce(notice, self.state, cluster, journal=journal, result="rolled_back")
        elif mailbox.change_id() is not None:
            said = f"Rolled back by {who} after its records had been deleted."
            end = {"kind": "end", "result": "rolled_back", "sentences": [said], "percent": percent, **stamp}
            mailbox.close(end)
            if begin := mailbox.begin():
                notice = Notice("rolled back", f"Release {self.release.name}: {said}", at_s, percent, who)
                announce(notice, begun(begin), cluster)


def plan_rollback(
    release: Release | str,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    force: bool = False,
    clock: Clock | None = None,
) -> RollbackPlan:
    """Plan to give the requests of a release back to its stable version; changes nothing.

    The release is given by its name, or whole if the cluster has no record of it any more; ``mesh`` is needed
    only then, if the cluster has several. Raises ``BadInput`` if the release is a member of a train (see
    ``plan_train_rollback``) or if a process runs it, which takes the command ``rollback`` itself, and
    ``ManualActionRequired`` if the stable version has no ready pods or if others have changed the weights
    since. With ``force``, it does neither, and also ends a release whose process has died.
    """
    clock = clock or SystemClock()
    name = release if isinstance(release, str) else release.name
    try:
        state = release_state(name, cluster)
    except ReleaseLost as lost:
        plan = _of_lost(release, cluster, mesh, clock, lost)
        return _checked(plan, cluster, force=force)
    except UnknownName:
        if isinstance(release, str):
            raise
        return _checked(_of_file(release, cluster, mesh, clock), cluster, force=force)
    require_alone(state, "rollback")
    if not state.ended:
        _require_no_runner(state, cluster, force=force)
    plan = _of_state(state, cluster, clock)
    now = [
        (plan.route, plan.weights, plan.wanted),
        *((each.now.route, each.now.weights, each.wanted) for each in plan.edges),
    ]
    for route, weights, wanted in now if state.ended and not force else ():
        left = share_percent(*weights)
        if weights != wanted and not same_percent(left, state.asked_percent):
            raise ManualActionRequired(
                f"{route} has since been changed by others: the canary gets {left:g} %, the release left"
                f" {state.asked_percent:g} %.",
                remedy="Nothing was changed. Plan a Route with the weights you want, or use --force.",
            )
    return _checked(plan, cluster, force=force)


def undo_rollback(
    change_id: str, cluster: Cluster, journal: Journal, records: Sequence[Mapping[str, Any]]
) -> Change:
    """Undo a rollback after the end of a release: the canary gets its requests again."""
    from meshkit.intent.release import Release

    written = next((record for record in records if record.get("kind") == OPERATION), None)
    if written is None:
        raise BadInput("change", f"{change_id} changed no weights.", remedy="There is nothing to undo.")
    release, edges = Release(**written["release"]), list(map(place_of, written.get("edges") or ()))
    stable, canary = written["before"]
    routes = [route_of(written["route"]), *(edge.route for edge in edges)]
    require_rights(cluster, routes)
    with hold_lock(cluster, release) as lock:
        writer = WeightWriters(cluster.api, lock, routes, release, {})
        before = [(stable, canary), *(edge.weights for edge in edges)]
        writer.move_back(before, share_percent(*written["after"]), "the rollback")
        writer.hand_back([written["managed_fields"], *(edge.managed_fields for edge in edges)])
        who, released = cluster.api.whoami(), str(written["released"])
        if released and journal.has(released):
            result = _result_before(journal.records(released))
            percent = share_percent(stable, canary)
            at_s = SystemClock().now()
            stamp = {"at_s": at_s, "state": result, "who": who, "percent": percent}
            journal.append(released, {"kind": TAKEN_AGAIN, "change": change_id, **stamp})
            said = f"Release {release.name}: {who} undid its rollback; {release.canary} gets {percent:g} %."
            notice = Notice("taken again", said, at_s, percent, who)
            announce(notice, fold(journal.records(released)), cluster, journal=journal, result=result)
    journal.append(change_id, {"kind": "undone", "state": "undone", "who": who})
    return Change(change_id, f"Undo of {records[0]['what']}", 1, cluster.ref)


def _of_state(state: ReleaseState, cluster: Cluster, clock: Clock) -> RollbackPlan:
    route = route_of(state.route)
    edges = list(map(place_of, state.edges))
    weights, additions = state.found_weights, state.additions
    return _plan(
        state.release, state.mesh, route, weights, cluster, clock, edges, state=state, additions=additions
    )


def _of_lost(
    release: Release | str, cluster: Cluster, mesh: str | None, clock: Clock, lost: ReleaseLost
) -> RollbackPlan:
    """The plan for a release whose journal is gone, from its first record, or else from its file."""
    from meshkit.operations.release.commands import Mailbox

    name = release if isinstance(release, str) else release.name
    begin = Mailbox(cluster, name).begin()
    if begin is None:
        if isinstance(release, str):
            raise lost
        return _of_file(release, cluster, mesh, clock)
    state = begun(begin)
    if holder := runner_of(state.release, cluster):
        raise BadInput(
            "rollback", f"{holder} still runs release {name}.", remedy="Wait until it has stopped."
        )
    route, fields = route_of(state.route), state.managed_fields
    edges = [place_of(record) for record in state.edges]
    weights, additions = state.found_weights, state.additions
    return _plan(
        state.release, state.mesh, route, weights, cluster, clock, edges, fields=fields, additions=additions
    )


def _of_file(release: Release, cluster: Cluster, mesh: str | None, clock: Clock) -> RollbackPlan:
    """The plan for a release that the cluster does not know, if a release has moved the weights."""
    from meshkit.kube.steps import RELEASE_MANAGER
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh, (release.namespace,))
    found = find_route(mesh, release, cluster)
    route = found.route
    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None or RELEASE_MANAGER not in owners(obj, route):
        raise BadInput(
            "rollback",
            f"no release named {release.name!r} was ever started on this cluster, and no release has moved"
            f" the weights of {route}.",
            remedy="'meshkit release list' lists the releases.",
        )
    moved = moved_edges(found.edges, release, cluster)
    additions = additions_of(mesh, release, route, obj, weights_of(obj, route, release))
    return _plan(release, mesh, route, (100, 0), cluster, clock, moved, additions=additions)


def _plan(
    release: Release,
    mesh: str,
    route: WeightedRoute,
    wanted: tuple[int, int],
    cluster: Cluster,
    clock: Clock,
    edges: Iterable[Place],
    *,
    state: ReleaseState | None = None,
    fields: tuple[Mapping[str, Any], ...] | None = None,
    additions: Additions,
) -> RollbackPlan:
    from meshkit.cluster.journal import new_id

    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None:
        remedy = f"Restore it, with all weight for {release.stable}."
        raise ManualActionRequired(f"{route} is gone.", remedy=remedy)
    try:
        found = weights_of(obj, route, release)
        of_edges = tuple(
            EdgeRollback(place_now(each.route, release, cluster), each.weights, each.managed_fields or None)
            for each in edges
        )
    except BadInput as error:
        problem = f"{route} was changed by someone else: {error.problem}"
        raise ManualActionRequired(problem, remedy="Plan a Route with the weights you want.") from error
    return RollbackPlan(
        release,
        mesh,
        cluster.ref,
        new_id(),
        route,
        found.pair,
        wanted,
        clock,
        state=state,
        managed_fields=fields,
        edges=of_edges,
        additions=additions,
        left=tuple(sorted(present(obj, route, found, additions))),
    )


def _checked(plan: RollbackPlan, cluster: Cluster, *, force: bool) -> RollbackPlan:
    """Return the plan if the stable version can answer; raise ``ManualActionRequired`` otherwise."""
    if not plan.restored and not force:
        require_ready(cluster, plan.release, plan.route)
    return plan


def _require_no_runner(state: ReleaseState, cluster: Cluster, *, force: bool) -> None:
    """Raise ``BadInput`` unless the process of a release has died and ``force`` is set."""
    name, holder = state.release.name, runner_of(state.release, cluster)
    if holder is not None:
        remedy = f"Send it the command: 'meshkit release rollback {name}', mk.send_command."
        raise BadInput("rollback", f"{holder} runs release {name}.", remedy=remedy)
    if not force:
        now = standing(route_of(state.route), state.release, cluster)
        problem = f"release {name} has not ended, but no process runs it. {now}"
        remedy = "Run it again to resume it, or set force (--force) to end it here and now."
        raise BadInput("rollback", problem, remedy=remedy)


def _ended_here(state: ReleaseState, what: str, cluster: Cluster, lock: Lock, clock: Clock) -> Change:
    """End a release whose process has died, as its next process would on the command ``rollback``."""
    from meshkit.cluster.journal import Journal
    from meshkit.observe.source import observer
    from meshkit.operations.release.commands import Mailbox
    from meshkit.operations.release.running.loop import Runner
    from meshkit.operations.release.running.start import take_up

    journal, mailbox = Journal(cluster), Mailbox(cluster, state.release.name)
    mailbox.put("rollback")
    stamp = {"at_s": clock.now(), "writer": lock.transitions, "who": cluster.api.whoami()}
    runner = Runner(
        take_up(state.change_id, journal, stamp),
        cluster,
        observer=observer(state.mesh),
        clock=clock,
        journal=journal,
        lock=lock,
        mailbox=mailbox,
        on_look=noop,
    )
    ended = runner.run()
    if ended.result != "rolled_back":
        remedy = "Plan a Route with the weights you want."
        raise ManualActionRequired(" ".join(ended.sentences), remedy=remedy)
    return Change(ended.change_id, what, 1, cluster.ref)


def _result_before(records: Sequence[Mapping[str, Any]]) -> str:
    """The result of a release before it was rolled back after its end."""
    return next((str(record["result"]) for record in records if record.get("kind") == "end"), "open")
