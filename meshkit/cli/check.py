"""Health checks as a table and as an exit code for CI: ``meshkit check``."""

from __future__ import annotations

import click

from meshkit.cli.output import (
    SECONDS,
    ClusterChoice,
    cluster_options,
    files_option,
    json_option,
    mesh_option,
    show,
)
from meshkit.errors import WarningsFound

_ALL = "*"
"""The value of --to-ambient without a namespace; no namespace has this name."""


@click.command("check")
@click.option("--pre", is_flag=True, help="Check whether the mesh can be installed on this cluster.")
@click.option("--strict", is_flag=True, help="Exit with 5 if there are warnings.")
@click.option(
    "--to-ambient",
    "to_ambient",
    metavar="[NAMESPACE]",
    is_flag=False,
    flag_value=_ALL,
    help="Find what is in the way of moving this namespace, or each with sidecars, to Istio's ambient mode.",
)
@files_option("Check the objects in this file or folder in place of a cluster; repeatable.")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    help="A namespace to read if you may not read the whole cluster; repeatable.",
)
@click.option(
    "--traffic",
    "traffic_s",
    type=SECONDS,
    metavar="SECONDS",
    help="Read the requests of so many seconds too, and hold retries, limits and timeouts against them.",
)
@mesh_option
@cluster_options
@json_option
def check_command(
    pre: bool,
    strict: bool,
    to_ambient: str | None,
    files: tuple[str, ...],
    namespaces: tuple[str, ...],
    traffic_s: float | None,
    mesh: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Check the health of a mesh, whether it can be installed, or files before they are applied.

    With --to-ambient, check what a move to Istio's ambient mode needs. The command changes nothing. Exit code
    1: there are errors; 5: there are warnings and --strict is set.

    Example: meshkit check --mesh istio
    """
    from meshkit.operations.health import check

    wanted: str | bool = to_ambient == _ALL or to_ambient or False
    cluster = None if files else choice.connect(name_it=as_json)
    findings = check(
        cluster,
        mesh=mesh,
        pre=pre,
        files=files,
        to_ambient=wanted,
        namespaces=namespaces,
        traffic_s=traffic_s,
    )
    show([finding.as_record() for finding in findings], str(findings), as_json=as_json)
    if findings.errors:
        return 1
    return WarningsFound.exit_code if strict and findings.warnings else 0
