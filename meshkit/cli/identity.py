"""``meshkit identity``: Linkerd's trust anchor and issuer, looked at and replaced."""

from __future__ import annotations

from dataclasses import asdict

import click

from meshkit.cli.changes import print_progress, show_plan
from meshkit.cli.output import ClusterChoice, cluster_options, json_option, require_typed, show

_namespace_option = click.option(
    "--namespace", default="linkerd", show_default=True, metavar="NAME", help="The control plane's."
)


@click.group("identity")
def identity_group() -> None:
    """Linkerd's trust anchor and issuer: who they are, and new ones without a lost request."""


@identity_group.command("status")
@_namespace_option
@cluster_options
@json_option
def status_command(namespace: str, choice: ClusterChoice, as_json: bool) -> None:
    """Who is trusted, who issues, until when, and where a rotation stands."""
    from meshkit.operations.identity.rotate import identity_status

    status = identity_status(choice.connect(), namespace=namespace)
    show(asdict(status), str(status), as_json=as_json)


@identity_group.command("rotate")
@_namespace_option
@click.option("--anchor-days", default=3650, show_default=True, help="Lifetime of the new anchor.")
@click.option("--issuer-days", default=365, show_default=True, help="Lifetime of the new issuer.")
@click.option("--at-once", default=1, show_default=True, help="Workloads restarted at the same time.")
@click.option("--watch-s", default=10.0, show_default=True, help="Seconds that calls are watched a wave.")
@click.option("--accept-quiet", is_flag=True, help="Go on where no call is seen: nothing is judged.")
@click.option("--dry-run", is_flag=True, help="Only show the next of the four changes. Exit code 5.")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
@cluster_options
@json_option
def rotate_command(
    namespace: str,
    anchor_days: int,
    issuer_days: int,
    at_once: int,
    watch_s: float,
    accept_quiet: bool,
    dry_run: bool,
    yes: bool,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Replace the trust anchor and the issuer in four changes; every meshed workload restarts three times.
    Goes on where one that was interrupted stands.
    """
    from meshkit.operations.change import silent
    from meshkit.operations.identity.rotate import Rotating, plan_rotation, rotate_identity
    from meshkit.operations.traffic_gate import Judging

    cluster = choice.connect()
    judging = Judging(watch_s=watch_s, accept_quiet=accept_quiet)
    how = Rotating(anchor_days=anchor_days, issuer_days=issuer_days, at_once=at_once, judging=judging)
    plan = plan_rotation(cluster, namespace=namespace, how=how)
    if dry_run:
        return show_plan(plan, as_json=as_json)
    if not as_json:
        click.echo(str(plan))
    if not yes:
        require_typed(cluster.context, f"rotate the identity of cluster {cluster}", as_json=as_json)
    done = rotate_identity(
        cluster,
        namespace=namespace,
        how=how,
        progress=None if as_json else print_progress,
        say=silent if as_json else click.echo,
    )
    show([asdict(change) for change in done], "\n".join(map(str, done)), as_json=as_json)
    return 0
