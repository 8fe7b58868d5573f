"""Status and rotation of a mesh's trust anchor and issuer: ``meshkit identity``."""

from __future__ import annotations

from dataclasses import asdict

import click

from meshkit.cli.changes import progress, show_plan
from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    SECONDS,
    ClusterChoice,
    changing,
    cluster_options,
    echo,
    json_option,
    mesh_option,
    require_typed,
    show,
)

_namespace_option = click.option(
    "--namespace", default="", metavar="NAME", help="The control plane's; default: the mesh's usual one."
)


@click.group("identity", cls=CommandGroup)
def identity_group() -> None:
    """Show or rotate Linkerd's trust anchor and issuer without losing requests.

    Example: meshkit identity status
    """


@identity_group.command("status")
@mesh_option
@_namespace_option
@cluster_options
@json_option
def status_command(mesh: str | None, namespace: str, choice: ClusterChoice, as_json: bool) -> None:
    """Show the trusted anchors, the issuer, when they expire, and the state of a rotation.

    Example: meshkit identity status
    """
    from meshkit.operations.identity.rotate import identity_status

    status = identity_status(choice.connect(), mesh=mesh, namespace=namespace)
    show(asdict(status), str(status), as_json=as_json)


@identity_group.command("rotate")
@mesh_option
@_namespace_option
@click.option("--anchor-days", default=3650, show_default=True, help="Lifetime of the new anchor, in days.")
@click.option("--issuer-days", default=365, show_default=True, help="Lifetime of the new issuer, in days.")
@click.option(
    "--at-once", default=1, show_default=True, help="Number of workloads restarted at the same time."
)
@click.option(
    "--watch-s",
    type=SECONDS,
    default=10.0,
    show_default=True,
    help="Seconds for which calls are counted after each wave.",
)
@click.option("--force", is_flag=True, help="Continue without judgement when no calls are seen.")
@click.option("--dry-run", is_flag=True, help="Show only the next of the four changes. Exit code 5.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation by the context's name.")
@cluster_options
@json_option
def rotate_command(
    mesh: str | None,
    namespace: str,
    anchor_days: int,
    issuer_days: int,
    at_once: int,
    watch_s: float,
    force: bool,
    dry_run: bool,
    yes: bool,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Replace the trust anchor and the issuer in four changes.

    Every meshed workload restarts three times. An interrupted rotation resumes from its current phase.

    Example: meshkit identity rotate --dry-run
    """
    from meshkit.operations.change import apply
    from meshkit.operations.identity.rotate import RotationOptions, plan_rotation
    from meshkit.operations.traffic_gate import TrafficGateOptions

    cluster = choice.connect()
    gate = TrafficGateOptions(watch_s=watch_s, force=force)
    options = RotationOptions(anchor_days=anchor_days, issuer_days=issuer_days, at_once=at_once, gate=gate)
    plan = plan_rotation(cluster, mesh=mesh, namespace=namespace, options=options)
    if dry_run:
        return show_plan(plan, as_json=as_json)
    if not as_json:
        echo(plan)
    if not yes:
        require_typed(cluster.context, f"rotate the identity of cluster {cluster}", as_json=as_json)
    with changing():
        done = apply(plan, cluster, progress=progress(as_json=as_json))
    show([asdict(change) for change in done.changes], str(done), as_json=as_json)
    return 0
