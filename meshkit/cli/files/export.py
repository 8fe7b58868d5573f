"""``meshkit export`` prints the mesh's objects of a cluster, or its intents, as YAML for a Git repository."""

from __future__ import annotations

import click

from meshkit.cli.output import ClusterChoice, cluster_options, echo, json_option, mesh_option, show


@click.command("export")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NS",
    help="Only this namespace; repeat it for several.",
)
@click.option(
    "--intents", is_flag=True, help="Print the intents that can be read back, for 'meshkit plan -f'."
)
@mesh_option
@cluster_options
@json_option
def export_command(
    namespaces: tuple[str, ...], intents: bool, mesh: str | None, choice: ClusterChoice, as_json: bool
) -> None:
    """Print the mesh's objects of a cluster as YAML for a Git repository.

    Left out is what a server or a controller adds, and every Secret; a comment names what is not there.
    With --intents, the objects are read back as intents: a file for `meshkit plan -f`. Nothing is changed.

    Example: meshkit export -n shop --intents
    """
    from meshkit.operations.export.live_intents import export_intents
    from meshkit.operations.export.live_mesh import export_mesh

    export = export_intents if intents else export_mesh
    found = export(choice.connect(), namespaces, mesh=mesh)
    if as_json:
        show(found.as_record(), "", as_json=True)
    else:
        echo(found.yaml, nl=False)
