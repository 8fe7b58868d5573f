"""Upgrades of a mesh in waves, and their rollback: ``meshkit upgrade``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshkit.cli.changes import progress, show_plan
from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    AGAIN,
    SECONDS,
    ClusterChoice,
    changing,
    cluster_options,
    echo,
    json_option,
    mesh_option,
    require_typed,
    show,
)

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.mesh import ControlPlane

F = TypeVar("F", bound=Callable[..., Any])


def _target_options(command: F) -> F:
    """Add the options that describe the new control plane: a file with a ControlPlane, or single options."""
    options = (
        mesh_option,
        click.option("-f", "--file", default="", metavar="FILE", help="YAML file with a ControlPlane."),
        click.option("--version", default="", metavar="VERSION", help="The new version."),
        click.option(
            "--revision",
            default="",
            metavar="NAME",
            help="Install the new control plane beside the old one, under this name.",
        ),
        click.option(
            "--charts",
            default="",
            metavar="WHERE",
            help="Source of the charts: published, a URL, or a directory.",
        ),
        click.option(
            "--values",
            default="",
            metavar="FILE",
            help="YAML file with values for the control plane's chart, such as a private registry.",
        ),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            metavar="NAME",
            help="Revision tag to move to the new control plane at the end; can be repeated.",
        ),
        cluster_options,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("upgrade", cls=CommandGroup)
def upgrade_group() -> None:
    """Upgrade a mesh: the control plane first, then one namespace at a time, judged by its calls.

    Example: meshkit upgrade status -f control-plane.yaml --mesh istio
    """


@upgrade_group.command("status")
@_target_options
def status_command(as_json: bool, **target: Any) -> None:
    """Show the control planes, how many proxies use each, and the next step.

    Example: meshkit upgrade status -f control-plane.yaml --mesh istio
    """
    from meshkit.operations.upgrade.run import upgrade_status

    to, cluster, mesh = _target(**target)
    status = upgrade_status(to, cluster, mesh=mesh)
    show(asdict(status), str(status), as_json=as_json)


@upgrade_group.command("run")
@_target_options
@click.option(
    "--namespace",
    "order",
    multiple=True,
    metavar="NAME",
    help="Move this namespace first; repeat to set an order.",
)
@click.option(
    "--at-once", default=1, show_default=True, help="Number of workloads restarted at the same time."
)
@click.option(
    "--watch-s",
    type=SECONDS,
    default=10.0,
    show_default=True,
    help="Seconds for which calls are counted after each wave.",
)
@click.option("--force", is_flag=True, help="Continue without judgement when no calls are seen.")
@click.option("--retire", is_flag=True, help="Remove the old control plane at the end.")
@click.option("--dry-run", is_flag=True, help="Show only the next change. Exit code 5: there is one.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation by the context's name.")
def run_command(
    as_json: bool,
    order: tuple[str, ...],
    at_once: int,
    watch_s: float,
    force: bool,
    retire: bool,
    dry_run: bool,
    yes: bool,
    **target: Any,
) -> int:
    """Upgrade everything to the new version, or resume an interrupted upgrade.

    If calls get worse after a wave, its namespace is rolled back. `meshkit upgrade back` rolls back the whole
    upgrade.

    Example: meshkit upgrade run -f control-plane.yaml --mesh istio --dry-run
    """
    from meshkit.operations.change import apply
    from meshkit.operations.traffic_gate import TrafficGateOptions
    from meshkit.operations.upgrade.run import plan_upgrade, upgrade_status

    to, cluster, mesh = _target(**target)
    gate = TrafficGateOptions(watch_s=watch_s, force=force)
    plan = plan_upgrade(to, cluster, mesh=mesh, order=order, at_once=at_once, gate=gate, retire=retire)
    if dry_run:
        return show_plan(plan, as_json=as_json)
    if not as_json:
        echo(plan)
    if not (yes or plan.empty):
        require_typed(cluster.context, f"upgrade the mesh of cluster {cluster}", as_json=as_json)
    with changing():
        done = apply(plan, cluster, progress=progress(as_json=as_json))
    status = upgrade_status(to, cluster, mesh=mesh)
    back = f"Roll it back with: meshkit upgrade back{target['choice'].words}"
    lines = [*map(str, done.changes), str(status), back]
    show([asdict(change) for change in done.changes], "\n".join(lines), as_json=as_json)
    return 0


@upgrade_group.command("back")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation by the context's name.")
@cluster_options
@json_option
def back_command(yes: bool, choice: ClusterChoice, as_json: bool) -> int:
    """Roll back the newest upgrade: the old control plane, every namespace, then the new control plane.

    Example: meshkit upgrade back
    """
    from meshkit.operations.upgrade.rollback import back_changes, describe, upgrade_back

    cluster = choice.connect()
    changes = back_changes(cluster)
    if not as_json:
        echo(f"Upgrade to {describe(changes[0].operation)}, to be rolled back on cluster {cluster}:")
        echo("\n".join(f"  {one.what}, {one.started[:16]}, {one.who}" for one in changes))
    if not yes:
        require_typed(cluster.context, f"roll back the upgrade of cluster {cluster}", as_json=as_json)
    with changing(AGAIN):
        done = upgrade_back(cluster, progress=progress(as_json=as_json))
    show([asdict(change) for change in done], "\n".join(map(str, done)), as_json=as_json)
    return 0


def _target(
    mesh: str | None,
    file: str,
    version: str,
    revision: str,
    charts: str,
    values: str,
    tags: tuple[str, ...],
    choice: ClusterChoice,
) -> tuple[ControlPlane, Cluster, str | None]:
    """Return the requested control plane, its cluster and its mesh; options override the file."""
    from meshkit.errors import BadInput
    from meshkit.intent.document import load_intents, load_values
    from meshkit.intent.mesh import ControlPlane

    given: dict[str, Any] = {"version": version, "revision": revision, "charts": charts, "tags": tags}
    asked = {name: value for name, value in given.items() if value}
    asked |= {"values": load_values(values)} if values else {}
    documents = [intent for intent in load_intents(file) if isinstance(intent, ControlPlane)] if file else []
    if file and not documents:
        raise BadInput(file, "it contains no ControlPlane.", remedy="Name the file that installed the mesh.")
    base = documents[0].model_dump(exclude_unset=True) if documents else {}
    to = ControlPlane(**{**base, **asked})
    return to, choice.connect(), mesh
