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
@click.option("--although", is_flag=True, help="Even if that takes the whole control plane away.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen. Exit code 5.")
@click.option("--yes", is_flag=True, help="Do not ask for the name once more.")
@mesh_option
@cluster_options
@json_option
def rehearse_command(
    zone: str,
    node: str,
    although: bool,
    dry_run: bool,
    yes: bool,
    mesh: str,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Drain a zone or a node, count what becomes of the mesh meanwhile, and open it again. Exit code 1: it
    went otherwise than computed.
    """
    from meshkit.operations.rehearsal.rehearse import Drain, rehearse

    cluster = choice.connect()
    first = rehearse(cluster, mesh=mesh, zone=zone, node=node)
    if dry_run:
        show(first.as_record(), str(first), as_json=as_json)
        return CHANGES_PENDING
    if not yes:
        click.echo(str(first), err=as_json)
        require_typed(first.place, f"drain it in cluster {cluster}", as_json=as_json)
    drain = Drain(say=lambda sentence: click.echo(sentence, err=True))
    done = rehearse(
        cluster, mesh=mesh, zone=zone, node=node, consent=first.place, although=although, drain=drain
    )
    show(done.as_record(), str(done), as_json=as_json)
    done.require()
    return 0
