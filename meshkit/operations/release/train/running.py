"""Run the releases of a train turn by turn in one process.

Each release has a runner of its own, which measures, judges and writes as for a release alone. The train is
what the runners ask for permission (permission.py):

- A step is taken once the verdict of every release allows it, in order: by a release once those before it
  stand there, which is when their measured share agrees.
- The end is decided by the train for all. It is journaled before any release ends, so a process that takes
  over completes it. Releases end in order if they are promoted, and in the reverse order if they are given
  back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from meshkit.errors import ClusterError, MeshkitError
from meshkit.operations.release.running.loop import Runner, may_pass
from meshkit.operations.release.train.state import Decision, given_back_with

if TYPE_CHECKING:
    from meshkit.intent.train import ReleaseTrain
    from meshkit.operations.clock import Clock
    from meshkit.operations.release.running.permission import Permission
    from meshkit.operations.release.state.model import Ended, ReleaseState, Status
    from meshkit.operations.release.train.records import TrainRecords


class TrainRunner:
    """Run a train to its end; the caller holds the locks of all releases.

    ``make`` returns the runner of a release, which asks the given permission.
    """

    def __init__(
        self,
        train: ReleaseTrain,
        members: Sequence[ReleaseState],
        make: Callable[[ReleaseState, Permission], Runner],
        *,
        records: TrainRecords,
        clock: Clock,
        decision: Decision | None = None,
    ) -> None:
        self._train, self._records, self._clock = train, records, clock
        self._found = members
        self._runners = {each.release.name: make(each, self) for each in members if not each.ended}
        self._decision = decision

    def run(self) -> Decision:
        """Take turns until the train has ended; raise what stops one of its releases."""
        turns = {name: runner.turns() for name, runner in self._runners.items()}
        try:
            decision = self._decision or self._interleaved(turns)
            self._carry_out(decision)
        except MeshkitError as error:
            for each in turns.values():
                with suppress(MeshkitError):
                    each.throw(error)  # type: ignore[attr-defined]
            raise
        for each in turns.values():
            for _ in each:  # It has ended, and tells its last notices.
                pass
        self._records.end(decision)
        return decision

    @property
    def members(self) -> tuple[ReleaseState, ...]:
        """The states of the releases, in order."""
        return tuple(
            self._runners[found.release.name].state if found.release.name in self._runners else found
            for found in self._found
        )

    def may_shift(self, state: ReleaseState, step: int) -> bool:
        """Whether a release may take a step now; ``promote`` waits only for those before it."""
        promoted = state.wanted == "promote"
        if self._decision is not None or (promoted and step != len(state.release.ladder) - 1):
            return False
        place = self._train.names.index(state.release.name)
        before, behind = self.members[:place], self.members[place + 1 :]
        if not all(_stands_at(each, step) for each in before):
            return False
        return promoted or all(each.step >= step or _may_go_on(each, step) for each in behind)

    def may_end(self, state: ReleaseState, result: Status, sentences: tuple[str, ...]) -> bool:
        """Never: decide for the whole train, unless one of them may not be promoted yet."""
        others = [each for each in self.members if each.release.name != state.release.name]
        last = len(state.release.ladder) - 1
        waits = result == "promoted" and not all(_may_go_on(each, last + 1) for each in others)
        if self._decision is None and not waits:
            self._decide(Decision(cast("Ended", result), state.release.name, sentences))
        return False

    def _decide(self, decision: Decision) -> None:
        self._records.decided(decision)
        self._decision = decision

    def _interleaved(self, turns: dict[str, Iterator[float]]) -> Decision:
        """Take turns until the train has decided."""
        due_s = dict.fromkeys(turns, -math.inf)
        self._heed_ends()
        while self._decision is None:
            name = min(due_s, key=due_s.__getitem__)
            self._clock.sleep(due_s[name] - self._clock.now())
            due_s[name] = next(turns[name], math.inf)
            self._heed_ends()
        return self._decision

    def _heed_ends(self) -> None:
        """Follow a release that has ended by itself, because others have changed its weights."""
        ended = next((each for each in self.members if each.ended), None)
        if ended is not None and self._decision is None:
            self._decide(Decision(cast("Ended", ended.result), ended.release.name, ended.sentences))

    def _carry_out(self, decision: Decision) -> None:
        """End every release; what stops one of them is raised once the others have ended."""
        runners = list(self._runners.values())
        stopped: list[MeshkitError] = []
        for runner in runners if decision.result == "promoted" else reversed(runners):
            try:
                self._finish(runner, decision)
            except MeshkitError as error:
                stopped.append(error)
        if stopped:
            raise stopped[0]

    def _finish(self, runner: Runner, decision: Decision) -> None:
        """End a release as decided, and try again while the API server does not answer."""
        release = runner.state.release
        sentences = decision.sentences
        if release.name != decision.member:
            promoted = decision.result == "promoted"
            sentences = runner.state.sentences if promoted else (given_back_with(decision, self._train.name),)
        until_s = self._clock.now() + release.deadline_s
        while True:
            try:
                runner.finish(decision.result, sentences)
                return
            except ClusterError as error:
                if not may_pass(error) or self._clock.now() > until_s:
                    raise
            self._clock.sleep(release.look_s)


def _stands_at(state: ReleaseState, step: int) -> bool:
    """Whether a release has taken a step, and the measured share agrees with it."""
    return state.step > step or (state.step == step and state.agreed_s is not None)


def _may_go_on(state: ReleaseState, step: int) -> bool:
    """Whether a release that stands before a step may take it, or may end after its last one."""
    if state.held or state.waits or state.step != step - 1:
        return False
    if state.step < 0:
        return state.baseline is not None
    if state.agreed_s is None or state.verdict is None or state.looks[-1].look.step != state.step:
        return False
    return state.verdict.action == "promote"
