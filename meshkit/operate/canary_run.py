"""The loop of a release: look, judge, act. Everything it knows is in the journal, so any other process can
go on.

Order within a step: the intention is journaled, then the weights are written, then the measured share must
agree before the step's clock starts. A kill at any point leaves either the old weights or the new ones, and
the journal says which were meant.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from meshkit.decide.baseline import Baseline
from meshkit.decide.evidence import Evidence
from meshkit.decide.ladder import next_step, share_agrees, weights
from meshkit.decide.looks import ArmLook, Look
from meshkit.decide.verdict import Progress, judge
from meshkit.errors import Conflict, NeedsPerson, NoData, Rejected, TimedOut, Unreachable
from meshkit.facts import ArmCounts, Object, Samples
from meshkit.observe.counters import Counters, Observer, Target, window
from meshkit.operate.canary_fields import handed_back
from meshkit.operate.canary_route import Weights, route_object, weights_of
from meshkit.operate.canary_state import CanaryState, Status, after, baseline_record, fold
from meshkit.operate.clock import Clock

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.operate.canary_mailbox import Mailbox

MANAGER = "meshkit-canary"
"""The field manager of weights while a release runs."""
BASELINE_REQUESTS = 1000
"""Stable requests that fix the watched edges; with fewer, 100 after half a minute have to do."""
SHOWN_S = 10.0
"""The quantiles that are shown cover this many seconds."""

_AGREEMENT_LOOKS = (1, 5)
_WRITE_ATTEMPTS = 5


class ChangedByOthers(Exception):
    """The weights are neither what the release wrote nor what it found."""


class Runner:
    """Runs one release to its end. The lock is held by the caller."""

    def __init__(
        self,
        state: CanaryState,
        cluster: Cluster,
        *,
        observer: Observer,
        clock: Clock,
        journal: Journal,
        lock: Lock,
        mailbox: Mailbox,
        on_look: Callable[[CanaryState], None],
    ) -> None:
        self.state = state
        self._api = cluster.api
        self._cluster = cluster
        self._observer, self._clock = observer, clock
        self._journal, self._lock, self._mailbox = journal, lock, mailbox
        self._on_look = on_look
        self._route = route_object(state.mesh, state.release)
        release = state.release
        self._target = Target(
            release.namespace, release.service, release.port, (release.stable, release.canary)
        )
        self._evidence = _evidence_of(state)
        self._before_first_weight = ArmCounts()
        self._recent: deque[Samples] = deque()
        self._in_doubt = False

    def run(self) -> CanaryState:
        """Look until the release has ended."""
        try:
            self._take_up()
            before: Counters | None = None
            while not self.state.ended:
                before = self._turn(before)
                if not self.state.ended:
                    self._clock.sleep(self._next_look_s - self._clock.now())
        except ChangedByOthers as found:
            self._end(
                "undecided", (str(found), "Nothing more was written; settle it, then run the release again.")
            )
        return self.state

    def _turn(self, before: Counters | None) -> Counters | None:
        """One look, whatever the cluster answers. Returns the counters that the next window starts from."""
        self._next_look_s = self._clock.now() + self.state.release.look_s
        try:
            self._lock.renew()
            if self._in_doubt:
                self._read_again()
            self._obey()
            if self.state.ended:
                return before
            counters = self._counters()
            if counters is None:
                self._look(_no_samples(self.state, self._clock.now()))
                return before
            if before is not None:
                self._look(window(before, counters))
            return counters
        except (Unreachable, TimedOut):
            if self._elapsed_s() > self.state.release.deadline_s:
                raise
            self._in_doubt = True
            return before

    def _counters(self) -> Counters | None:
        try:
            return self._observer.counters(self._cluster, self._target)
        except NoData as error:
            self._note(str(error))
            return None

    def _look(self, samples: Samples) -> None:
        """Judge one window, journal it, and do what the verdict says."""
        state, release = self.state, self.state.release
        now = samples.end_s
        try:
            look = self._look_of(samples)
        except NoData as error:
            self._note(str(error))
            look = self._look_of(_no_samples(state, now))
        self._evidence = self._evidence.updated(look)
        agreed = None if state.agreed_s is None else now - state.agreed_s
        progress = Progress(state.step, agreed, self._elapsed_s(), state.held, state.forced)
        verdict = judge(self._evidence, release, progress)
        self._record("look", look=look.as_record(), verdict=verdict.as_record())
        self._on_look(self.state)
        if verdict.action == "rollback":
            self._end("rolled_back", verdict.sentences)
        elif verdict.action == "undecided":
            self._end("undecided", verdict.sentences)
        elif verdict.action == "promote":
            step = next_step(release.steps, state.step)
            self._end("promoted", verdict.sentences) if step is None else self._shift(step)
        elif state.baseline is None:
            self._measure_baseline(samples)
        elif state.agreed_s is None:
            self._compare_share(now)

    def _look_of(self, samples: Samples) -> Look:
        state, release = self.state, self.state.release
        self._recent.append(samples)
        while self._recent[0].end_s <= samples.end_s - SHOWN_S:
            self._recent.popleft()
        edges = state.baseline.edges_ms if state.baseline else ()
        arms = {
            version: ArmLook.of(samples.arms[version], edges, self._shown(version))
            for version in (release.stable, release.canary)
        }
        return Look(
            start_s=samples.start_s,
            end_s=samples.end_s,
            step=state.step,
            asked_percent=state.asked_percent,
            agreed=state.agreed_s is not None,
            warming=samples.start_s < state.shifted_s + release.warm_up_s,
            stable=arms[release.stable],
            canary=arms[release.canary],
        )

    def _shown(self, version: str) -> ArmCounts:
        """The counts of the last seconds, as far back as the buckets are the same."""
        total = ArmCounts()
        for samples in reversed(self._recent):
            try:
                total += samples.arms[version]
            except ValueError:
                break
        return total

    def _measure_baseline(self, samples: Samples) -> None:
        """Gather stable's histogram; when it is enough, freeze it and take the first step."""
        self._before_first_weight += samples.arms[self.state.release.stable]
        requests = self._before_first_weight.requests
        if requests < BASELINE_REQUESTS and (requests < 100 or self._elapsed_s() < 30):
            return
        baseline = Baseline(self._before_first_weight.latency_ms)
        self._record("baseline", latency_ms=baseline_record(baseline), requests=requests)
        self._evidence = Evidence.start(baseline, self.state.release.margins)
        if not self.state.held:
            self._shift(0)

    def _compare_share(self, now: float) -> None:
        """Start the step's clock once the measured share is the asked one."""
        looks = self.state.step_looks
        for length in (*_AGREEMENT_LOOKS, len(looks)):
            canary = sum(look.canary.requests for look in looks[-length:])
            requests = canary + sum(look.stable.requests for look in looks[-length:])
            if share_agrees(requests, canary, self.state.asked_percent, self.state.before_percent):
                self._record("agreed", at_s=now, measured_percent=100 * canary / requests)
                return

    def _shift(self, step: int) -> None:
        """Move the weights to a step: journaled first, then written."""
        asked = self.state.release.steps[step]
        self._record("weights", step=step, asked_percent=asked)
        self._write(*weights(asked), expected=self.state.before_percent)

    def _obey(self) -> None:
        """Take the last command, if it is new, and do what a person still wants."""
        command = self._mailbox.last()
        if command and command.command_id != self.state.last_command:
            self._record("command", command_id=command.command_id, verb=command.verb, who=command.who)
        if self.state.wanted == "rollback":
            who = self.state.happenings[-1].who
            self._end("rolled_back", (f"Rolled back by {who}." if who else "Rolled back by a person.",))
        elif self.state.wanted == "promote":
            self._shift(len(self.state.release.steps) - 1)

    def _read_again(self) -> None:
        """After a request that got no answer: it may have been carried out, so the cluster is asked."""
        self.state = fold(self._journal.records(self.state.change_id))
        self._evidence = _evidence_of(self.state)
        self._take_up()
        self._in_doubt = False

    def _take_up(self) -> None:
        """Make the weights what the journal says they should be, after a runner that was killed."""
        state = self.state
        if state.ended:
            return
        now = self._read_weights()[1].canary_percent
        if _same(now, state.asked_percent) or state.wanted == "rollback":
            return
        if state.step >= 0 and state.agreed_s is None and _same(now, state.before_percent):
            self._write(*weights(state.asked_percent), expected=state.before_percent)
            return
        verdict = state.verdict
        if verdict is None or verdict.action != "rollback":
            raise ChangedByOthers(self._changed(now))

    def _write(self, stable: int, canary: int, expected: float | None = None) -> None:
        """Write both weights. With ``expected``, only over this share (percent): else someone else set
        another.
        """
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            _, found = self._read_weights()
            if expected is not None and not _same(found.canary_percent, expected):
                if _same(found.canary_percent, 100 * canary / (stable + canary)):
                    return
                raise ChangedByOthers(self._changed(found.canary_percent))
            if self._patched(found.patch(stable, canary), last=attempt == _WRITE_ATTEMPTS):
                return

    def _hand_back(self) -> None:
        """Give the fields back to whom they belonged. A write of its own: it changes no value."""
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            obj, found = self._read_weights()
            current = obj["metadata"].get("managedFields") or []
            fields = handed_back(self.state.managed_fields, current, MANAGER)
            if fields == current or not fields:
                return
            test = {"op": "test", "path": "/metadata/resourceVersion", "value": found.resource_version}
            put = {"op": "replace", "path": "/metadata/managedFields", "value": fields}
            if self._patched([test, put], last=attempt == _WRITE_ATTEMPTS):
                return

    def _patched(self, operations: list[dict[str, Any]], *, last: bool) -> bool:
        """Whether the patch was taken; False when something it tests has changed and it may be tried
        again.
        """
        self._lock.renew()
        try:
            route = self._route
            self._api.json_patch(route.kind, route.name, route.namespace, operations, manager=MANAGER)
        except (Conflict, Rejected) as error:
            if last or error.status not in (409, 422):
                raise
            return False
        return True

    def _read_weights(self) -> tuple[Object, Weights]:
        obj = self._api.get(self._route.kind, self._route.name, self._route.namespace)
        if obj is None:
            raise NeedsPerson(
                f"{self._route} is gone in the middle of the release.",
                remedy="Restore it (meshkit undo, or apply it again), then run the release again.",
            )
        return obj, weights_of(obj, self.state.release)

    def _end(self, result: Status, sentences: tuple[str, ...]) -> None:
        """The last writes: weights as they were after a rollback, fields handed back, the end journaled."""
        percent = self.state.asked_percent
        if result == "rolled_back":
            self._write(*self.state.found_weights)
            percent = self.state.found_percent
        self._hand_back()
        self._record("end", state=result, result=result, sentences=list(sentences), percent=percent)
        self._on_look(self.state)

    def _note(self, text: str) -> None:
        """Journal a line for people, once until another one comes."""
        if not self.state.happenings or self.state.happenings[-1].text != text:
            self._record("note", text=text)

    def _record(self, kind: str, **fields: Any) -> None:
        record: Mapping[str, Any] = {"kind": kind, "at_s": self._clock.now(), **fields}
        self._journal.append(self.state.change_id, record)
        # Folded from what a reader will get back: lists, not tuples, and rounded numbers.
        self.state = after(self.state, json.loads(json.dumps(record)))

    def _elapsed_s(self) -> float:
        return self._clock.now() - self.state.deadline_from_s

    def _changed(self, percent: float) -> str:
        return (
            f"Someone else changed {self._route}: the canary gets {percent:g} %, "
            f"the release had asked for {self.state.asked_percent:g} %."
        )


def _evidence_of(state: CanaryState) -> Evidence:
    evidence = Evidence.start(state.baseline or Baseline(()), state.release.margins)
    for judged in state.looks:
        evidence = evidence.updated(judged.look)
    return evidence


def _no_samples(state: CanaryState, now: float) -> Samples:
    """A window in which nothing could be measured."""
    since = state.looks[-1].look.end_s if state.looks else now
    release = state.release
    return Samples(since, now, {release.stable: ArmCounts(), release.canary: ArmCounts()})


def _same(left: float, right: float) -> bool:
    return math.isclose(left, right, abs_tol=0.05)
