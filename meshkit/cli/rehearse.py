"""Drain rehearsals that are compared with their forecast: ``meshkit rehearse``."""

from __future__ import annotations

import click

from meshkit.cli.output import (
    ClusterChoice,
    cluster_options,
    echo,
    json_option,
    mesh_option,
    require_typed,
    show,
)
from meshkit.errors import CHANGES_PENDING


@click.command("rehearse")
@click.option("--zone", default="", metavar="NAME", help="The zone to drain.")
@click.option("--node", default="", metavar="NAME", help="The node to drain, instead of a zone.")
@click.option("--force", is_flag=True, help="Drain even if no control plane replica remains available.")
@click.option("--dry-run", is_flag=True, help="Show only the forecast. Exit code 5.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation by name.")
@mesh_option
@cluster_options
@json_option
def rehearse_command(
    zone: str,
    node: str,
    force: bool,
    dry_run: bool,
    yes: bool,
    mesh: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Drain a zone or a node, measure the effect on the mesh, and uncordon it again.

    Exit code 1: the result differs from the forecast.

    Example: meshkit rehearse --zone zone-a --dry-run
    """
    from meshkit.operations.change import apply
    from meshkit.operations.rehearsal.rehearse import plan_rehearsal

    cluster = choice.connect()
    plan = plan_rehearsal(cluster, mesh=mesh, zone=zone, node=node, force=force)
    if dry_run:
        show(plan.as_record(), str(plan), as_json=as_json)
        return CHANGES_PENDING
    if not yes:
        echo(plan, err=as_json)
        require_typed(plan.place, f"drain it in cluster {cluster}", as_json=as_json)
    done = apply(plan, cluster, confirm=plan.place, progress=lambda event: echo(event, err=True))
    show(done.as_record(), str(done), as_json=as_json)
    done.require()
    return 0
