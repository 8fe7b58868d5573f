"""Run releases, send commands to them, and read their state, all through the cluster.

The loop runs in the process that calls ``run_release``; any number of other processes can read its state
(``release_state``) and send commands (``send_command``). A Lease that expires when its holder has died
ensures a single writer; the next ``run_release`` of the same release then resumes from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from meshkit.errors import BadInput, Conflict, Forbidden, RolledBack, Undecided, UnknownName
from meshkit.facts import ClusterRef, Kind
from meshkit.operations.release.state import BEGIN, ReleaseState, fold

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.observe.counters import Observer
    from meshkit.operations.clock import Clock
    from meshkit.operations.release.commands import Mailbox, Verb
    from meshkit.operations.release.route import Found

Result = Literal["promoted", "rolled_back", "undecided"]

LEASE_S = 15.0
"""How long a runner may fail to renew its lock before another may take over; at least three iterations."""

_EXIT_CODES: dict[Result, int] = {"promoted": 0, "rolled_back": 1, "undecided": 3}


@dataclass(frozen=True)
class Outcome:
    """The result of a release; ``sentences`` explain it, the most important first.

    ``change_id`` is the id of its journal.
    """

    result: Result
    change_id: str
    sentences: tuple[str, ...]
    state: ReleaseState
    cluster: ClusterRef

    def __str__(self) -> str:
        return f"{self.result.replace('_', ' ')} on cluster {self.cluster}: {' '.join(self.sentences)}"

    def __repr__(self) -> str:
        return str(self)

    @property
    def exit_code(self) -> int:
        """0 promoted, 1 rolled back, 3 undecided."""
        return _EXIT_CODES[self.result]

    def require_promoted(self) -> None:
        """Raise ``RolledBack`` or ``Undecided``, with the reasons, unless the canary was promoted."""
        if self.result == "rolled_back":
            raise RolledBack(
                " ".join(self.sentences),
                remedy="Look at the chart, correct the new version, and release again.",
            )
        if self.result == "undecided":
            raise Undecided(
                " ".join(self.sentences),
                remedy="Make sure that both versions get requests, then release again.",
            )


def run_release(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None = None,
    prometheus: str | None = None,
    observer: Observer | None = None,
    clock: Clock | None = None,
    on_look: Callable[[ReleaseState], None] | None = None,
) -> Outcome:
    """Start a release and run it to its end, or resume one whose runner has died.

    ``prometheus`` is the URL of the Prometheus to query; the default is the one in the settings, else the
    sidecars' metrics endpoints. ``on_look`` is called with a snapshot after every iteration. Before any
    change, it raises ``Forbidden`` naming all missing rights, ``BadInput`` if the release does not match the
    route, and ``Conflict`` if another process runs it; later, ``ManualActionRequired`` if the route
    disappears.
    """
    from meshkit.cluster.journal import Journal
    from meshkit.observe.source import observer as observer_of
    from meshkit.operations.clock import SystemClock
    from meshkit.operations.release.commands import Mailbox
    from meshkit.operations.release.loop import Runner
    from meshkit.operations.which_mesh import mesh_of

    mesh = mesh_of(cluster, mesh, (release.namespace,))
    clock = clock or SystemClock()
    observer = observer or observer_of(mesh, prometheus)
    journal, mailbox = Journal(cluster), Mailbox(cluster, release.name)
    found = _find(release, cluster, mesh, journal, mailbox)
    require_rights(cluster, found.route)
    with hold_lock(cluster, release, clock) as lock:
        state = _going_on(release, cluster, mesh, found, journal, mailbox, clock, lock)
        runner = Runner(
            state,
            cluster,
            observer=observer,
            clock=clock,
            journal=journal,
            lock=lock,
            mailbox=mailbox,
            on_look=on_look or (lambda _: None),
        )
        state = runner.run()
    return Outcome(cast(Result, state.result), state.change_id, state.sentences, state, cluster.ref)


def send_command(release_name: str, verb: Verb, cluster: Cluster) -> None:
    """Tell the runner of a release to hold, resume, promote (to 100 % at once) or roll back.

    The command is stored in the cluster until the runner's next iteration.
    """
    from meshkit.operations.release.commands import Mailbox

    Mailbox(cluster, release_name).put(verb)


def release_state(release_name: str, cluster: Cluster) -> ReleaseState:
    """Read a snapshot of the latest run of a release; raise ``UnknownName`` if there is none."""
    from meshkit.cluster.journal import Journal
    from meshkit.operations.release.commands import Mailbox

    change_id = Mailbox(cluster, release_name).change_id()
    if change_id is None:
        raise UnknownName("release", release_name, ())
    return fold(Journal(cluster).records(change_id))


def require_rights(cluster: Cluster, route: WeightedRoute) -> None:
    """Raise ``Forbidden`` naming all missing rights to run or undo a release.

    Required: get and patch on the object with the weights, get on its Service, list on pods and get on
    pods/proxy in all namespaces (a caller may be in any namespace), and those of the journal and the lock.
    """
    from meshkit.cluster import rights

    resource = cluster.api.resource(route.kind)
    required = rights.of_journal(cluster.api) | rights.of_lock()
    required |= {rights.Right("list", "", "pods"), rights.Right("get", "", "pods/proxy")}
    required.add(rights.Right("get", "", "services", route.namespace))
    if resource:
        group, plural = route.kind.group, resource.plural
        required |= {rights.Right(verb, group, plural, route.namespace) for verb in ("get", "patch")}
    rights.require(cluster.api, required)


@contextmanager
def hold_lock(cluster: Cluster, release: Release, clock: Clock | None = None) -> Iterator[Lock]:
    """Hold the lock of the release's weights for the duration of a ``with`` block.

    Raises ``Conflict`` if another process holds it.
    """
    from meshkit.cluster.lock import Lock
    from meshkit.operations.clock import SystemClock

    name = f"release-{release.namespace}-{release.service}"
    lock = Lock(cluster, name)
    _take(lock, cluster, name, max(LEASE_S, 3 * release.look_s), clock or SystemClock())
    try:
        yield lock
    finally:
        lock.release()


def _take(lock: Lock, cluster: Cluster, name: str, duration_s: float, clock: Clock) -> None:
    """Take the lock: wait for one whose holder has died, raise ``Conflict`` for one that is being renewed."""
    from meshkit.cluster.journal import NAMESPACE
    from meshkit.cluster.lock import LEASE

    until, seen = clock.now() + duration_s + 2, ""
    while True:
        try:
            lock.acquire(duration_s)
            return
        except Conflict:
            lease = cluster.api.get(LEASE, name, NAMESPACE) or {}
            renewed = str((lease.get("spec") or {}).get("renewTime"))
            if clock.now() >= until or seen not in ("", renewed):
                raise
            seen = renewed
            clock.sleep(1)


def _going_on(
    release: Release,
    cluster: Cluster,
    mesh: str,
    found: Found,
    journal: Journal,
    mailbox: Mailbox,
    clock: Clock,
    lock: Lock,
) -> ReleaseState:
    """Return the initial state: that of a new run, or of one whose runner has died."""
    stamp = {"at_s": clock.now(), "writer": lock.transitions, "who": cluster.api.whoami()}
    change_id = mailbox.change_id()
    if change_id is not None:
        state = fold(journal.records(change_id))
        if not state.ended:
            if state.release != release or state.mesh != mesh:
                raise BadInput(
                    "release",
                    f"{release.name!r} is already running with other settings.",
                    remedy="Run it with the same settings, roll it back first, or choose another name.",
                )
            # Read again after this record: later records of a runner that was only slow are ignored.
            journal.append(change_id, {"kind": "taken up", **stamp})
            return fold(journal.records(change_id))
    record = _begin(release, cluster, mesh, found.route, journal) | stamp
    notes = [{"kind": "note", "text": text, **stamp} for text in found.unmoved]
    for each in (record, *notes):
        journal.append(record["change_id"], each)
    mailbox.open(record["change_id"])
    return fold([record, *notes])


def _find(release: Release, cluster: Cluster, mesh: str, journal: Journal, mailbox: Mailbox) -> Found:
    """Return the route of a run that has not ended, else find the live one."""
    from meshkit.operations.release.route import Found, find_route, route_of

    try:
        change_id = mailbox.change_id()
        state = fold(journal.records(change_id)) if change_id is not None else None
    except Forbidden:
        state = None  # all missing rights are named together later
    if state is not None and not state.ended and state.mesh == mesh:
        return Found(route_of(state.route))
    return find_route(mesh, release, cluster)


def _begin(
    release: Release, cluster: Cluster, mesh: str, route: WeightedRoute, journal: Journal
) -> dict[str, Any]:
    """Write the first record of a release, after validating it against the route."""
    from meshkit.cluster.journal import Operation
    from meshkit.operations.release.route import record_of, weights_of

    _require_port(cluster, release)
    obj = _route_now(cluster, route, release.port)
    current = weights_of(obj, route, release)
    if current.canary_percent >= release.steps[0]:
        raise BadInput(
            "release.canary",
            f"{release.canary} already gets {current.canary_percent:g} % of {route}.",
            remedy=f"Give all weight to {release.stable} first, or start with a higher step.",
        )
    operation = Operation("release", mesh, release.name, {"namespace": release.namespace})
    what = f"Release {release.namespace}/{release.name}"
    return {
        "kind": BEGIN,
        "change_id": journal.start(operation, what, f"{release.stable} to {release.canary}"),
        "release": release.model_dump(mode="json"),
        "mesh": mesh,
        "object": str(route),
        "route": record_of(route),
        "weights": [current.stable.weight, current.canary.weight],
        "managed_fields": obj["metadata"].get("managedFields") or [],
    }


def _require_port(cluster: Cluster, release: Release) -> None:
    service = cluster.api.get(Kind("v1", "Service"), release.service, release.namespace)
    where = f"Service {release.namespace}/{release.service}"
    if service is None:
        remedy = "Correct namespace and service, or create it."
        raise BadInput("release.service", f"{where} does not exist.", remedy=remedy)
    ports = [port["port"] for port in service["spec"].get("ports") or ()]
    if release.port not in ports:
        remedy = f"Name one of its ports: {', '.join(map(str, ports))}."
        raise BadInput("release.port", f"{where} has no port {release.port}.", remedy=remedy)


def _route_now(cluster: Cluster, route: WeightedRoute, port: int) -> dict[str, Any]:
    obj = cluster.api.get(route.kind, route.name, route.namespace)
    if obj is None:
        raise BadInput(
            "release.service",
            f"{route} does not exist, and no other route rules the requests to port {port}.",
            remedy="Plan a Route with both versions first (mk.plan).",
        )
    return obj
