"""Removal of a mesh after a preview and a typed confirmation: ``meshkit uninstall``."""

from __future__ import annotations

import click

from meshkit.cli.changes import progress, show_change, show_plan
from meshkit.cli.output import (
    ClusterChoice,
    changing,
    cluster_options,
    echo,
    json_option,
    mesh_option,
    require_typed,
)


@click.command("uninstall")
@mesh_option
@click.option(
    "--namespace",
    default="",
    metavar="NAME",
    help="The control plane's namespace; default: the mesh's standard one.",
)
@click.option(
    "--crds", is_flag=True, help="Also remove the mesh's CustomResourceDefinitions that have no objects."
)
@click.option("--force", is_flag=True, help="Uninstall even if pods still run the mesh's sidecar.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show only what would be removed. Exit code 5: there is something to remove.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation by the context's name.")
@cluster_options
@json_option
def uninstall_command(
    mesh: str | None,
    namespace: str,
    crds: bool,
    force: bool,
    dry_run: bool,
    yes: bool,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Show everything that a mesh has in a cluster, ask for confirmation, and remove it.

    `meshkit undo ID` restores it.

    Example: meshkit uninstall --mesh istio --dry-run
    """
    from meshkit.operations.change import apply
    from meshkit.operations.uninstall import plan_uninstall

    cluster = choice.connect()
    plan = plan_uninstall(cluster, mesh=mesh, namespace=namespace, crds=crds, force=force)
    if dry_run:
        return show_plan(plan, as_json=as_json)
    if not as_json:
        echo(plan)
    if not (yes or plan.empty):
        require_typed(cluster.context, f"remove this from cluster {cluster}", as_json=as_json)
    with changing():
        change = apply(plan, cluster, confirm=cluster.context, progress=progress(as_json=as_json))
    show_change(change, choice, as_json=as_json)
    return 0
