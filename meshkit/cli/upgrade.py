"""``meshkit upgrade``: a mesh brought to a new version, wave by wave, and back in one command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshkit.cli.changes import progress, show_plan
from meshkit.cli.output import (
    ClusterChoice,
    cluster_options,
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
    """What the control plane shall be: a file's ControlPlane, or these options."""
    options = (
        mesh_option,
        click.option("-f", "--file", default="", metavar="FILE", help="YAML with a ControlPlane."),
        click.option("--version", default="", metavar="VERSION", help="The new version."),
        click.option("--revision", default="", metavar="NAME", help="Beside the old one, under this name."),
        click.option("--charts", default="", metavar="WHERE", help="published, a URL, or a directory."),
        click.option("--tag", "tags", multiple=True, metavar="NAME", help="A name it takes over at the end."),
        cluster_options,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("upgrade")
def upgrade_group() -> None:
    """A mesh to a new version: control plane, then namespace by namespace, judged by its calls."""


@upgrade_group.command("status")
@_target_options
def status_command(as_json: bool, **target: Any) -> None:
    """The control planes, the proxies of each, and what comes next."""
    from meshkit.operations.upgrade.run import upgrade_status

    to, cluster, mesh = _target(**target)
    status = upgrade_status(to, cluster, mesh=mesh)
    show(asdict(status), str(status), as_json=as_json)


@upgrade_group.command("run")
@_target_options
@click.option("--namespace", "order", multiple=True, metavar="NAME", help="Moved first, in this order.")
@click.option("--at-once", default=1, show_default=True, help="Workloads restarted at the same time.")
@click.option("--watch-s", default=10.0, show_default=True, help="Seconds that calls are watched a wave.")
@click.option("--force", is_flag=True, help="Go on where no call is seen: nothing is judged.")
@click.option("--retire", is_flag=True, help="Take the old control plane away at the end.")
@click.option("--dry-run", is_flag=True, help="Only show the next change. Exit code 5: there is one.")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
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
    """Bring everything to the new version, from wherever it stands. A wave that makes calls worse takes its
    namespace back; `meshkit upgrade back` takes all of it back.
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
        click.echo(str(plan))
    if not (yes or plan.empty):
        require_typed(cluster.context, f"upgrade the mesh of cluster {cluster}", as_json=as_json)
    done = apply(plan, cluster, progress=progress(as_json=as_json))
    status = upgrade_status(to, cluster, mesh=mesh)
    back = f"Take it back with: meshkit upgrade back{target['choice'].words}"
    lines = [*map(str, done.changes), str(status), back]
    show([asdict(change) for change in done.changes], "\n".join(lines), as_json=as_json)
    return 0


@upgrade_group.command("back")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
@cluster_options
@json_option
def back_command(yes: bool, choice: ClusterChoice, as_json: bool) -> int:
    """Take the newest upgrade back: the old control plane, every namespace, then the new control plane."""
    from meshkit.operations.upgrade.rollback import back_changes, describe, upgrade_back

    cluster = choice.connect()
    changes = back_changes(cluster)
    if not as_json:
        click.echo(f"Upgrade to {describe(changes[0].operation)}, to be taken back on cluster {cluster}:")
        click.echo("\n".join(f"  {one.what}, {one.started[:16]}, {one.who}" for one in changes))
    if not yes:
        require_typed(cluster.context, f"take the upgrade of cluster {cluster} back", as_json=as_json)
    done = upgrade_back(cluster, progress=progress(as_json=as_json))
    show([asdict(change) for change in done], "\n".join(map(str, done)), as_json=as_json)
    return 0


def _target(
    mesh: str | None,
    file: str,
    version: str,
    revision: str,
    charts: str,
    tags: tuple[str, ...],
    choice: ClusterChoice,
) -> tuple[ControlPlane, Cluster, str | None]:
    """The control plane that the options ask for (the file's, and those given here over it), where, and in
    which mesh.
    """
    from meshkit.errors import BadInput
    from meshkit.intent.document import load_intents
    from meshkit.intent.mesh import ControlPlane

    given = {"version": version, "revision": revision, "charts": charts, "tags": tags}
    asked = {name: value for name, value in given.items() if value}
    found = [one for one in load_intents(file) if isinstance(one, ControlPlane)] if file else []
    if file and not found:
        raise BadInput(file, "it holds no ControlPlane.", remedy="Name the file that installed the mesh.")
    base = found[0].model_dump(exclude_unset=True) if found else {}
    to = ControlPlane(**{**base, **asked})
    return to, choice.connect(), mesh
