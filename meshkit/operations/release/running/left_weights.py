"""The weights that the previous runner of a release left when it was killed."""

from __future__ import annotations

from collections.abc import Iterable

from meshkit.decide.ladder import next_step, weights
from meshkit.errors import ChangedByOthers
from meshkit.operations.release.gates import waiting
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.weights import WeightWriters, same_percent


def take_up_weights(state: ReleaseState, writers: WeightWriters) -> None:
    """Bring the weights to what the journal says, after the previous runner was killed.

    Raises ``ChangedByOthers`` if the weights are none that a runner of this release would have left.
    """
    odd = [
        (where, share) for where, share in writers.percents() if not same_percent(share, state.asked_percent)
    ]
    there = writers.present() == set(state.added)
    if (not odd and there) or state.wanted == "rollback":
        return
    unsettled = state.step >= 0 and state.agreed_s is None and _all_at(odd, state.before_percent)
    if (not odd or unsettled) and (there or not state.step_looks):
        read = writers.read()
        pairs = [weights(state.asked_percent) if odd else found.pair for _, found in read]
        expected = state.before_percent if odd else state.asked_percent
        writers.move_each(pairs, expected, added=state.added)
        return
    action = state.verdict.action if state.verdict else None
    given_back = action == "undecided" or waiting.giving_back(state.gates)
    harmed = action == "rollback" and state.release.on_harm == "rollback"
    if harmed or (given_back and _all_at(odd, state.found_percent)):
        return
    at_the_end = next_step(state.release.ladder, state.step) is None
    promoted = state.wanted == "end" or (action == "promote" and at_the_end)
    if odd:
        raise ChangedByOthers(*odd[0])
    if not promoted:
        where, share = writers.percents()[0]
        raise ChangedByOthers(where, share, f"the rule for its {' and '.join(state.added)} is gone")


def _all_at(shares: Iterable[tuple[str, float]], percent: float) -> bool:
    """Whether each object gives the canary this share."""
    return all(same_percent(share, percent) for _, share in shares)
