"""Look at releases and control them by name: ``meshkit release list | status | hold | resume | ...``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshkit.cli.changes import show_change
from meshkit.cli.output import (
    AGAIN,
    ClusterChoice,
    changing,
    cluster_options,
    echo,
    json_option,
    mesh_option,
    show,
)
from meshkit.cli.releases import drawing, trains
from meshkit.errors import BadInput, ClusterError, ReleaseLost, Undecided, UnknownName

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.intent.train import ReleaseTrain
    from meshkit.operations.release.commands import Verb
    from meshkit.operations.release.state.model import ReleaseState

FILE = "YAML file with one document of kind Release, or ReleaseTrain."
RELEASE_FILE = "YAML file with one document of kind Release."
_EVERY_S = 2.0
F = TypeVar("F", bound=Callable[..., Any])


def which_option(command: F) -> F:
    """Add the argument ``NAME`` and the option ``-f FILE`` as ``name`` and ``file``."""
    help_text = f"{FILE} Not needed with NAME."
    option = click.option("-f", "--file", "file", metavar="FILE", help=help_text)
    return click.argument("name", required=False)(option(command))


def load_release(file: str) -> Release:
    """Load the only release of a file."""
    from meshkit.intent.document import load_intents
    from meshkit.intent.release import Release

    releases = [intent for intent in load_intents(file) if isinstance(intent, Release)]
    if len(releases) != 1:
        raise BadInput(
            file, f"it contains {len(releases)} releases.", remedy="Write one document of `kind: Release`."
        )
    return releases[0]


def load_released(file: str) -> Release | ReleaseTrain:
    """Load the only release of a file, or its only train."""
    from meshkit.intent.document import load_intents
    from meshkit.intent.train import ReleaseTrain

    found = [intent for intent in load_intents(file) if isinstance(intent, ReleaseTrain)]
    return found[0] if len(found) == 1 else load_release(file)


def released_to_run(name: str | None, file: str | None, cluster: Cluster | None) -> Release | ReleaseTrain:
    """What a file releases, or a name whose run has not ended, with its recorded settings."""
    from meshkit.operations.release.runner import has_ended, release_state

    _require_one(name, file)
    if file:
        return load_released(file)
    if not name or cluster is None:
        raise BadInput("-f", "no file is given.", remedy="Give -f FILE, or NAME of a release to resume.")
    if trains.is_train(name, cluster):
        return trains.train_to_run(name, cluster)
    state = release_state(name, cluster)
    if state.ended:
        raise has_ended(state, "run")
    return state.release


@click.command("list")
@click.option("--all", "every_run", is_flag=True, help="List every run, not only the latest of each release.")
@cluster_options
@json_option
def list_command(every_run: bool, choice: ClusterChoice, as_json: bool) -> None:
    """List the releases of a cluster: service, versions, state, share, since when, and who started each.

    Example: meshkit release list
    """
    cluster = choice.connect(name_it=as_json)
    _show_list(cluster, every_run=every_run, as_json=as_json)


def _show_list(cluster: Cluster, *, every_run: bool = False, as_json: bool, before: str = "") -> None:
    from meshkit.operations.release.listing import releases

    found = releases(cluster, every_run=every_run)
    text = f"No release was ever started on cluster {cluster}."
    if found:
        text = f"Releases on cluster {cluster}:\n{drawing.table(found, time.time())}"
        if shown := trains.table(cluster):
            text += f"\n\nTrains:\n{shown}"
    show([one.as_record() for one in found], f"{before}{text}", as_json=as_json)


@click.command("status")
@which_option
@click.option("--watch", is_flag=True, help="Show it again whenever it changes, until the release has ended.")
@cluster_options
@json_option
def status_command(
    name: str | None, file: str | None, watch: bool, choice: ClusterChoice, as_json: bool
) -> None:
    """Show the state of a release, from the journal in the cluster: ladder, share, evidence, time left.

    Without NAME, the command shows the only release that has not ended, or lists all releases.

    Example: meshkit release status web-v2
    """
    given = given_name(name, file)
    cluster = choice.connect()
    chosen = given or _only(cluster)
    if chosen is None:
        _show_list(cluster, as_json=as_json, before="Name one release to see its state.\n")
        return
    if watch:
        _watch(chosen, cluster, choice, as_json=as_json)
        return
    facts, text = _status(chosen, cluster, choice)
    show(facts, text, as_json=as_json)


def _watch(name: str, cluster: Cluster, choice: ClusterChoice, *, as_json: bool) -> None:
    """Draw the state again on a terminal; elsewhere print it whenever the release has changed."""
    last = ""
    terminal = sys.stdout.isatty() and not as_json
    while True:
        try:
            facts, text = _status(name, cluster, choice)
        except ClusterError as error:
            if error.status is not None and error.status < 500:
                raise
            echo(f"meshkit: {error}", err=True)
            time.sleep(_EVERY_S)
            continue
        told = ("status", "step", "asked_percent", "sentences", "runner", "releases")
        changed = json.dumps([facts.get(key) for key in told])
        if terminal:
            click.clear()
        if terminal or changed != last:
            echo(json.dumps(facts, default=str) if as_json else f"{text}\n")
        if facts["ended"]:
            return
        last = changed
        time.sleep(_EVERY_S)


def _status(name: str, cluster: Cluster, choice: ClusterChoice) -> tuple[dict[str, Any], str]:
    from meshkit.operations.release.runner import release_state, runner_of

    if trains.is_train(name, cluster):
        return trains.status(name, cluster, choice)
    state = release_state(name, cluster)
    runner = None if state.ended else runner_of(state.release, cluster)
    verdict = state.verdict
    facts = {
        "release": state.release.name,
        "namespace": state.release.namespace,
        "service": state.release.service,
        "status": state.status,
        "ended": state.ended,
        "step": state.step,
        "ladder": list(state.release.ladder),
        "asked_percent": state.asked_percent,
        "change": state.change_id,
        "sentences": state.sentences,
        "gates": [gate.as_record() for gate in state.gates],
        "verdict": verdict.as_record() if verdict else None,
        "started_s": state.started_s,
        "ended_s": state.ended_s,
        "runner": runner,
        "cluster": asdict(cluster.ref),
    }
    text = drawing.status(state, cluster.ref, runner, time.time())
    if not (state.ended or runner):
        text += f"\n{no_runner(state, choice)}"
    return facts, text


def given_name(name: str | None, file: str | None) -> str | None:
    """The name that the user gave, itself or by a file."""
    _require_one(name, file)
    return load_released(file).name if file else name


def _require_one(name: str | None, file: str | None) -> None:
    """Refuse a name beside a file."""
    if name and file:
        raise BadInput("-f", "NAME and -f FILE name the release twice.", remedy="Give one of them.")


def _only(cluster: Cluster) -> str | None:
    """The only release or train that has not ended, None if there are none or several."""
    running = _running(cluster)
    return running[0] if len(running) == 1 else None


def _running(cluster: Cluster) -> list[str]:
    """The names of the releases and trains that have not ended."""
    from meshkit.operations.release.listing import releases

    return list(dict.fromkeys(one.train or one.name for one in releases(cluster) if not one.ended))


def required_name(given: str | None, cluster: Cluster) -> str:
    """The given name, or else the only release that has not ended."""
    if name := given or _only(cluster):
        return name
    running = _running(cluster)
    what = f"{len(running)} releases run" if running else "no release runs"
    listed = f": {', '.join(running)}" if running else "; 'meshkit release list' lists those that have ended"
    raise BadInput("NAME", f"it is not given, and {what}.", remedy=f"Name one{listed}.")


def _command(verb: Verb, help_text: str) -> click.Command:
    @click.command(verb, help=f"{help_text}\n\nExample: meshkit release {verb} web-v2")
    @which_option
    @cluster_options
    @json_option
    def command(name: str | None, file: str | None, choice: ClusterChoice, as_json: bool) -> int:
        given = given_name(name, file)
        cluster = choice.connect()
        return _sent(verb, required_name(given, cluster), cluster, choice, as_json=as_json)

    return command


def _sent(verb: Verb, name: str, cluster: Cluster, choice: ClusterChoice, *, as_json: bool) -> int:
    """Send a command to a release that has not ended, and say whether a process will read it."""
    from meshkit.operations.release.runner import (
        has_ended,
        release_state,
        require_alone,
        runner_of,
        send_command,
    )

    if trains.is_train(name, cluster):
        return trains.send(name, verb, cluster, choice, as_json=as_json)
    state = release_state(name, cluster)
    require_alone(state, verb)
    if state.ended:
        raise has_ended(state, verb, choice.words)
    send_command(name, verb, cluster)
    runner = runner_of(state.release, cluster)
    return show_sent(verb, {"sent": verb}, state, runner, cluster, choice, as_json=as_json)


def show_sent(
    what: str,
    facts: Mapping[str, Any],
    state: ReleaseState,
    runner: str | None,
    cluster: Cluster,
    choice: ClusterChoice,
    *,
    as_json: bool,
) -> int:
    """Show that something was sent to a release, and to which process; return the exit code."""
    name = state.release.name
    text = (
        f"Sent {what} to release {name} on cluster {cluster}; "
        f"`meshkit release status {name}{choice.words}` shows the effect."
    )
    if runner is None:
        text = f"Stored {what} for release {name} on cluster {cluster}, without effect yet.\n"
        text += no_runner(state, choice)
    show({"release": name, **facts, "runner": runner, "cluster": asdict(cluster.ref)}, text, as_json=as_json)
    return 0 if runner else Undecided.exit_code


def no_runner(state: ReleaseState, choice: ClusterChoice) -> str:
    """What to do about a release whose process has died or was stopped."""
    if state.train:
        return f"It is a member of train {state.train}.\n{trains.no_runner(state.train, choice)}"
    name, words = state.release.name, choice.words
    return (
        f"No process runs this release: its weights stay as they are, and nothing watches them. "
        f"`meshkit release run {name}{words}` resumes it; `meshkit release rollback {name} --force{words}` "
        "restores the weights from before it, as does "
        f"`meshkit undo {state.change_id}{words}` once it has ended."
    )


@click.command("rollback")
@which_option
@click.option(
    "--force",
    is_flag=True,
    help="Roll back although no process runs the release, no ready pod of the stable version is known, or "
    "others have changed the weights; wait for the Lease of a process that may have died.",
)
@mesh_option
@cluster_options
@json_option
def rollback_command(
    name: str | None, file: str | None, force: bool, mesh: str | None, choice: ClusterChoice, as_json: bool
) -> int:
    """Send all requests back to the stable version now, also after the release has ended.

    A release that a process runs is sent the command. After the end, as after a promotion, the weights from
    before the release are restored as a change of its own, if the stable version has ready pods; `meshkit
    undo ID` takes that back. If the records of a release were deleted, -f FILE names what to restore.

    Example: meshkit release rollback web-v2
    """
    from meshkit.operations.change import apply
    from meshkit.operations.release.restoring.rollback import plan_rollback
    from meshkit.operations.release.runner import release_state

    given = given_name(name, file)
    cluster = choice.connect()
    chosen = required_name(given, cluster)
    if trains.is_train(chosen, cluster):
        return trains.roll_back(chosen, cluster, choice, force=force, as_json=as_json)
    try:
        state: ReleaseState | None = release_state(chosen, cluster)
    except (ReleaseLost, UnknownName):
        state = None
    if state is not None and not state.ended:
        if not force:
            return _sent("rollback", chosen, cluster, choice, as_json=as_json)
        if runner := _rolling_back(state, cluster):
            facts = {"sent": "rollback"}
            return show_sent("rollback", facts, state, runner, cluster, choice, as_json=as_json)
    plan = plan_rollback(load_release(file) if file else chosen, cluster, mesh=mesh, force=force)
    if not as_json:
        echo(plan)
    with changing(AGAIN):
        change = apply(plan, cluster)
    show_change(change, choice, as_json=as_json)
    return 0


def _rolling_back(state: ReleaseState, cluster: Cluster) -> str | None:
    """The process that carries the rollback of a release out, or None if none runs it any more."""
    from meshkit.operations.release.runner import runner_of, send_command, wait_for_runner

    runner = runner_of(state.release, cluster)
    if runner is None:
        return None
    send_command(state.release.name, "rollback", cluster)
    now = wait_for_runner(state, cluster)
    return runner if now.ended or runner_of(now.release, cluster) else None


COMMANDS = (
    list_command,
    status_command,
    _command("hold", "Stay at the current step; automatic rollback stays on."),
    _command("resume", "Continue after a hold."),
    _command("promote", "Send all requests to the canary now."),
    rollback_command,
)
"""The commands, in the order of the help."""
