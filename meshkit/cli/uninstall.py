"""``meshkit uninstall``: a mesh taken away, after it was shown and a name was typed."""

from __future__ import annotations

import click

from meshkit.cli.changes import progress, show_change, show_plan
from meshkit.cli.output import ClusterChoice, cluster_options, json_option, mesh_option, require_typed


@click.command("uninstall")
@mesh_option
@click.option("--namespace", default="", metavar="NAME", help="The control plane's; default: the usual one.")
@click.option("--crds", is_flag=True, help="Also the mesh's definitions, where they hold no objects.")
@click.option("--force", is_flag=True, help="Even while pods still run its sidecar.")
@click.option("--dry-run", is_flag=True, help="Only show what would go. Exit code 5: something would.")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
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
    """Show all that a mesh has in a cluster, ask, and take it away. `meshkit undo ID` brings it back."""
    from meshkit.operations.change import apply
    from meshkit.operations.uninstall import plan_uninstall

    cluster = choice.connect()
    plan = plan_uninstall(cluster, mesh=mesh, namespace=namespace, crds=crds, force=force)
    if dry_run:
        return show_plan(plan, as_json=as_json)
    if not as_json:
        click.echo(str(plan))
    if not (yes or plan.empty):
        require_typed(cluster.context, f"take this away from cluster {cluster}", as_json=as_json)
    change = apply(plan, cluster, confirm=cluster.context, progress=progress(as_json=as_json))
    show_change(change, choice, as_json=as_json)
    return 0
