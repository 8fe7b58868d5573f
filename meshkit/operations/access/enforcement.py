"""Enforce access rules, watch the denials, and undo the change if an unexpected caller is denied.

Before the change, the rules are held against the calls that were observed and against the requests without
an identity that pods must get. After it, denials are counted by the servers' sidecars. Where these do not
tell the caller, the callers that got status 403 at the same servers are named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from meshkit import codes
from meshkit.cluster import rights
from meshkit.cluster.connect import Cluster
from meshkit.decide.formatting import count
from meshkit.decide.statistics.fisher import rise_probability
from meshkit.errors import BadInput, GateFailed, ManualActionRequired, MeshkitError
from meshkit.facts import Finding
from meshkit.intent.security import Access
from meshkit.kube.kinds import WEBHOOK_KINDS
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.explain.essential import cut
from meshkit.meshes.metrics import UNKNOWN, ServerCall
from meshkit.observe.server_calls import Reading, ServerCalls, calls_between, read_server_calls
from meshkit.operations.access.observed import ObservedServers
from meshkit.operations.change import apply_steps, plan
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.effects import after_steps
from meshkit.operations.explain import explainer_of
from meshkit.operations.plan import Change, Plan
from meshkit.operations.progress import (
    BaselineStarted,
    CallsCounted,
    OnEvent,
    UndoStarted,
    WatchStarted,
    in_notebook,
)
from meshkit.operations.traffic_gate import CHANCE, LOOK_S, RIGHTS, taken_back

WATCH_S = 30.0
"""How long denials are counted after the last step, in seconds."""
BASELINE_S = 10.0
"""How long calls are counted before the change, if some have been refused already."""
_REFUSED = ("denied", "forbidden")


@dataclass(frozen=True)
class AccessWatch:
    """How the enforcement of access rules is watched.

    Denials of the callers in ``expected`` (``namespace/account``, or ``unknown`` for those without an
    identity) are part of the purpose; any other undoes the change. With ``force`` none does.
    """

    namespace: str
    watch_s: float = WATCH_S
    expected: Collection[str] = ()
    force: bool = False
    clock: Clock = field(default_factory=SystemClock)


def plan_access(intents: Iterable[Access], cluster: Cluster, *, mesh: str | None = None) -> Plan:
    """Plan to enforce access rules, with findings about what they would refuse; changes nothing.

    A finding of severity error is a request without an identity that a pod must get; a warning is a caller
    that has called. Give all rules of a Service together: the first that is enforced closes its ports.
    """
    wanted = tuple(intent.model_copy(update={"mode": "enforce"}) for intent in intents)
    made = plan(wanted, cluster, mesh=mesh)
    found = tuple(risks(made, cluster, {intent.namespace for intent in wanted}))
    return replace(made, findings=(*made.findings, *found))


def risks(plan: Plan, cluster: Cluster, namespaces: Iterable[str]) -> Iterator[Finding]:
    """Yield what a plan would refuse that passes now: essential requests, and callers that have called."""
    row = registry.mesh(plan.mesh)
    before, _ = explainer_of(cluster, row, namespaces, WEBHOOK_KINDS)
    after = after_steps(before, plan.steps, row)
    for namespace in sorted(namespaces):
        for asked, why in cut(before, after, row, namespace):
            message = f"{asked} would be refused: {why}."
            yield codes.finding(codes.ESSENTIAL_REQUESTS_CUT, f"Server {asked.server}", message)
        now, then = (ObservedServers(each, namespace) for each in (before, after))
        reading = read_server_calls(cluster, plan.mesh, namespace)
        calls = calls_between(reading, reading)
        for caller, server, calls_seen in newly_refused(calls, now, then):
            message = f"{caller} would be refused; it has called {count(calls_seen)} times."
            yield codes.finding(codes.OBSERVED_CALLER_REFUSED, f"Server {server}", message)


def newly_refused(
    calls: ServerCalls, now: ObservedServers, then: ObservedServers
) -> Iterator[tuple[str, str, int]]:
    """Yield each caller, a server that refuses it then and not now, and how often it has called."""
    found: dict[tuple[str, str], int] = {}
    for call, seen in calls.in_all.items():
        passes = call.caller and call.outcome in ("passed", "would_be_denied")
        if passes and then.judge(call) == "refused" and now.judge(call) != "refused":
            key = (call.caller, call.server)
            found[key] = found.get(key, 0) + seen
    yield from ((caller, server, seen) for (caller, server), seen in sorted(found.items()))


def require_accepted(plan: Plan, watch: AccessWatch) -> None:
    """Raise ``ManualActionRequired``, before any change, for what a plan would refuse unexpectedly."""
    errors = [f for f in plan.findings if f.code == codes.ESSENTIAL_REQUESTS_CUT.id]
    refused = [
        f
        for f in plan.findings
        if f.code == codes.OBSERVED_CALLER_REFUSED.id and f.message.partition(" ")[0] not in watch.expected
    ]
    worst = errors or ([] if watch.force else refused)
    if worst:
        said = " ".join(f"{one.object}: {one.message}" for one in worst[:5])
        more = f" And {len(worst) - 5} more." if len(worst) > 5 else ""
        raise ManualActionRequired(f"{said}{more} Nothing was changed.", remedy=worst[0].remedy)


def enforce_access(
    plan: Plan, cluster: Cluster, watch: AccessWatch, *, progress: OnEvent | None = None, why: str = ""
) -> Change:
    """Apply a plan of ``plan_access`` and watch the denials.

    Raises ``ManualActionRequired`` before any change if it would refuse what is essential or a caller that is
    not expected, and ``ChangeFailed``, with the change undone, if such a caller is denied.
    """
    if not 0 < watch.watch_s <= 86400:
        raise BadInput("watch_s", f"{watch.watch_s:g} is not between 0 and 86400.", remedy="Use 30 to 600.")
    require_accepted(plan, watch)
    return watched(plan, cluster, watch, progress=progress or in_notebook(), why=why)


def watched(plan: Plan, cluster: Cluster, watch: AccessWatch, *, progress: OnEvent, why: str = "") -> Change:
    """Apply a plan and undo it if a caller is denied that is not expected."""
    rights.require(cluster.api, RIGHTS)
    row = registry.mesh(plan.mesh)
    first = read_server_calls(cluster, plan.mesh, watch.namespace)
    before = _before(cluster, plan, watch, first, progress)
    change = apply_steps(plan, cluster, progress=progress, why=why)
    if not change.id:
        return change
    try:
        progress(WatchStarted(plan.what, watch.watch_s))
        for calls in _windows(cluster, plan.mesh, watch, first):
            progress(CallsCounted("Calls", _told(calls)))
            _require_expected(before, calls, row, watch)
    except MeshkitError as trouble:
        progress(UndoStarted("it", trouble.message))
        raise taken_back(change, cluster, trouble) from trouble
    return change


def _before(
    cluster: Cluster, plan: Plan, watch: AccessWatch, first: Reading, progress: OnEvent
) -> ServerCalls:
    """The calls of a window before the change; an empty window if nobody has been refused so far."""
    now = calls_between(first, first)
    refused_before = any(call.outcome in _REFUSED for call in now.in_all)
    if plan.empty or watch.force or not refused_before:
        return now
    progress(BaselineStarted(min(watch.watch_s, BASELINE_S)))
    watch.clock.sleep(min(watch.watch_s, BASELINE_S))
    return calls_between(first, read_server_calls(cluster, plan.mesh, watch.namespace))


def _windows(cluster: Cluster, mesh: str, watch: AccessWatch, first: Reading) -> Iterator[ServerCalls]:
    """Yield the calls since the change, every few seconds until the time is over."""
    until_s = watch.clock.now() + watch.watch_s
    while (left_s := until_s - watch.clock.now()) > 0:
        watch.clock.sleep(min(LOOK_S, left_s))
        yield calls_between(first, read_server_calls(cluster, mesh, watch.namespace))


def _require_expected(before: ServerCalls, calls: ServerCalls, row: Mesh, watch: AccessWatch) -> None:
    surprising = [
        (caller, server, n)
        for caller, server, n in denied_callers(calls, row)
        if caller not in watch.expected and _rose(caller, server, before, calls)
    ]
    if surprising and not watch.force:
        said = "; ".join(f"{caller} at {server} ({count(n)})" for caller, server, n in surprising[:5])
        raise GateFailed(
            f"Callers were denied that are not expected to be: {said}.",
            remedy="Add them to the callers of the Access, or name them as expected (--expect-denied).",
        )


def _rose(caller: str, server: str, before: ServerCalls, after: ServerCalls) -> bool:
    """Whether the share of a caller's refused calls is higher than before the change, if it had any."""

    def counted(calls: ServerCalls) -> tuple[int, int]:
        own = [(c, n) for c, n in calls.in_window.items() if (c.caller, c.server) == (caller, server)]
        return sum(n for c, n in own if c.outcome in _REFUSED), sum(n for _, n in own)

    bad, everything = counted(before)
    return not bad or rise_probability(bad, everything, *counted(after)) <= CHANCE


def denied_callers(calls: ServerCalls, row: Mesh) -> list[tuple[str, str, int]]:
    """Caller, server and number of the calls in a window that access rules denied, the most first.

    Where the count of denials has no caller, these are the callers with status 403 at servers with denials.
    Where it is not exposed, they are the callers with status 403 that had none before the window.
    """
    counters = row.metrics.server_calls
    in_window = calls.in_window
    if counters is None or counters.names_denied:
        return _sorted((c, n) for c, n in in_window.items() if c.outcome == "denied")
    denying = {c.server for c, n in in_window.items() if c.outcome == "denied"}
    shown = {c.server for c in calls.in_all if not c.caller}
    forbidden = [(c, n) for c, n in in_window.items() if c.outcome == "forbidden"]
    named = [
        (c, n)
        for c, n in forbidden
        if c.server in denying or (c.server not in shown and calls.in_all.get(c, 0) == n)
    ]
    unnamed = denying - {c.server for c, _ in named}
    more = [
        (ServerCall(UNKNOWN, c.server, "", c.port, c.outcome), n)
        for c, n in in_window.items()
        if c.outcome == "denied" and c.server in unnamed
    ]
    return _sorted([*named, *more])


def _sorted(found: Iterable[tuple[ServerCall, int]]) -> list[tuple[str, str, int]]:
    sums: dict[tuple[str, str], int] = {}
    for call, n in found:
        sums[call.caller, call.server] = sums.get((call.caller, call.server), 0) + n
    return sorted(((caller, server, n) for (caller, server), n in sums.items()), key=lambda each: -each[2])


def _told(calls: ServerCalls) -> str:
    passed = sum(n for call, n in calls.in_window.items() if call.caller and call.outcome == "passed")
    return f"{count(passed)} passed, {count(calls.count('denied'))} denied"


def enforces(plan: Plan) -> bool:
    """Whether a plan writes access rules that are not on trial."""
    shadow = registry.mesh(plan.mesh).shadow
    return shadow is not None and any(
        one.step.kind == shadow.kind and not one.step.removed and not shadow.is_on(one.step.object)
        for one in plan.steps
    )


def expected_of(names: Sequence[str]) -> tuple[str, ...]:
    """Callers as ``namespace/account`` or ``unknown``; raises ``BadInput`` for other texts."""
    for name in names:
        if name != UNKNOWN and name.count("/") != 1:
            raise BadInput(
                "expected", f"{name!r} is no caller.", remedy="Write namespace/account, or unknown."
            )
    return tuple(names)
