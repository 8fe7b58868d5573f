"""The would-be denials of access rules on trial, by caller, for as long as one says.

Where the servers' sidecars count would-be denials by caller, these counts are listed. Where they count them
by port only, the rules are applied to the calls that were observed, and the count of the sidecars is beside
it: a difference tells that the rules depend on what the counters of calls do not tell.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from meshkit.cluster.connect import Cluster
from meshkit.decide.formatting import count
from meshkit.errors import BadInput
from meshkit.kube.metadata import title
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.metrics import ServerCall
from meshkit.observe.server_calls import Reading, ServerCalls, calls_between, read_server_calls
from meshkit.operations.access.matrix import require_duration
from meshkit.operations.access.observed import ObservedServers, enforced, on_trial
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.explain import explainer_of
from meshkit.operations.progress import CallsCounted, OnEvent, in_notebook
from meshkit.operations.which_mesh import mesh_of

FOR_S = 60.0
LOOK_S = 10.0
How = Literal["counted", "derived", "depends"]
_WORDS: dict[How, str] = {
    "counted": "counted by the server's sidecar",
    "derived": "the rules applied to the calls observed",
    "depends": "depends on the port, path or method, which the counters do not tell",
}


@dataclass(frozen=True)
class WouldBeDenied:
    """The calls of one caller that enforced rules would refuse; ``depends``: that they might refuse."""

    caller: str
    service: str
    port: int | None
    in_window: int
    in_all: int
    how: How


@dataclass(frozen=True)
class TrialReport:
    """What access rules on trial would refuse, by caller.

    ``passed`` is the number of calls in the window that they would let in, as far as it is told. ``counted``
    is the number of would-be denials in the window by the sidecars' own count.
    """

    namespace: str
    mesh: str
    rules: tuple[str, ...]
    denials: tuple[WouldBeDenied, ...]
    passed: int
    counted: int
    coverage: str
    source: str

    @property
    def refused(self) -> tuple[str, ...]:
        """The callers that enforced rules would refuse for certain."""
        return tuple(dict.fromkeys(each.caller for each in self.denials if each.how != "depends"))

    def as_record(self) -> dict[str, Any]:
        """The report as a JSON-ready mapping."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"On trial in {self.namespace}: {', '.join(self.rules)}."]
        for each in self.denials:
            where = each.service if each.port is None else f"{each.service}:{each.port}"
            calls = f"{count(each.in_window)} in the window, {count(each.in_all)} since the start"
            lines.append(f"  {each.caller} -> {where}: {calls} ({_WORDS[each.how]})")
        if not self.denials:
            lines.append("  No call was seen that the rules would refuse.")
        counted = f"the sidecars count {count(self.counted)} would-be denials"
        lines.append(f"{count(self.passed)} calls would pass; {counted}.")
        return "\n".join([*lines, f"{self.coverage}.", f"Source: {self.source}."])

    __repr__ = __str__


def access_denials(
    cluster: Cluster,
    namespace: str,
    *,
    mesh: str | None = None,
    for_s: float = FOR_S,
    clock: Clock | None = None,
    progress: OnEvent | None = None,
) -> TrialReport:
    """List whom the access rules on trial in a namespace would refuse, after counting for ``for_s`` seconds.

    Changes nothing. Raises ``BadInput`` if no rule is on trial, and ``NoData`` if no pod has a sidecar.
    """
    require_duration("for_s", for_s)
    row = registry.mesh(mesh_of(cluster, mesh, (namespace,)))
    clock, report = clock or SystemClock(), progress or in_notebook()
    explainer, _ = explainer_of(cluster, row, (namespace,))
    rules = on_trial(explainer, row, namespace)
    if not rules:
        remedy = "Apply an Access with mode: shadow; 'meshkit access propose' writes one."
        raise BadInput("namespace", f"no access rule of {namespace} is on trial.", remedy=remedy)
    first = read_server_calls(cluster, row.name, namespace)
    now, then = (ObservedServers(each, namespace) for each in (explainer, enforced(explainer, row)))
    until_s = clock.now() + for_s
    last: Reading = first
    while (left_s := until_s - clock.now()) > 0:
        clock.sleep(min(LOOK_S, left_s))
        last = read_server_calls(cluster, row.name, namespace)
        seen = calls_between(first, last)
        report(CallsCounted("Would be denied", count(seen.count("would_be_denied"))))
    return report_of(calls_between(first, last), now, then, row, [title(each) for each in rules])


def report_of(
    calls: ServerCalls, now: ObservedServers, then: ObservedServers, row: Mesh, rules: list[str]
) -> TrialReport:
    """The report of calls that were counted while rules were on trial: ``now`` they are, ``then`` enforced.

    Calls that are refused without the rules, as those in plain text by strict mutual TLS, are left out.
    """
    counters = row.metrics.server_calls
    by_caller = bool(counters and counters.names_denied)
    found: dict[tuple[str, str, int | None, How], list[int]] = {}
    passed = 0
    for call, in_all in calls.in_all.items():
        if call.caller and now.judge(call) == "refused":
            continue
        how = _how(call, then, by_caller=by_caller)
        if how is None:
            passed += calls.in_window.get(call, 0) if call.caller else 0
            continue
        place = then.place(call)
        service = place.service if place else call.server
        sums = found.setdefault((call.caller, service, place.port if place else None, how), [0, 0])
        sums[0] += calls.in_window.get(call, 0)
        sums[1] += in_all
    denials = [
        WouldBeDenied(caller, service, port, sums[0], sums[1], how)
        for (caller, service, port, how), sums in found.items()
    ]
    denials.sort(key=lambda each: (each.how == "depends", -each.in_window, -each.in_all, each.caller))
    counted = calls.count("would_be_denied")
    coverage = calls.coverage[0].upper() + calls.coverage[1:]
    source = counters.source if counters else "none"
    return TrialReport(
        then.namespace, row.name, tuple(rules), tuple(denials), passed, counted, coverage, source
    )


def _how(call: ServerCall, servers: ObservedServers, *, by_caller: bool) -> How | None:
    """How a call is known to be refused by the enforced rules; None if it passes, or is counted elsewhere."""
    if not call.caller or call.outcome not in ("passed", "would_be_denied"):
        return None
    if by_caller:
        counted = call.outcome == "would_be_denied" and servers.judge(call) != "allowed"
        return "counted" if counted else None
    judged = servers.judge(call)
    return "derived" if judged == "refused" else "depends" if judged == "depends" else None
