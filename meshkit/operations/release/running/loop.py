"""The control loop of a release: measure, judge, act; its state is in the journal, so any process can resume.

Within a step, the intention is journaled first, then the weights are written, and the step's clock starts
once the measured share agrees. A kill at any point leaves either the old or the new weights, and the journal
says which were intended. Every iteration first compares the two: if someone else has changed the weights, the
release stops and leaves them alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshkit.decide.ladder import agreeing, next_step, weights, whole_share
from meshkit.decide.rollouts.baseline_meter import BaselineMeter
from meshkit.decide.rule import judge
from meshkit.decide.sample_windows import SampleWindow
from meshkit.errors import (
    BrokenJournal,
    ChangedByOthers,
    ClusterError,
    Conflict,
    ManualActionRequired,
    MeshkitError,
    NoData,
    Rejected,
    UnknownName,
)
from meshkit.facts import ArmCounts, Samples
from meshkit.observe.counters import Counters, Observer, window
from meshkit.operations.clock import Clock
from meshkit.operations.release.baseline import enough, short_of
from meshkit.operations.release.edge.places import place_of
from meshkit.operations.release.evidence_bundle.bundle import seal
from meshkit.operations.release.evidence_bundle.replay import evidence_of, progress_of, yardstick_of
from meshkit.operations.release.evidence_bundle.secret_texts import SecretTexts
from meshkit.operations.release.gates import waiting
from meshkit.operations.release.gates.keeper import Gatekeeper
from meshkit.operations.release.notices.announcer import Announcer
from meshkit.operations.release.notices.notice import first_notice, lost_notice, notice_of
from meshkit.operations.release.notices.webhook import Post, post
from meshkit.operations.release.restoring.lost_journal import lost_meanwhile
from meshkit.operations.release.route import route_of, target_of
from meshkit.operations.release.running.left_weights import take_up_weights
from meshkit.operations.release.running.permission import ALONE, Permission
from meshkit.operations.release.running.windows import WindowMaker
from meshkit.operations.release.state.fold import DECIDED, after, begin_record, fold
from meshkit.operations.release.state.model import ReleaseState, Status
from meshkit.operations.release.weights import WeightWriters

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.cluster.lock import Lock
    from meshkit.operations.release.commands import Approval, Mailbox


class Runner:
    """Run one release to its end; the caller holds the lock."""

    def __init__(
        self,
        state: ReleaseState,
        cluster: Cluster,
        *,
        observer: Observer,
        clock: Clock,
        journal: Journal,
        lock: Lock,
        mailbox: Mailbox,
        on_look: Callable[[ReleaseState], None],
        permission: Permission = ALONE,
        posting: Post = post,
    ) -> None:
        self.state = state.recent()
        self._cluster = cluster
        self._observer, self._clock = observer, clock
        self._journal, self._lock, self._mailbox = journal, lock, mailbox
        self._on_look = on_look
        self._permission = permission
        release = state.release
        route = route_of(state.route)
        edges = [place_of(record) for record in state.edges]
        routes = [route, *(edge.route for edge in edges)]
        self._weights = WeightWriters(cluster.api, lock, routes, release, state.additions)
        self._found_weights = [state.found_weights, *(edge.weights for edge in edges)]
        self._managed_fields = [state.managed_fields, *(edge.managed_fields for edge in edges)]
        self._target = target_of(release, route)
        self._evidence = evidence_of(state)
        self._meter = BaselineMeter(release)
        self._windows = WindowMaker(state, cluster)
        self._gates = Gatekeeper(state, cluster, posting=posting)
        self._announcer = Announcer(state, cluster, posting=posting)
        self._secrets = SecretTexts(release, cluster)
        self._in_doubt = False

    def run(self) -> ReleaseState:
        """Iterate until the release has ended; raise ``ReleaseLost`` if its journal is deleted meanwhile."""
        for next_look_s in self.turns():
            self._clock.sleep(next_look_s - self._clock.now())
        return self.state

    def turns(self) -> Iterator[float]:
        """Take one turn for each item, until the release has ended; an item is the time of the next turn.

        Raises what ``run`` raises.
        """
        self._announcer.collect(first_notice(self.state))
        try:
            yield from self._iterate()
        except MeshkitError as error:
            lost = None
            if isinstance(error, ClusterError | UnknownName):
                lost = lost_meanwhile(self.state, self._cluster, self._journal, self._mailbox)
            if not isinstance(error, Conflict):  # Another process runs it now.
                said = self._secrets.text(str(lost or error))
                self._announcer.collect(lost_notice(self.state, said, self._clock.now()))
            self._close()
            raise lost or error from error
        self._close()

    def finish(self, result: Status, sentences: tuple[str, ...]) -> None:
        """End the release as its train has decided, whatever its own verdict.

        A call that was interrupted, or failed, is completed by the next one.
        """
        self._renew()
        self._read_again()
        if self.state.ended:
            return
        if not self.state.decided:
            self._record(DECIDED, result=result)
        if result == "promoted":
            self._end(result, sentences)
            return
        expected_percent = self.state.asked_percent if result == "undecided" else None
        try:
            self._restore(result, sentences, expected_percent)
        except ChangedByOthers as found:
            self._leave_alone(found)

    def _close(self) -> None:
        """Tell the last notices, in bounded time."""
        self._gates.close()
        with suppress(MeshkitError):  # The release has ended, whether or not these are kept.
            for problem in self._announcer.close(self.state):
                self._note(problem)

    def _iterate(self) -> Iterator[float]:
        try:
            before: Counters | None = None
            while not self.state.ended:
                before = self._turn(before)
                if not self.state.ended:
                    yield self._next_look_s
        except ChangedByOthers as found:
            self._leave_alone(found)
        except ManualActionRequired as error:
            self._note(str(error))
            raise

    def _leave_alone(self, found: ChangedByOthers) -> None:
        """End the release with the weights that someone else has set."""
        asked = f"the release had set {self.state.asked_percent:g} %"
        tidied = self._weights.tidy()
        left = "Only the release's own rule was removed." if tidied else "Nothing more was written."
        self._end(
            "undecided",
            (
                f"Someone else changed {found.where}: {found.message}, {asked}.",
                f"{left} Correct the weights, then run the release again.",
            ),
        )

    def _turn(self, before: Counters | None) -> Counters | None:
        """Run one iteration, whatever the cluster answers, and return the counters for the next window."""
        self._next_look_s = self._clock.now() + self.state.release.look_s
        try:
            counters = self._looked(before)
            if not self.state.ended:
                for problem in self._announcer.tell(self.state):
                    self._note(problem)
            return counters
        except ClusterError as error:
            if not may_pass(error) or self._elapsed_s() > self.state.release.deadline_s:
                raise
            self._in_doubt = True
            return before

    def _looked(self, before: Counters | None) -> Counters | None:
        """Obey commands, measure and judge once."""
        self._renew()
        if self._in_doubt:
            self._read_again()
        take_up_weights(self.state, self._weights)
        self._obey()
        if self.state.ended:
            return before
        try:
            counters = self._observer.counters(self._cluster, self._target).following(before)
        except NoData as error:
            self._hold(str(error))
            return before
        if before is not None:
            self._measure(before, counters)
        return counters

    def _renew(self) -> None:
        try:
            self._lock.renew()
        except Rejected as error:
            if error.status != 404:
                raise
            self._lock.create_again()

    def _measure(self, before: Counters, counters: Counters) -> None:
        """Judge the window between two readings; hold if it cannot be true."""
        try:
            samples = self._windows.counted(window(before, counters), self.state)
            look = self._windows.look_of(samples, self.state)
        except NoData as error:
            self._hold(str(error))
            return
        self._look(samples, look)

    def _hold(self, reason: str) -> None:
        """Judge a window in which nothing could be measured."""
        reason = self._secrets.text(reason)
        self._note(reason)
        samples = _no_samples(self.state, self._clock.now())
        self._look(samples, replace(self._windows.look_of(samples, self.state), refused=reason.rstrip(".")))

    def _look(self, samples: Samples, look: SampleWindow) -> None:
        """Judge one window, journal it, and do what the verdict says.

        The window is judged as the journal has it, so that the verdict can be recomputed from there.
        """
        state, release = self.state, self.state.release
        now, at_s = samples.end_s, self._clock.now()
        look = SampleWindow.from_record(look.as_record())
        self._evidence = self._evidence.updated(look)
        look = replace(look, refused=self._evidence.refused)
        verdict = judge(self._evidence, release, progress_of(state, look, at_s))
        self._record("look", at_s=at_s, look=look.as_record(), verdict=verdict.as_record())
        self._on_look(self.state)
        if verdict.action == "rollback" and release.on_harm == "freeze":
            if not state.frozen:
                self._record("frozen")
        elif verdict.action == "rollback":
            self._give_back("rolled_back", verdict.told)
        elif verdict.action == "undecided" and release.at_deadline == "hold":
            self._record("hold")
        elif verdict.action == "undecided":
            self._give_back("undecided", verdict.told, expected_percent=state.asked_percent)
        elif verdict.action == "promote":
            step = next_step(release.ladder, state.step)
            self._promote(verdict.told) if step is None else self._shift_if_open(step)
        elif look.refused:
            return
        elif state.baseline is None:
            self._measure_baseline(samples)
        elif state.step < 0:
            self._shift_if_open(0)
        elif state.agreed_s is None:
            self._compare_share(now)

    def _measure_baseline(self, samples: Samples) -> None:
        """Measure the stable version; once that is enough, fix the thresholds and take the first step."""
        try:
            baseline = self._meter.measured(samples, self._windows.pods)
        except ValueError:
            self._note("The proxies' latency buckets changed, so the baseline is measured again.")
            self._meter = BaselineMeter(self.state.release)
            return
        if baseline is None:
            return
        self._record("baseline", **baseline.as_record())
        self._evidence = self._evidence.against(yardstick_of(self.state))
        if beside := self.state.beside_percent:
            self._note(
                f"Other rules send {beside:.1f} % of the requests to {self.state.release.canary}, whatever"
                " the weights: the measured shares contain these."
            )
        self._shift_if_open(0)

    def _compare_share(self, now: float) -> None:
        """Start the step's clock once the measured share agrees with the requested one.

        Metrics do not tell rules apart. So the share that other rules give to the canary, as measured before
        the first step, is added to the one that its weight gives.
        """
        looks, beside = self.state.step_looks, self.state.beside_percent
        if self.state.release.lead_at(self.state.step):
            self._begin_stage(looks, now)
            return
        asked = whole_share(self.state.asked_percent, beside)
        earlier = whole_share(self.state.before_percent, beside)
        counts = [(look.stable.requests + look.canary.requests, look.canary.requests) for look in looks]
        or_more = bool({"testers", "cohort"} & set(self.state.added))
        if agreed := agreeing(counts, asked, earlier, or_more=or_more):
            requests, canary = agreed
            self._record("agreed", at_s=now, measured_percent=100 * canary / requests, requests=requests)

    def _begin_stage(self, looks: Sequence[SampleWindow], now: float) -> None:
        """Start the clock of a stage without a share, once the canary gets requests."""
        canary = sum(look.canary.requests for look in looks)
        requests = canary + sum(look.stable.requests for look in looks)
        if canary:
            self._record("agreed", at_s=now, measured_percent=100 * canary / requests, requests=requests)

    def _shift_if_open(self, step: int) -> None:
        """Take a step, unless the release is held or a gate in front of the step has yet to be opened."""
        if self.state.held:
            return
        shut = waiting.closed(self.state.gates, self.state.release, step)
        reached = {each.gate.name for each in self.state.gates}
        for gate in shut:
            if gate.name not in reached:
                self._record(waiting.GATE, gate=gate.name, answer="waits")
        if not shut and self._permission.may_shift(self.state, step):
            self._shift(step)

    def _shift(self, step: int) -> None:
        """Move the weights to a step: first journal the change, then write it."""
        release = self.state.release
        asked, pods = release.ladder[step], {}
        if release.at_once and step == len(release.ladder) - 1:
            ready = self._windows.ready()
            if self.state.wanted != "promote" and not enough(ready):
                self._note(short_of(ready, release))
                return
            pods = {"ready": list(ready)}
        change = self._weights.difference(*weights(asked))
        self._record("weights", step=step, asked_percent=asked, change=change, **pods)
        self._move(*weights(asked), expected_percent=self.state.before_percent)

    def _move(self, stable: int, canary: int, expected_percent: float | None) -> None:
        """Write weights, with the additions that the release has at its step."""
        self._weights.move(stable, canary, expected_percent, added=self.state.added)

    def _obey(self) -> None:
        """Read the last command, and carry it out if it is new or still pending."""
        letters = self._mailbox.read()
        command = letters.command
        if letters.change_id is None:
            self._mailbox.open(begin_record(self.state))
        if command and command.command_id != self.state.last_command:
            self._record("command", command_id=command.command_id, verb=command.verb, who=command.who)
        if self.state.wanted == "rollback":
            who = next(h.who for h in reversed(self.state.events) if h.verb == "rollback")
            self._give_back("rolled_back", (f"Rolled back by {who}.",))
        elif self.state.wanted == "end":
            who = next(h.who for h in reversed(self.state.events) if h.verb == "promote")
            self._promote((f"Promoted by {who} although it is worse.", *self.state.sentences))
        elif self.state.wanted == "promote":
            last = len(self.state.release.ladder) - 1
            if self._permission.may_shift(self.state, last):
                self._shift(last)
        else:
            self._ask_gates(letters.approvals)

    def _ask_gates(self, approvals: Mapping[str, Approval]) -> None:
        """Journal the answers to the gates that are waited for; a no gives the requests back."""
        for record in self._gates.records(self.state, approvals, self._clock.now()):
            self._record(**record)
        for problem in self._gates.new_problems():
            self._note(problem)
        if told := waiting.giving_back(self.state.gates):
            self._give_back("rolled_back", told)

    def _read_again(self) -> None:
        """Read the weights after a request without an answer, because it may have taken effect."""
        state = fold(self._journal.records(self.state.change_id))
        self._evidence = evidence_of(state)
        self.state = state.recent()
        self._in_doubt = False

    def _promote(self, sentences: tuple[str, ...]) -> None:
        if self._permission.may_end(self.state, "promoted", sentences):
            self._end("promoted", sentences)

    def _give_back(
        self, result: Status, sentences: tuple[str, ...], *, expected_percent: float | None = None
    ) -> None:
        if self._permission.may_end(self.state, result, sentences):
            self._restore(result, sentences, expected_percent)

    def _restore(self, result: Status, sentences: tuple[str, ...], expected_percent: float | None) -> None:
        """End the release with the original weights, so that the stable version serves all requests."""
        self._weights.move_each(self._found_weights, expected_percent=expected_percent)
        self._end(result, sentences, self.state.found_percent)

    def _end(self, result: Status, sentences: tuple[str, ...], percent: float | None = None) -> None:
        """Hand the fields back, then journal the end.

        ``percent`` is the final share of the canary; None leaves the requested share.
        """
        self._weights.tidy()
        self._weights.hand_back(self._managed_fields)
        percent = self.state.asked_percent if percent is None else percent
        told = [self._secrets.text(sentence) for sentence in sentences]
        end = {"state": result, "result": result, "sentences": told, "percent": percent}
        self._record("end", **end)
        with suppress(MeshkitError):  # The release has ended, whether or not these are kept.
            self._mailbox.close({"kind": "end", "at_s": self.state.ended_s, **end})
            seal(self.state.change_id, self._journal)
        self._on_look(self.state)

    def _note(self, text: str) -> None:
        """Journal a message for people, unless it repeats the last one."""
        text = self._secrets.text(text)
        if not self.state.events or self.state.events[-1].text != text:
            self._record("note", text=text)

    def _record(self, kind: str, **fields: Any) -> None:
        writer = self._lock.transitions
        record = self._secrets.record({"kind": kind, "at_s": self._clock.now(), "writer": writer, **fields})
        self._journal.append(self.state.change_id, record)
        # Fold what a reader gets back from JSON: lists instead of tuples, and rounded numbers.
        self.state = after(self.state, json.loads(json.dumps(record))).recent()
        self._announcer.collect(notice_of(record, self.state))

    def _elapsed_s(self) -> float:
        return self.state.elapsed_s(self._clock.now())


def _no_samples(state: ReleaseState, now: float) -> Samples:
    """Return an empty window, for when nothing could be measured."""
    since = state.looks[-1].look.end_s if state.looks else now
    release = state.release
    return Samples(since, now, {release.stable: ArmCounts(), release.canary: ArmCounts()})


def may_pass(error: ClusterError) -> bool:
    """Whether an error is temporary: no answer, or an error of the server rather than of the request."""
    if isinstance(error, BrokenJournal):
        return False
    return error.status is None or error.status == 429 or error.status >= 500
