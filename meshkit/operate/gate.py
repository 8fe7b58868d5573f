"""The traffic gate: what the calls in a mesh become while a change goes through it wave by wave.

The sidecars' own counters are read again and again, also while pods are replaced, so that what a proxy counts
is known before it ends. At the end of a wave the calls since its beginning are compared with those before the
change; where they are worse the gate raises, and whoever made the change takes it back. No calls are no
success: without any before the change a person must accept that nothing is judged.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from meshkit.cluster.connect import Cluster
from meshkit.decide.exact import rise_probability
from meshkit.errors import BadInput, ChangeFailed, MeshkitError, NeedsPerson
from meshkit.observe.callers import Calls, How, Link, Reading, between, read_callers
from meshkit.operate.change import silent, undo
from meshkit.operate.clock import Clock, SystemClock
from meshkit.operate.planned import Change
from meshkit.planners.steps import RESTART_MANAGER, Step

LOOK_S = 2.0
TOLERATED_FAILED = 3
"""Requests that meshed callers may lose without blame: retries and restarts lose none, other causes may."""
CHANCE = 1e-3
"""A rise that chance brings less often than this is blamed on the change."""
WATCH_S = 10.0
Say = Callable[[str], None]
_BAD: dict[How, str] = {
    "failed": "got no answer",
    "refused": "were refused for want of an identity",
    "plain": "went in plain text",
}


@dataclass(frozen=True)
class Judging:
    """How the waves of a change are judged.

    Calls are counted for ``watch_s`` seconds before the change, and again after each wave. ``accept_quiet``
    goes on where no call was seen before, which judges nothing.
    """

    watch_s: float = WATCH_S
    accept_quiet: bool = False
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        if not 0 < self.watch_s <= 3600:
            raise BadInput("watch_s", f"{self.watch_s:g} is not between 0 and 3600.", remedy="Take 10 to 60.")


class Looks:
    """Calls between one look and the next. ``read`` gives the sidecars' counters now."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read
        self._before = read()

    def take(self) -> Calls:
        """What happened since the last look."""
        after = self._read()
        calls = between(self._before, after)
        self._before = after
        return calls

    def during(self, seconds: float, clock: Clock) -> Iterator[Calls]:
        """A look every LOOK_S seconds, until the time is over."""
        until_s = clock.now() + seconds
        while (left_s := until_s - clock.now()) > 0:
            clock.sleep(min(LOOK_S, left_s))
            yield self.take()


@dataclass
class Tally:
    """Calls by how they ended, and by link."""

    links: Counter[Link] = field(default_factory=Counter)

    def add(self, calls: Calls) -> None:
        """Count the calls of one look."""
        self.links.update(calls.in_window)

    def count(self, *how: How) -> int:
        """Calls that ended so."""
        return sum(n for link, n in self.links.items() if link.how in how)

    @property
    def all(self) -> int:
        """All calls: the servers count those that they answered or refused, the callers those that failed."""
        return self.links.total()

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


def trouble(before: Tally, after: Tally) -> str:
    """What has become worse, as a sentence; empty where nothing has."""
    if before.all and not after.all:
        return f"No call is seen any more; there were {before.all:,} before."
    for how, what in _BAD.items():
        bad, was = after.count(how), before.count(how)
        if bad <= TOLERATED_FAILED or rise_probability(was, before.all, bad, after.all) > CHANCE:
            continue
        share, share_before = bad / after.all, was / before.all if before.all else 0.0
        return (
            f"{bad:,} of {after.all:,} calls {what} ({share:.1%}, before {share_before:.1%}),"
            f" at {after.servers(how)}."
        )
    return ""


class Gate:
    """A gate for one change. In a ``with`` block calls are counted in the background too."""

    def __init__(
        self,
        read: Callable[[], Reading],
        judging: Judging,
        *,
        say: Say = silent,
    ) -> None:
        self._looks, self._judging, self._say = Looks(read), judging, say
        self._before, self._wave = Tally(), Tally()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic gate", daemon=True)

    @classmethod
    def of(cls, cluster: Cluster, mesh: str, judging: Judging, *, say: Say = silent) -> Self:
        """A gate for all of a mesh's calls. Raises ``NoData`` where no pod has a sidecar."""
        return cls(lambda: read_callers(cluster, mesh), judging, say=say)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def measure(self) -> None:
        """Count the calls before the change. Raises ``NeedsPerson`` where there are none, unless accepted."""
        watch_s = self._judging.watch_s
        self._say(f"Counting the calls before the change, {watch_s:g} s.")
        for calls in self._looks.during(watch_s, self._judging.clock):
            self._before.add(calls)
        self._say(f"Before: {self._before}.")
        if not (self._before.all or self._judging.accept_quiet):
            raise NeedsPerson(
                f"No call was seen in {watch_s:g} s, so nothing could be judged. Nothing was changed.",
                remedy="Send traffic, watch longer, or accept that nothing is judged: accept_quiet.",
            )

    def after_wave(self, steps: Sequence[Step]) -> None:
        """Judge a wave of restarts; other steps are let through. Raises ``ChangeFailed`` where calls are
        worse than before the change.
        """
        if any(step.manager == RESTART_MANAGER for step in steps):
            self.judge(", ".join(step.title for step in steps))

    def judge(self, wave: str) -> None:
        """Watch what a wave has changed, and raise ``ChangeFailed`` where calls are worse than before."""
        watch_s, clock = self._judging.watch_s, self._judging.clock
        self._say(f"Watching the calls after {wave}, {watch_s:g} s.")
        until_s = clock.now() + watch_s
        while (left_s := until_s - clock.now()) > 0:
            clock.sleep(min(LOOK_S, left_s))
            self._look()
            self._require_as_before(over=clock.now() >= until_s)
        with self._lock:
            self._say(f"After: {self._wave}.")
            self._wave = Tally()

    def _require_as_before(self, *, over: bool) -> None:
        """That no call has come is known only when the time is over."""
        with self._lock:
            worse = trouble(self._before, self._wave) if over or self._wave.all else ""
        if worse:
            self._say(worse)
            remedy = "Look at the pods of that wave and their sidecars, then go on."
            raise ChangeFailed(worse, remedy=remedy, change_id="", undone=False)

    def _look(self) -> None:
        with self._lock:
            try:
                self._wave.add(self._looks.take())
            except MeshkitError:
                return

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()


def taken_back(change: Change, cluster: Cluster, trouble: MeshkitError) -> MeshkitError:
    """Undo a change because of a trouble, and the error that says how that went."""
    try:
        undo(change.id, cluster)
    except MeshkitError as second:
        return NeedsPerson(
            f"{trouble.message} It could not be taken back: {second.message}",
            remedy=f"Settle this by hand, then run 'meshkit undo {change.id}'.",
        )
    return ChangeFailed(
        f"{trouble.message} It was taken back.", remedy=trouble.remedy, change_id=change.id, undone=True
    )
