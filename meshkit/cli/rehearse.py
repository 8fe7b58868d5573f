"""``meshkit rehearse``: drain a zone or a node on purpose, and compare with what was computed."""

from __future__ import annotations

import click

from meshkit.cli.output import (
    ClusterChoice,
    cluster_options,
    json_option,
    mesh_option,
    require_typed,
    show,
)
from meshkit.errors import CHANGES_PENDING


@click.command("rehearse")
@click.option("--zone", default="", metavar="NAME", help="The zone to drain.")
@click.option("--node", default="", metavar="NAME", help="Or the one node to drain.")
@click.option("--force", is_flag=True, help="Even if that takes the whole control plane away.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen. Exit code 5.")
@click.option("--yes", is_flag=True, help="Do not ask for the name once more.")
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
    """Drain a zone or a node, count what becomes of the mesh meanwhile, and open it again. Exit code 1: it
    went otherwise than computed.
    """
    from meshkit.operations.change import apply
    from meshkit.operations.rehearsal.rehearse import plan_rehearsal

    cluster = choice.connect()
    plan = plan_rehearsal(cluster, mesh=mesh, zone=zone, node=node, force=force)
    if dry_run:
        show(plan.as_record(), str(plan), as_json=as_json)
        return CHANGES_PENDING
    if not yes:
        click.echo(str(plan), err=as_json)
        require_typed(plan.place, f"drain it in cluster {cluster}", as_json=as_json)
    done = apply(plan, cluster, confirm=plan.place, progress=lambda event: click.echo(str(event), err=True))
    show(done.as_record(), str(done), as_json=as_json)
    done.require()
    return 0
