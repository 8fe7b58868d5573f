"""``meshkit check``: findings as a table, and as an exit code for CI."""

from __future__ import annotations

import click

from meshkit.cli.output import ClusterChoice, cluster_options, json_option, mesh_option, show
from meshkit.errors import WarningsFound


@click.command("check")
@click.option("--pre", is_flag=True, help="Ask whether the mesh can be installed here.")
@click.option("--strict", is_flag=True, help="Exit with 5 where there are warnings.")
@mesh_option
@cluster_options
@json_option
def check_command(pre: bool, strict: bool, mesh: str | None, choice: ClusterChoice, as_json: bool) -> int:
    """Look for faults in a mesh, or before installing one; change nothing. Exit code 1: errors, 5: warnings
    under --strict.
    """
    from meshkit.operations.health import check

    found = check(choice.connect(name_it=as_json), mesh=mesh, pre=pre)
    show([finding.as_record() for finding in found], str(found), as_json=as_json)
    if found.errors:
        return 1
    return WarningsFound.exit_code if strict and found.warnings else 0
