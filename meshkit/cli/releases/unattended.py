"""Releases without a terminal: as a Job of the cluster, and with a guardian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshkit.cli.changes import progress
from meshkit.cli.output import ClusterChoice, changing, cluster_options, echo, json_option, show
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release

F = TypeVar("F", bound=Callable[..., Any])


def in_cluster_options(command: F) -> F:
    """Add ``--in-cluster``, ``--image`` and ``--guardian`` as a part of the command's arguments."""
    for option in (
        click.option("--guardian", is_flag=True, help="With --in-cluster: a second Job, as its guardian."),
        click.option("--image", metavar="IMAGE", help="With --in-cluster: the image with meshkit."),
        click.option("--in-cluster", is_flag=True, help="Run it as a Job of the cluster and return at once."),
    ):
        command = option(command)
    return command


def run_in_cluster(
    release: Release,
    cluster: Cluster,
    *,
    mesh: str | None,
    prometheus: str | None,
    image: str | None,
    guardian: bool,
    as_json: bool,
) -> int:
    """Plan the objects, apply them, and wait until the release runs."""
    from meshkit.operations.change import apply
    from meshkit.operations.release.unattended.job import IMAGE, plan_in_cluster, wait_until_runs

    made = plan_in_cluster(
        release, cluster, mesh=mesh, prometheus=prometheus, image=image or IMAGE, guardian=guardian
    )
    if not as_json:
        echo(str(made.plan))
    with changing("The objects applied so far are in the journal; 'meshkit history' has their change."):
        change = apply(made.plan, cluster, progress=progress(as_json=as_json))
    wait_until_runs(made, cluster)
    jobs = " and ".join(f"Job meshkit-system/{name}" for name in made.jobs)
    text = (
        f"Running on cluster {cluster} as {jobs}. 'meshkit release status {release.name} --watch' shows it, "
        f"and 'meshkit undo {change.id}' removes the Jobs, their accounts and their roles."
    )
    facts = {"cluster": asdict(cluster.ref), "jobs": made.jobs, "change": change.id, "run": made.change_id}
    show(facts, text, as_json=as_json)
    return 0


def require_in_cluster(in_cluster: bool, image: str | None, guardian: bool) -> None:
    """Refuse options that have a meaning only with ``--in-cluster``."""
    for option, given in (("--image", image), ("--guardian", guardian)):
        if given and not in_cluster:
            raise BadInput(option, "it needs --in-cluster.", remedy="Add --in-cluster, or leave it out.")


@click.command("guard")
@click.argument("name")
@click.option("--change", "change_id", default="", metavar="ID", help="The run; default: the latest.")
@cluster_options
@json_option
def guard_command(name: str, change_id: str, choice: ClusterChoice, as_json: bool) -> int:
    """Watch over a release that runs elsewhere, and roll it back once nobody has run it for `unattended_s`.

    The guardian neither measures nor judges. It ends with the release; exit code 0. It needs the rights of
    'meshkit rights guardian'.

    Example: meshkit release guard web-v2
    """
    from meshkit.operations.release.unattended.guardian import guard_release

    cluster = choice.connect()
    state = guard_release(name, cluster, change_id=change_id, tell=lambda text: echo(text, err=as_json))
    status = state.status if state else "not begun"
    facts = {"cluster": asdict(cluster.ref), "release": name, "status": status}
    show(facts, f"Release {name} on cluster {cluster}: {status.replace('_', ' ')}.", as_json=as_json)
    return 0
