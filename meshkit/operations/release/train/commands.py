"""Commands to a train, which all of its releases obey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshkit.errors import BadInput
from meshkit.operations.release.commands import TrainMailbox
from meshkit.operations.release.runner import runner_of
from meshkit.operations.release.train.state import TrainState, train_state

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.release.commands import Verb


def send_to_train(name: str, verb: Verb, cluster: Cluster) -> None:
    """Store a command for the runner of a train. Raises ``BadInput`` if the train has ended."""
    state = train_state(name, cluster)
    if state.ended:
        raise train_has_ended(state, verb)
    TrainMailbox(cluster, name).put(verb)


def runner_of_train(state: TrainState, cluster: Cluster) -> str | None:
    """The process that runs a train, None if none does: it holds the Leases of all releases."""
    return None if state.ended else runner_of(state.train.releases[0], cluster)


def train_has_ended(state: TrainState, verb: str, words: str = "") -> BadInput:
    """Return the refusal of a command to a train that has ended; ``words`` select the cluster."""
    name = state.train.name
    problem = f"train {name} has ended: {state.status.replace('_', ' ')}."
    again = f"'meshkit release run -f FILE{words}' starts it again."
    if not any(member.given_away for member in state.members):
        return BadInput(verb, problem, remedy=f"The stable versions have their requests back. {again}")
    back = f"'meshkit release rollback {name}{words}' gives the requests of all of its releases back"
    return BadInput(verb, problem, remedy=f"{back}; {again}")
