"""Commands that plan, apply, list and undo changes: ``meshkit plan | apply | convert | history | undo``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import click

from meshkit.cli.output import (
    AGAIN,
    ClusterChoice,
    changing,
    cluster_options,
    columns,
    confirm_plan,
    echo,
    file_option,
    json_option,
    mesh_option,
    show,
    yaml_option,
)
from meshkit.errors import CHANGES_PENDING, BadInput

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.base import Intent
    from meshkit.operations.plan import Change, Plan
    from meshkit.operations.progress import OnEvent


class JsonPlan(Protocol):
    """Any plan that can be printed."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        ...

    def to_json(self) -> str:
        """The plan as a JSON text."""
        ...


take_fields_option = click.option(
    "--take-fields", is_flag=True, help="Take over fields that another manager owns; the plan lists them."
)


@click.command("plan")
@file_option("YAML file of intents, one document each.")
@mesh_option
@cluster_options
@take_fields_option
@yaml_option("Print all objects of the plan as YAML for a Git repository, without the data of Secrets.")
@json_option
def plan_command(
    file: str,
    mesh: str | None,
    choice: ClusterChoice,
    take_fields: bool,
    output: str | None,
    as_json: bool,
) -> int:
    """Show what a file of intents would change, field by field.

    The command changes nothing. Exit code 5: changes are pending.

    Example: meshkit plan -f shop.yaml -o yaml
    """
    if output and as_json:
        raise BadInput("--json", "it prints the plan, -o yaml its objects.", remedy="Give one of the two.")
    intents = _load(file)
    plan = _plan(intents, mesh, choice.connect(), take_fields=take_fields)
    if output:
        echo(plan.yaml, nl=False)
        return 0 if plan.empty else CHANGES_PENDING
    return show_plan(plan, as_json=as_json)


@click.command("apply")
@file_option("YAML file of intents, one document each.")
@mesh_option
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@cluster_options
@take_fields_option
@json_option
def apply_command(
    file: str, mesh: str | None, yes: bool, choice: ClusterChoice, take_fields: bool, as_json: bool
) -> None:
    """Show the plan of a file of intents, ask for confirmation, and apply it.

    `meshkit undo ID` restores the previous state.

    Example: meshkit apply -f shop.yaml
    """
    intents = _load(file)
    cluster = choice.connect()
    apply_plan(
        _plan(intents, mesh, cluster, take_fields=take_fields), cluster, choice, yes=yes, as_json=as_json
    )


def apply_plan(plan: Plan, cluster: Cluster, choice: ClusterChoice, *, yes: bool, as_json: bool) -> None:
    """Show a plan, ask for confirmation unless ``yes`` is given, apply the plan and show the change."""
    from meshkit.operations.change import apply

    if not as_json:
        echo(plan)
    if not (yes or plan.empty):
        confirm_plan(cluster, as_json=as_json)
    with changing():
        change = apply(plan, cluster, progress=progress(as_json=as_json))
    show_change(change, choice, as_json=as_json)


def show_or_apply(
    plan: Plan, cluster: Cluster, choice: ClusterChoice, *, applied: bool, yes: bool, as_json: bool
) -> int:
    """Print a plan, or apply it if ``applied``; return the exit code."""
    if not applied:
        return show_plan(plan, as_json=as_json)
    apply_plan(plan, cluster, choice, yes=yes, as_json=as_json)
    return 0


@click.command("convert")
@click.argument("route", metavar="NAMESPACE/NAME")
@click.option("--apply", "applied", is_flag=True, help="Apply the plan; without it, it is only shown.")
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@mesh_option
@cluster_options
@take_fields_option
@json_option
def convert_command(
    route: str,
    applied: bool,
    yes: bool,
    mesh: str | None,
    choice: ClusterChoice,
    take_fields: bool,
    as_json: bool,
) -> int:
    """Move a VirtualService to HTTPRoutes that do the same, so that no request changes.

    A field that an HTTPRoute has no equivalent of is named, and nothing is planned. With --apply, the
    VirtualService is removed after the HTTPRoutes were accepted; `meshkit undo ID` restores it. Exit code 5:
    changes are pending.

    Example: meshkit convert shop/web --apply
    """
    from meshkit.operations.routes.convert import plan_convert

    cluster = choice.connect()
    plan = plan_convert(route, cluster, mesh=mesh, take_fields=take_fields)
    return show_or_apply(plan, cluster, choice, applied=applied, yes=yes, as_json=as_json)


@click.command("history")
@cluster_options
@json_option
def history_command(choice: ClusterChoice, as_json: bool) -> None:
    """List the changes that meshkit made to a cluster, from its journal.

    Example: meshkit history
    """
    from meshkit.operations.change import history

    head = ("id", "started", "who", "state", "operation", "mesh", "what", "why")
    cluster = choice.connect(name_it=as_json)
    summaries = history(cluster)
    changes = [
        {**asdict(summary), **asdict(summary.operation), "operation": summary.operation.name}
        for summary in summaries
    ]
    rows = [[str(change[name]) for name in head] for change in changes]
    text = f"Changes to cluster {cluster}:\n{columns(head, rows)}"
    show(changes, text if rows else f"meshkit has changed nothing on cluster {cluster}.", as_json=as_json)


@click.command("undo")
@click.argument("change_id")
@click.option("--force", is_flag=True, help="Undo even if pods lose the last control plane of their mesh.")
@cluster_options
@json_option
def undo_command(change_id: str, force: bool, choice: ClusterChoice, as_json: bool) -> None:
    """Restore what a change replaced; `meshkit history` lists the changes.

    The command refuses to touch objects that others have changed since.

    Example: meshkit undo CHANGE_ID
    """
    from meshkit.operations.undo import undo

    with changing(AGAIN):
        change = undo(change_id, choice.connect(), progress=progress(as_json=as_json), force=force)
    show(asdict(change), str(change), as_json=as_json)


def _plan(intents: list[Intent], mesh: str | None, cluster: Cluster, *, take_fields: bool) -> Plan:
    from meshkit.operations.change import plan

    return plan(intents, cluster, mesh=mesh, take_fields=take_fields)


def _load(file: str) -> list[Intent]:
    """Load the intents of a file, before connecting, so that errors in the file are reported first."""
    from meshkit.intent.document import load_intents

    return load_intents(file)


def show_plan(plan: JsonPlan, *, as_json: bool) -> int:
    """Print a plan without applying it, and return the exit code."""
    echo(plan.to_json() if as_json else str(plan))
    return 0 if plan.empty else CHANGES_PENDING


def show_change(change: Change, choice: ClusterChoice, *, as_json: bool) -> None:
    """Print a completed change and the command that undoes it."""
    text = str(change) + (f"\nUndo it with: meshkit undo {change.id}{choice.words}" if change.id else "")
    show(asdict(change), text, as_json=as_json)


def progress(*, as_json: bool, err: bool = False) -> OnEvent:
    """Return a callback that prints one line per event, or a no-op for JSON output."""
    from meshkit.operations.progress import noop

    return noop if as_json else (lambda event: echo(event, err=err))
