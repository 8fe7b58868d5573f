"""Trains on the command line: what ``meshkit release`` does with a file or a name of several releases."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from meshkit.cli.changes import progress
from meshkit.cli.output import AGAIN, ClusterChoice, changing, columns, echo, show
from meshkit.errors import BadInput, Undecided

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.train import ReleaseTrain
    from meshkit.operations.release.commands import Verb
    from meshkit.operations.release.train.state import TrainState

_AFTER_CTRL_C = (
    "The weights of all releases stay as they are, and nothing watches them. Run the same command again to "
    "resume the train; 'meshkit release status' shows its state."
)
_HEADINGS = ("release", "service", "versions", "state", "share", "what it says")


def is_train(name: str | None, cluster: Cluster) -> bool:
    """Whether a name is that of a train."""
    from meshkit.operations.release.commands import train_of

    return bool(name and train_of(name, cluster))


def run(
    train: ReleaseTrain, cluster: Cluster, *, mesh: str | None, prometheus: str | None, as_json: bool
) -> int:
    """Run a train in this process, and return the exit code of its result."""
    from meshkit.operations.change import apply
    from meshkit.operations.release.train.plan import plan_train

    plan = plan_train(train, cluster, mesh=mesh, prometheus=prometheus)
    if not as_json:
        echo(plan.text(forecast=False))
    with changing(_AFTER_CTRL_C):
        outcome = apply(plan, cluster, progress=progress(as_json=as_json))
    facts = {**outcome.state.as_record(), "result": outcome.result, "cluster": asdict(cluster.ref)}
    show(facts, str(outcome), as_json=as_json)
    return outcome.exit_code


def require_here(*, in_cluster: bool, change_id: str | None) -> None:
    """Refuse options of releases that a train does not take."""
    if in_cluster:
        remedy = "Leave it out: run the train here, with --detach, or in a CI job."
        raise BadInput("--in-cluster", "a Job runs one release, not a train.", remedy=remedy)
    if change_id:
        remedy = "Leave it out: a train of this name runs once at a time."
        raise BadInput("--change", "it is for single releases.", remedy=remedy)


def train_to_run(name: str, cluster: Cluster) -> ReleaseTrain:
    """The train of a name whose run has not ended, with its recorded settings."""
    from meshkit.operations.release.train.commands import train_has_ended
    from meshkit.operations.release.train.state import train_state

    state = train_state(name, cluster)
    if state.ended:
        raise train_has_ended(state, "run")
    return state.train


def status(name: str, cluster: Cluster, choice: ClusterChoice) -> tuple[dict[str, Any], str]:
    """The state of a train and of each of its releases, as data and as text."""
    from meshkit.operations.release.train.commands import runner_of_train
    from meshkit.operations.release.train.state import train_state

    state = train_state(name, cluster)
    runner = runner_of_train(state, cluster)
    facts = {**state.as_record(), "runner": runner, "cluster": asdict(cluster.ref)}
    lines = [
        f"Train {name}, change {state.change_id}",
        f"{state.status.replace('_', ' ')} on cluster {cluster}: {' '.join(state.sentences)}",
        "",
        columns(_HEADINGS, [_row(state, number) for number in range(len(state.members))]),
        "",
        f"'meshkit release status {state.members[0].release.name}{choice.words}' shows one release.",
    ]
    if not state.ended:
        lines.append(f"runner  {runner}" if runner else no_runner(state.train.name, choice))
    return facts, "\n".join(lines)


def _row(state: TrainState, number: int) -> tuple[str, ...]:
    member = state.members[number]
    release = member.release
    return (
        release.name,
        f"{release.namespace}/{release.service}:{release.port}",
        f"{release.stable} to {release.canary}",
        member.status.replace("_", " "),
        f"{member.asked_percent:g} %",
        member.sentences[0].replace("\N{NO-BREAK SPACE}", " "),
    )


def table(cluster: Cluster) -> str:
    """The trains of a cluster, one a line; empty if there are none."""
    from meshkit.decide.formatting import stamp
    from meshkit.operations.release.train.commands import runner_of_train
    from meshkit.operations.release.train.state import trains

    rows = []
    for state in trains(cluster):
        dead = "" if state.ended or runner_of_train(state, cluster) else ", no process"
        names = ", then ".join(state.train.names)
        shown = f"{state.status.replace('_', ' ')}{dead}"
        rows.append((state.train.name, names, shown, stamp(state.started_s), state.who, state.change_id))
    return columns(("train", "releases", "state", "started", "who", "change"), rows) if rows else ""


def send(name: str, verb: Verb, cluster: Cluster, choice: ClusterChoice, *, as_json: bool) -> int:
    """Send a command to a train that has not ended, and say whether a process will read it."""
    from meshkit.operations.release.train.commands import runner_of_train, send_to_train, train_has_ended
    from meshkit.operations.release.train.state import train_state

    state = train_state(name, cluster)
    if state.ended:
        raise train_has_ended(state, verb, choice.words)
    send_to_train(name, verb, cluster)
    return _show_sent(verb, state, runner_of_train(state, cluster), cluster, choice, as_json=as_json)


def _show_sent(
    verb: Verb,
    state: TrainState,
    runner: str | None,
    cluster: Cluster,
    choice: ClusterChoice,
    *,
    as_json: bool,
) -> int:
    name = state.train.name
    text = f"Sent {verb} to train {name} on cluster {cluster}; `meshkit release status {name}{choice.words}` "
    text += "shows the effect."
    if runner is None:
        text = f"Stored {verb} for train {name} on cluster {cluster}, without effect yet.\n"
        text += no_runner(state.train.name, choice)
    facts = {"train": name, "sent": verb, "runner": runner, "cluster": asdict(cluster.ref)}
    show(facts, text, as_json=as_json)
    return 0 if runner else Undecided.exit_code


def roll_back(name: str, cluster: Cluster, choice: ClusterChoice, *, force: bool, as_json: bool) -> int:
    """Send a running train the command, or give the requests of all of its releases back here."""
    from meshkit.operations.change import apply
    from meshkit.operations.release.train.restoring import plan_train_rollback
    from meshkit.operations.release.train.state import train_state

    state = train_state(name, cluster)
    if not state.ended:
        if not force:
            return send(name, "rollback", cluster, choice, as_json=as_json)
        if runner := _rolling_back(state, cluster):
            return _show_sent("rollback", state, runner, cluster, choice, as_json=as_json)
    plan = plan_train_rollback(name, cluster, force=force)
    if not as_json:
        echo(plan)
    with changing(AGAIN):
        change = apply(plan, cluster)
    show(asdict(change), str(change), as_json=as_json)
    return 0


def _rolling_back(state: TrainState, cluster: Cluster) -> str | None:
    """The process that carries the rollback of a train out, or None if none runs it any more."""
    from meshkit.operations.release.runner import wait_for_runner
    from meshkit.operations.release.train.commands import runner_of_train, send_to_train
    from meshkit.operations.release.train.state import train_state

    runner = runner_of_train(state, cluster)
    if runner is None:
        return None
    send_to_train(state.train.name, "rollback", cluster)
    wait_for_runner(state.members[0], cluster)
    now = train_state(state.train.name, cluster)
    return runner if now.ended or runner_of_train(now, cluster) else None


def no_runner(name: str, choice: ClusterChoice) -> str:
    """What to do about a train whose process has died or was stopped."""
    words = choice.words
    return (
        "No process runs this train: all weights stay as they are, and nothing watches them. "
        f"`meshkit release run {name}{words}` resumes it; `meshkit release rollback {name} --force{words}` "
        "restores the weights from before it."
    )
