"""The traffic gate: what the calls in a mesh become while a change goes through it wave by wave.

The sidecars' own counters are read again and again, also while pods are replaced, so that what a proxy counts
is known before it ends. At the end of a wave the calls since its beginning are compared with those before the
change; where they are worse the gate raises, and whoever made the change takes it back. No calls are no
success: without any before the change a person must accept that nothing is judged.
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
from meshkit.observe.callers import Calls, Reading, between, read_callers
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
"""Calls that may go wrong without blame: retries and restarts lose none, other causes may."""
CHANCE = 1e-3
"""How often a wave that changes nothing may be blamed: one in a thousand."""
PATIENCE_S = 30.0
"""How much longer than asked for one looks where counters cannot be read: a busy API server answers late."""
ENOUGH = 20
"""Calls in a window, after which none in the next is no accident."""
WATCH_S = 10.0
RIGHTS = (Right("list", "", "pods"), Right("get", "", "pods/proxy"))
"""What reading the sidecars' counters takes."""
_BAD: dict[How, str] = {
    "failed": "got no answer",
    "refused": "were refused for want of an identity",
    "plain": "went in plain text",
}


@dataclass(frozen=True)
class TrafficGateOptions:
    """How the waves of a change are judged.

    Calls are counted for ``watch_s`` seconds before the change, and again after each wave. ``force`` goes on
    where no call was seen before, which judges nothing.
    """

    watch_s: float = WATCH_S
    force: bool = False
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        if not 0 < self.watch_s <= 3600:
            raise BadInput("watch_s", f"{self.watch_s:g} is not between 0 and 3600.", remedy="Take 10 to 60.")


class CallWindows:
    """Calls between one reading and the next. ``read`` gives the sidecars' counters now."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read
        self._before = read()

    def take(self) -> Calls:
        """What happened since the last reading."""
        after = self._read()
        calls = between(self._before, after)
        self._before = after
        return calls

    def during(self, seconds: float, clock: Clock) -> Iterator[Calls]:
        """A window every LOOK_S seconds, until the time is over."""
        until_s = clock.now() + seconds
        while (left_s := until_s - clock.now()) > 0:
            clock.sleep(min(LOOK_S, left_s))
            yield self.take()


@dataclass
class Tally:
    """Calls by how they ended, and by link; how often sidecars were asked for them, and answered."""

    links: Counter[Link] = field(default_factory=Counter)
    asked: int = 0
    answered: int = 0

    def add(self, calls: Calls) -> None:
        """Count the calls of one look."""
        self.links.update(calls.in_window)
        self.asked += calls.asked
        self.answered += calls.answered

    @property
    def is_blind(self) -> bool:
        """Whether no call was seen, and not every sidecar showed its counters: nothing follows from that."""
        return not self.all and self.answered < max(1, self.asked)

    def count(self, *how: How) -> int:
        """Calls that ended so."""
        return sum(n for link, n in self.links.items() if link.how in how)

    @property
    def all(self) -> int:
        """All calls: the servers count those that they answered or refused, the callers those that failed."""
        return self.links.total()

    def by_namespace(self) -> dict[str, Tally]:
        """The calls of each namespace's servers."""
        found: dict[str, Tally] = {}
        for link, n in self.links.items():
            found.setdefault(link.server.partition("/")[0], Tally()).links[link] += n
        return found

    def servers(self, how: How) -> str:
        """Where calls ended so, the busiest first."""
        found: Counter[str] = Counter()
        for link, n in self.links.items():
            if link.how == how:
                found[link.server] += n
        return ", ".join(server for server, _ in found.most_common(3))

    def __str__(self) -> str:
        secured = self.count("mutual_tls")
        return f"{secured:,} over mutual TLS, " + ", ".join(
            f"{self.count(how):,} {what}" for how, what in _BAD.items()
        )


def trouble(before: Tally, after: Tally, *, looks: int = 1) -> str:
    """What has become worse in any namespace's servers, as a sentence; empty where nothing has.

    ``looks`` is how often this is asked of one wave: CHANCE is that of the whole wave.
    """
    if before.all and not after.all:
        return f"No call is seen any more; there were {before.all:,} before."
    served, serving = before.by_namespace(), after.by_namespace()
    chance = CHANCE / (looks * len(_BAD) * max(1, len(serving)))
    for namespace, now in serving.items():
        was = served.get(namespace, Tally())
        for how in _BAD:
            if _rose(how, was, now, chance):
                return _risen(how, was, now)
    return ""


def silenced(before: Tally, after: Tally) -> str:
    """A namespace whose servers had calls and have none at all any more; known only after a whole window."""
    serving = after.by_namespace()
    for namespace, was in before.by_namespace().items():
        if was.all >= ENOUGH and namespace not in serving:
            return f"No call is seen any more in {namespace}; there were {was.all:,} before."
    return ""


def _rose(how: How, was: Tally, now: Tally, chance: float) -> bool:
    bad = now.count(how)
    return bad > TOLERATED and rise_probability(was.count(how), was.all, bad, now.all) <= chance


def _risen(how: How, was: Tally, now: Tally) -> str:
    bad = now.count(how)
    share_before = was.count(how) / was.all if was.all else 0.0
    return (
        f"{bad:,} of {now.all:,} calls {_BAD[how]} ({bad / now.all:.1%}, before {share_before:.1%}),"
        f" at {now.servers(how)}."
    )


class Gate:
    """A gate for one change. In a ``with`` block calls are counted in the background too."""

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
        """A gate for all of a mesh's calls. Raises ``NoData`` where no pod has a sidecar."""
        return cls(lambda: read_callers(cluster, mesh), options, progress=progress)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def measure(self) -> None:
        """Count the calls before the change. Raises ``ManualActionRequired`` where there are none, unless
        accepted, and ``NoData`` where no sidecar shows its counters.
        """
        watch_s = self._options.watch_s
        self._report(BaselineStarted(watch_s))
        for _ in self._until_over(self._before):
            self._before.add(self._windows.take())
        if not self._before.answered:
            raise NoData(
                "None of the sidecars showed its counters. Nothing was changed.",
                remedy="They are read through the API server: that takes the right 'get pods/proxy'.",
            )
        self._report(CallsCounted("Before", str(self._before)))
        if not (self._before.all or self._options.force):
            raise ManualActionRequired(
                f"No call was seen in {watch_s:g} s, so nothing could be judged. Nothing was changed.",
                remedy="Send traffic, watch longer, or go on with nothing judged: force=True (--force).",
            )

    def after_wave(self, steps: Sequence[Step]) -> None:
        """Judge a wave in which pods were made anew; other steps are let through. Raises ``GateFailed``
        where calls are worse than before the change.
        """
        if any(step.wave for step in steps):
            self.judge(", ".join(step.title for step in steps))

    def judge(self, wave: str) -> None:
        """Watch what a wave has changed, and raise ``GateFailed`` where calls are worse than before."""
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
        """The time for each look, and longer while nothing can be read; yields when it was to be over."""
        clock = self._options.clock
        until_s = clock.now() + self._options.watch_s
        while clock.now() < until_s or (tally.is_blind and clock.now() < until_s + PATIENCE_S):
            clock.sleep(LOOK_S)
            yield until_s

    def _require_as_before(self, *, over: bool, patient: bool = True) -> None:
        """That no call has come is known only when the time is over, and from counters that were read."""
        looks = math.ceil(self._options.watch_s / LOOK_S)
        with self._lock:
            is_known = self._wave.all or (over and not (patient and self._wave.is_blind))
            worse = trouble(self._before, self._wave, looks=looks) if is_known else ""
            if over and not worse and self._wave.answered == self._wave.asked:
                worse = silenced(self._before, self._wave)
        if worse:
            self._report(CallsGotWorse(worse))
            raise GateFailed(worse, remedy="Look at the pods of that wave and their sidecars, then go on.")

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
    """Apply a plan, judging the calls of its mesh after each wave of restarts, or once at the end where
    nothing is restarted by it.

    Where they are worse than before, the change is taken back and ``ChangeFailed`` says so; where taking it
    back alone is of no use (``undo_alone`` is false), it stays and ``GateHalted`` is raised. A mesh without a
    proxy has no calls to judge.
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
    """Whether a plan makes pods anew."""
    return any(one.step.wave for one in plan.steps)


def taken_back(change: Change, cluster: Cluster, trouble: MeshkitError) -> MeshkitError:
    """Undo a change because of a trouble, and the error that says how that went."""
    try:
        undo_steps(change.id, cluster)
    except MeshkitError as second:
        return ManualActionRequired(
            f"{trouble.message} It could not be taken back: {second.message}",
            remedy=f"Resolve this by hand, then run 'meshkit undo {change.id}'.",
        )
    return ChangeFailed(
        f"{trouble.message} It was taken back.", remedy=trouble.remedy, change_id=change.id, undone=True
    )
