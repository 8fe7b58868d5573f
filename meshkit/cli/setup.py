"""The stages of the guided setup: ``meshkit setup status | plan | apply | undo``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from meshkit.cli.changes import progress
from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    AGAIN,
    SECONDS,
    ClusterChoice,
    changing,
    cluster_options,
    columns,
    confirm_plan,
    echo,
    json_option,
    mesh_option,
    show,
)
from meshkit.errors import CHANGES_PENDING

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.base import Intent
    from meshkit.operations.setup.guide import Setup, SetupSnapshot
    from meshkit.operations.setup.status import StageStatus

F = TypeVar("F", bound=Callable[..., Any])
_NAMESPACE = click.option(
    "-n",
    "--namespace",
    default="shop",
    show_default=True,
    metavar="NAME",
    help="The namespace to add to the mesh.",
)


@click.group("setup", cls=CommandGroup)
def setup_group() -> None:
    """Set up a mesh stage by stage, from an empty cluster to a meshed namespace.

    Example: meshkit setup status --mesh istio -n shop
    """


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from meshkit.operations.setup.stages import STAGES

    return [
        CompletionItem(stage.name, help=stage.title) for stage in STAGES if stage.name.startswith(incomplete)
    ]


_STAGE = click.argument("stage", shell_complete=_complete)


def _intent_options(command: F) -> F:
    """Add the options that replace a stage's proposal: a file with its intents, or single options."""
    options = (
        click.option(
            "-f",
            "--file",
            default="",
            metavar="FILE",
            help="YAML file with the stage's intents. Default: meshkit's proposal.",
        ),
        click.option(
            "--charts",
            default="",
            metavar="WHERE",
            help="Control plane: source of the charts, published, a URL, or a directory.",
        ),
        click.option(
            "--values",
            default="",
            metavar="FILE",
            help="Control plane: YAML file with values for its chart, such as a private registry.",
        ),
        click.option("--version", default="", metavar="VERSION", help="Control plane: its version."),
        click.option(
            "--untested",
            is_flag=True,
            help="Control plane: accept an untested version.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@setup_group.command("status")
@_NAMESPACE
@mesh_option
@click.option(
    "--window",
    "window_s",
    type=SECONDS,
    default=3.0,
    show_default=True,
    help="Seconds over which calls are counted.",
)
@cluster_options
@json_option
def status_command(
    namespace: str, mesh: str | None, window_s: float, choice: ClusterChoice, as_json: bool
) -> int:
    """Show the state of each stage, read from the cluster.

    Exit code 5: a stage can be applied, or needs attention.

    Example: meshkit setup status --mesh istio -n shop
    """
    cluster = choice.connect(name_it=as_json)
    look = _setup(namespace, mesh, cluster).watch(window_s)
    head = f"{look.observation.mesh} in namespace {namespace} of cluster {cluster}"
    text = f"{head}\n{_table(look)}{_next_words(look, choice)}"
    show(_facts(look), text, as_json=as_json)
    return 0 if all(status.state == "done" for status in look.statuses) else CHANGES_PENDING


@setup_group.command("plan")
@_STAGE
@_intent_options
@_NAMESPACE
@mesh_option
@cluster_options
@json_option
def plan_command(
    stage: str, namespace: str, mesh: str | None, choice: ClusterChoice, as_json: bool, **given: Any
) -> int:
    """Show what a stage would change, field by field.

    The command changes nothing. Exit code 5: changes are pending.

    Example: meshkit setup plan control-plane --mesh istio --charts published --values values.yaml
    """
    setup = _setup(namespace, mesh, choice.connect())
    look = setup.watch(3.0)
    plan = setup.plan(stage, *_intents(setup, stage, look, **given), look=look)
    echo(plan.to_json() if as_json else str(plan))
    return 0 if plan.empty else CHANGES_PENDING


@setup_group.command("apply")
@_STAGE
@_intent_options
@_NAMESPACE
@mesh_option
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@click.option("--force", is_flag=True, help="Mutual TLS and access rules: accept that callers are refused.")
@cluster_options
@json_option
def apply_command(
    stage: str,
    namespace: str,
    mesh: str | None,
    yes: bool,
    force: bool,
    choice: ClusterChoice,
    as_json: bool,
    **given: Any,
) -> None:
    """Apply a stage after showing its plan and asking for confirmation.

    Mutual TLS becomes strict if no plaintext callers were seen, and is undone if calls are refused. A strict
    mode from a file is refused if such callers were seen; --force accepts both. Access rules are on trial
    first; once they are enforced, they are undone if a caller is denied.

    Example: meshkit setup apply injection --mesh istio -n shop
    """
    setup = _setup(namespace, mesh, choice.connect())
    look = setup.watch(_window_s(stage))
    intents = _intents(setup, stage, look, **given)
    plan = setup.plan(stage, *intents, look=look)
    for intent in () if force else intents:
        setup.require_safe(stage, intent, look)
    if not as_json:
        echo(plan)
    if not (yes or plan.empty):
        confirm_plan(setup.cluster, as_json=as_json)
    with changing():
        change = setup.apply(stage, plan, progress=progress(as_json=as_json), force=force)
    where = _where(setup.mesh, namespace, choice)
    back = f"\nUndo it with: meshkit setup undo {stage}{where}" if change.id else ""
    show(asdict(change), f"{change}{back}\nNext: meshkit setup status{where}", as_json=as_json)


@setup_group.command("undo")
@_STAGE
@_NAMESPACE
@mesh_option
@cluster_options
@json_option
def undo_command(stage: str, namespace: str, mesh: str | None, choice: ClusterChoice, as_json: bool) -> None:
    """Undo the newest change of a stage.

    The command refuses to touch objects that others have changed since.

    Example: meshkit setup undo injection --mesh istio -n shop
    """
    with changing(AGAIN):
        change = _setup(namespace, mesh, choice.connect()).undo(stage, progress=progress(as_json=as_json))
    show(asdict(change), str(change), as_json=as_json)


def _intents(
    setup: Setup, stage: str, look: SetupSnapshot, *, file: str, **given: str | bool
) -> tuple[Intent, ...]:
    """Return the intents to plan instead of the stage's proposal; empty for the proposal as it is."""
    from meshkit.errors import BadInput
    from meshkit.intent.document import load_intents, load_values
    from meshkit.intent.mesh import ControlPlane

    asked: dict[str, Any] = {name: value for name, value in given.items() if value}
    intents = tuple(load_intents(file)) if file else ()
    if not asked:
        return intents
    base = (intents or (setup.propose(stage, look),))[0]
    if not isinstance(base, ControlPlane):
        option = f"--{next(iter(asked))}"
        raise BadInput(option, "only the stage control-plane has it.", remedy="Leave it out.")
    if "values" in asked:
        asked["values"] = load_values(asked["values"])
    return (ControlPlane(**{**base.model_dump(exclude_unset=True), **asked}), *intents[1:])


def _window_s(name: str) -> float:
    """Return how long calls are counted before a plan; longer if the proposal depends on them."""
    from meshkit.operations.setup.stages import stage

    return 10.0 if stage(name).watched else 3.0


def _setup(namespace: str, mesh: str | None, cluster: Cluster) -> Setup:
    from meshkit.operations.setup.guide import Setup

    return Setup(cluster, mesh, namespace)


def _table(look: SetupSnapshot) -> str:
    from meshkit.operations.setup.stages import STAGES

    pairs = list(zip(STAGES, look.statuses, strict=True))
    rows = [(one.name, status.state, status.summary) for one, status in pairs]
    found = [
        f"{finding.severity} {finding.code} {finding.object} {finding.message} {finding.remedy}"
        for _, status in pairs
        for finding in status.findings
    ]
    return "\n".join([columns(("stage", "state", "what the cluster says"), rows), *dict.fromkeys(found)])


def _records(status: StageStatus) -> dict[str, Any]:
    return {"findings": [finding.as_record() for finding in status.findings]}


def _next_words(look: SetupSnapshot, choice: ClusterChoice) -> str:
    """Return the next command to run, or nothing if no stage can be applied."""
    after = look.next
    if after is None or after.intent is None:
        return ""
    observed = look.observation
    return f"\nNext: meshkit setup apply {after.name}{_where(observed.mesh, observed.namespace, choice)}"


def _where(mesh: str, namespace: str, choice: ClusterChoice) -> str:
    return f" --mesh {mesh} -n {namespace}{choice.words}"


def _facts(look: SetupSnapshot) -> list[dict[str, Any]]:
    from meshkit.operations.setup.stages import STAGES

    return [
        {"stage": one.name, "title": one.title, "why": one.why, **asdict(status), **_records(status)}
        for one, status in zip(STAGES, look.statuses, strict=True)
    ]
