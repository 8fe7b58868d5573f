"""The roles for an account that reads, plans, applies, releases or guards: ``meshkit rights``."""

from __future__ import annotations

import click

from meshkit.cli.output import json_option, required_mesh_option, show
from meshkit.errors import BadInput


@click.command("rights")
@click.argument("verb", metavar="read|plan|apply|release|guardian")
@click.option(
    "--for",
    "account",
    default="",
    metavar="NAMESPACE/ACCOUNT",
    help="Add the bindings for this ServiceAccount.",
)
@required_mesh_option
@json_option
def rights_command(verb: str, account: str, mesh: str | None, as_json: bool) -> None:
    """Print the ClusterRole with just the rights that a verb needs, as YAML for `kubectl apply -f -`.

    They are made from the rights that the commands check before they change anything. The command does not
    connect to a cluster.

    Example: meshkit rights release --mesh istio --for ci/deployer
    """
    from meshkit.operations.rights.roles import VERBS, role_objects, role_text

    if verb not in VERBS:
        raise BadInput("verb", f"{verb!r} is none of {', '.join(VERBS)}.", remedy="Name one of them.")
    if mesh is None:
        raise BadInput("mesh", "none is named.", remedy="Name one with --mesh.")
    if account and account.count("/") != 1:
        raise BadInput("--for", f"{account!r} is no account.", remedy="Write namespace/name.")
    text = role_text(verb, mesh, account=account).rstrip()
    show(role_objects(verb, mesh, account=account), text, as_json=as_json)
