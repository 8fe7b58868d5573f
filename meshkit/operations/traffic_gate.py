"""The traffic gate judges the calls in a mesh while a change restarts pods in waves.

The sidecars' counters are read repeatedly, also while pods are replaced, so that a proxy's counts are known
before it ends. At the end of a wave, the calls since its start are compared with those before the change. If
they are worse, the gate raises an exception, and the caller undoes the change. No calls do not count as
success: if there are none before the change, a person must accept that nothing is judged.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from meshkit.cluster import rights
from meshkit.cluster.connect import Cluster
from meshkit.cluster.rights import Right
from meshkit.decide.formatting import count
from meshkit.decide.statistics.fisher import rise_probability
from meshkit.errors import (
    BadInput,
    ChangeFailed,
    GateFailed,
    GateHalted,
    ManualActionRequired,
    MeshkitError,
    NoData,
)
from meshkit.kube.steps import Step
from meshkit.meshes.metrics import How, Link
from meshkit.observe.callers import Calls, Reading, between, read_callers, unseen_text
from meshkit.operations.change import apply_steps, undo_steps
from meshkit.operations.clock import Clock, SystemClock
from meshkit.operations.plan import Change, Plan
from meshkit.operations.progress import (
    BaselineStarted,
    CallsCounted,
    CallsGotWorse,
    OnEvent,
    UndoStarted,
    WatchStarted,
    noop,
)

LOOK_S = 2.0
TOLERATED = 3
"""Number of bad calls to tolerate: retries and restarts lose none, but other causes may."""
CHANCE = 1e-3
"""False alarm rate of one wave: one in a thousand waves that change nothing."""
PATIENCE_S = 30.0
"""Extra watch time, as a factor, if counters cannot be read: a busy API server responds late."""
ENOUGH = 20
"""Number of calls in a window that makes none in the next one significant."""
WATCH_S = 10.0
RIGHTS = (Right("list", "", "pods"), Right("get", "", "pods/proxy"))
"""The right to read the sidecars' counters."""
_BAD: dict[How, str] = {
    "failed": "got no answer",
    "refused": "were refused without a mesh identity",
    "plain": "went in plain text",
}


@dataclass(frozen=True)
class TrafficGateOptions:
    """How the waves of a change are judged.

    Calls are counted for ``watch_s`` seconds before the change, and again after each wave. With ``force``,
    the change continues without judgement if no calls were seen before it.
    """

    watch_s: float = WATCH_S
    force: bool = False
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        if not 0 < self.watch_s <= 3600:
            raise BadInput("watch_s", f"{self.watch_s:g} is not between 0 and 3600.", remedy="Use 10 to 60.")


class CallWindows:
    """Calls between successive readings; ``read`` returns the sidecars' current counters."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read
        self._before = read()

    @property
    def unseen(self) -> frozenset[str]:
        """The servers whose refused calls the last reading cannot see."""
        return self._before.unseen

    def take(self) -> Calls:
        """Return the calls since the last reading."""
        after = self._read()
        calls = between(self._before, after)
        self._before = after
        return calls

    def during(self, seconds: float, clock: Clock) -> Iterator[Calls]:
        """Yield a window every LOOK_S seconds until the time is over."""
        until_s = clock.now() + seconds
        while (left_s := until_s - clock.now()) > 0:
            clock.sleep(min(LOOK_S, left_s))
            yield self.take()


@dataclass
class Tally:
    """Number of calls by outcome and link, and how many sidecars were asked for them and responded."""

    links: Counter[Link] = field(default_factory=Counter)
    asked: int = 0
    answered: int = 0
    unseen: frozenset[str] = frozenset()
    """The servers whose refused calls could not be seen in one of the windows."""

    def add(self, calls: Calls) -> None:
        """Add the calls of one window."""
        self.links.update(calls.in_window)
        self.asked += calls.asked
        self.answered += calls.answered
        self.unseen |= calls.unseen

    @property
    def is_blind(self) -> bool:
        """Whether no calls were seen and some sidecars could not be read, so nothing is known."""
        return not self.all and self.answered < max(1, self.asked)

    def count(self, *how: How) -> int:
        """The number of calls with these outcomes."""
        return sum(n for link, n in self.links.items() if link.how in how)

    @property
    def all(self) -> int:
        """The number of all calls: servers count those answered or refused, callers those that failed."""
        return self.links.total()

    def by_namespace(self) -> dict[str, Tally]:
        """The calls by the namespace of their servers."""
        found: dict[str, Tally] = {}
        for link, n in self.links.items():
            found.setdefault(link.server.partition("/")[0], Tally()).links[link] += n
        return found

    def by_server(self, how: How) -> Counter[str]:
        """The number of calls with this outcome by server."""
        found: Counter[str] = Counter()
        for link, n in self.links.items():
            if link.how == how:
                found[link.server] += n
        return found

    def servers(self, how: How) -> str:
        """The servers of calls with this outcome, the busiest first."""
        return ", ".join(server for server, _ in self.by_server(how).most_common(3))

    def __str__(self) -> str:
        parts = [f"{count(self.count('mutual_tls'))} over mutual TLS"]
        for how, what in _BAD.items():
            number = self.count(how)
            if number or not (how == "refused" and self.unseen):
                parts.append(f"{count(number)} {what}")
        if self.unseen:
            parts.append(unseen_text(self.unseen))
        return ", ".join(parts)


def trouble(before: Tally, after: Tally, *, looks: int = 1) -> str:
    """Describe what has become worse for any namespace's servers; empty if nothing has.

    ``looks`` is how often one wave is tested: CHANCE applies to the whole wave.
    """
    if before.all and not after.all:
        return f"No calls are seen any more; there were {count(before.all)} before."
    served, serving = before.by_namespace(), after.by_namespace()
    chance = CHANCE / (looks * len(_BAD) * max(1, len(serving)))
    for namespace, now in serving.items():
        was = served.get(namespace, Tally())
        for how in _BAD:
            if _rose(how, was, now, chance):
                return _risen(how, was, now)
    return ""


def silenced(before: Tally, after: Tally) -> str:
    """Name a namespace whose servers had calls before and have none now; valid only after a whole window."""
    serving = after.by_namespace()
    for namespace, was in before.by_namespace().items():
        if was.all >= ENOUGH and namespace not in serving:
            return f"No calls are seen any more in {namespace}; there were {count(was.all)} before."
    return ""


def vanished(before: Tally, after: Tally, *, at_least: int = ENOUGH) -> str:
    """Name a server whose plaintext calls have ended, where refusals cannot be seen; empty if there is none.

    This is valid only after a whole window, and says that the callers are refused, or have ended themselves.
    """
    was, now = before.by_server("plain"), after.by_server("plain")
    for server in sorted(after.unseen):
        if was[server] >= at_least and not now[server]:
            return (
                f"{count(was[server])} calls in plain text were seen at {server} before, and none since. Its"
                " sidecar does not show refused connections, so the callers are taken to be refused."
            )
    return ""


def _rose(how: How, was: Tally, now: Tally, chance: float) -> bool:
    bad = now.count(how)
    return bad > TOLERATED and rise_probability(was.count(how), was.all, bad, now.all) <= chance


def _risen(how: How, was: Tally, now: Tally) -> str:
    bad = now.count(how)
    share_before = was.count(how) / was.all if was.all else 0.0
    return (
        f"{count(bad)} of {count(now.all)} calls {_BAD[how]}"
        f" ({bad / now.all:.1%}, before {share_before:.1%}), at {now.servers(how)}."
    )


class Gate:
    """A gate for one change; in a ``with`` block, calls are also counted in the background."""

    def __init__(
        self,
        read: Callable[[], Reading],
        options: TrafficGateOptions,
        *,
        progress: OnEvent = noop,
    ) -> None:
        self._windows, self._options, self._report = CallWindows(read), options, progress
        self._before, self._wave = Tally(), Tally()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic gate", daemon=True)

    @classmethod
    def of(
        cls, cluster: Cluster, mesh: str, options: TrafficGateOptions, *, progress: OnEvent = noop
    ) -> Self:
        """Create a gate for all calls of a mesh; raise ``NoData`` if no pod has a sidecar."""
        return cls(lambda: read_callers(cluster, mesh), options, progress=progress)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def measure(self) -> None:
        """Count the calls before the change.

        Raises ``ManualActionRequired`` if there are none and this is not accepted, and ``NoData`` if no
        sidecar's counters can be read.
        """
        watch_s = self._options.watch_s
        self._report(BaselineStarted(watch_s))
        for _ in self._until_over(self._before):
            self._before.add(self._windows.take())
        if not self._before.answered:
            raise NoData(
                "The counters of the sidecars could not be read. Nothing was changed.",
                remedy="Reading them through the API server requires the right 'get pods/proxy'.",
            )
        self._report(CallsCounted("Before", str(self._before)))
        if not (self._before.all or self._options.force):
            raise ManualActionRequired(
                f"No calls were seen in {watch_s:g} s to judge the change by. Nothing was changed.",
                remedy="Send traffic, watch longer, or continue without judgement: force=True (--force).",
            )

    def after_wave(self, steps: Sequence[Step]) -> None:
        """Judge a wave that restarted pods; other waves pass.

        Raises ``GateFailed`` if calls are worse than before the change.
        """
        if any(step.wave for step in steps):
            self.judge(", ".join(step.title for step in steps))

    def judge(self, wave: str) -> None:
        """Watch the effect of a wave, and raise ``GateFailed`` if calls are worse than before."""
        clock = self._options.clock
        self._report(WatchStarted(wave, self._options.watch_s))
        for until_s in self._until_over(self._wave):
            self._look()
            self._require_as_before(over=clock.now() >= until_s)
        self._require_as_before(over=True, patient=False)
        with self._lock:
            self._report(CallsCounted("After", str(self._wave)))
            self._wave = Tally()

    def _until_over(self, tally: Tally) -> Iterator[float]:
        """Yield the end of each look; extend the time while no counters can be read."""
        clock = self._options.clock
        until_s = clock.now() + self._options.watch_s
        while clock.now() < until_s or (tally.is_blind and clock.now() < until_s + PATIENCE_S):
            clock.sleep(LOOK_S)
            yield until_s

    def _require_as_before(self, *, over: bool, patient: bool = True) -> None:
        """Raise ``GateFailed`` if calls are worse.

        A lack of calls is significant only at the end, and only if counters could be read.
        """
        looks = math.ceil(self._options.watch_s / LOOK_S)
        with self._lock:
            is_known = self._wave.all or (over and not (patient and self._wave.is_blind))
            worse = trouble(self._before, self._wave, looks=looks) if is_known else ""
            if over and not worse and self._wave.answered == self._wave.asked:
                worse = silenced(self._before, self._wave) or vanished(self._before, self._wave)
        if worse:
            self._report(CallsGotWorse(worse))
            raise GateFailed(worse, remedy="Check the pods of that wave and their sidecars, then continue.")

    def _look(self) -> None:
        with self._lock:
            try:
                self._wave.add(self._windows.take())
            except MeshkitError:
                return

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()


def apply_gated(
    plan: Plan,
    cluster: Cluster,
    options: TrafficGateOptions,
    *,
    progress: OnEvent = noop,
    why: str = "",
    undo_alone: bool = True,
) -> Change:
    """Apply a plan, and judge the calls of its mesh after each wave of restarts.

    A plan without restarts is judged once at the end. If calls are worse, the change is undone and
    ``ChangeFailed`` is raised; if undoing it alone is useless (``undo_alone`` is false), it stays and
    ``GateHalted`` is raised. A mesh without proxies has no calls to judge.
    """
    rights.require(cluster.api, RIGHTS)
    try:
        gate = Gate.of(cluster, plan.mesh, options, progress=progress)
    except NoData:
        return apply_steps(plan, cluster, progress=progress, why=why)
    gate.measure()

    def judge(steps: Sequence[Step]) -> None:
        try:
            gate.after_wave(steps)
        except GateFailed as worse:
            raise worse if undo_alone else GateHalted(worse.message, remedy=worse.remedy) from worse

    with gate:
        change = apply_steps(plan, cluster, progress=progress, why=why, judge=judge)
        try:
            if not restarts(plan):
                gate.judge(plan.what)
        except GateFailed as worse:
            if not undo_alone:
                raise GateHalted(worse.message, remedy=worse.remedy) from worse
            progress(UndoStarted("it", worse.message))
            raise taken_back(change, cluster, worse) from worse
    return change


def restarts(plan: Plan) -> bool:
    """Whether a plan restarts pods."""
    return any(one.step.wave for one in plan.steps)


def taken_back(change: Change, cluster: Cluster, trouble: MeshkitError) -> MeshkitError:
    """Undo a change because of an error, and return the error to raise."""
    try:
        undo_steps(change.id, cluster)
    except MeshkitError as second:
        return ManualActionRequired(
            f"{trouble.message} The change could not be undone: {second.message}",
            remedy=f"Resolve this by hand, then run 'meshkit undo {change.id}'.",
        )
    return ChangeFailed(
        f"{trouble.message} The change was undone.", remedy=trouble.remedy, change_id=change.id, undone=True
    )
