"""Canary releases: ``meshkit release`` plans, runs, observes and controls a release through the cluster."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from meshkit.cli.changes import progress, show_or_apply, show_plan, take_fields_option
from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    ClusterChoice,
    Number,
    changing,
    cluster_options,
    columns,
    echo,
    file_option,
    json_option,
    mesh_option,
    show,
)
from meshkit.cli.releases import trains
from meshkit.cli.releases.approve import approve_command
from meshkit.cli.releases.control import (
    COMMANDS,
    FILE,
    RELEASE_FILE,
    load_release,
    load_released,
    released_to_run,
    which_option,
)
from meshkit.cli.releases.unattended import (
    guard_command,
    in_cluster_options,
    require_in_cluster,
    run_in_cluster,
)
from meshkit.errors import BadInput, ClusterError, NoData, Unhealthy, WarningsFound

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.decide.plan import ReleaseForecast
    from meshkit.facts import ClusterRef
    from meshkit.intent.release import Release
    from meshkit.intent.train import ReleaseTrain

_AFTER_CTRL_C = (
    "The weights stay as they are, and nothing watches them. Run the same command again to resume the "
    "release; 'meshkit release status' shows its state and how to undo it."
)


@click.group("release", cls=CommandGroup)
def release_group() -> None:
    """Release a new version as a canary that is compared with the stable version.

    Example: meshkit release run -f release.yaml
    """


_prometheus_option = click.option(
    "--prometheus",
    metavar="URL",
    help="Take metrics from this Prometheus; default: from the sidecars' metrics endpoints.",
)


@release_group.command("plan")
@file_option(FILE)
@mesh_option
@_prometheus_option
@cluster_options
@json_option
def plan_command(
    file: str, mesh: str | None, prometheus: str | None, choice: ClusterChoice, as_json: bool
) -> int:
    """Show the route that a release would shift, whose it is, its weights, the steps and a forecast.

    The traffic is measured in the cluster for up to 15 seconds, or with Prometheus for a minute. The command
    changes nothing. Exit code 5: the release can be run, or resumed.

    Example: meshkit release plan -f release.yaml
    """
    from meshkit.intent.train import ReleaseTrain
    from meshkit.operations.release.plan import plan_release
    from meshkit.operations.release.train.plan import plan_train

    released = load_released(file)
    if isinstance(released, ReleaseTrain):
        train = plan_train(released, choice.connect(), mesh=mesh, prometheus=prometheus)
        return show_plan(train, as_json=as_json)
    plan = plan_release(released, choice.connect(), mesh=mesh, prometheus=prometheus)
    return show_plan(plan, as_json=as_json)


@release_group.command("run")
@which_option
@mesh_option
@click.option("--detach", is_flag=True, help="Run in a separate process and return at once.")
@in_cluster_options
@click.option("--change", "change_id", metavar="ID", help="Run it as this change, and never a second time.")
@_prometheus_option
@cluster_options
@json_option
def run_command(
    name: str | None,
    file: str | None,
    mesh: str | None,
    detach: bool,
    in_cluster: bool,
    image: str | None,
    guardian: bool,
    change_id: str | None,
    prometheus: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Run a release or a train to its end, or resume one whose process has died.

    NAME is enough to resume a release; the journal has its settings. With --detach or --in-cluster, the
    command returns once the release runs, and fails with the reason if it does not start.

    Exit code 0: promoted; 1: rolled back; 3: undecided. With --change, which is for programs that are started
    again, it is 0 once the release has ended, however it did.

    Example: meshkit release run -f release.yaml
    """
    from meshkit.intent.train import ReleaseTrain
    from meshkit.operations.change import apply
    from meshkit.operations.release.plan import plan_release
    from meshkit.operations.release.runner import ended_run

    require_in_cluster(in_cluster, image, guardian)
    cluster = None if file else choice.connect()
    release = released_to_run(name, file, cluster)
    cluster = cluster or choice.connect()
    where = {"cluster": asdict(cluster.ref)}
    if isinstance(release, ReleaseTrain):
        trains.require_here(in_cluster=in_cluster, change_id=change_id)
        if not detach:
            return trains.run(release, cluster, mesh=mesh, prometheus=prometheus, as_json=as_json)
        return _detached(release, cluster, mesh, prometheus, as_json=as_json)
    if in_cluster:
        return run_in_cluster(
            release,
            cluster,
            mesh=mesh,
            prometheus=prometheus,
            image=image,
            guardian=guardian,
            as_json=as_json,
        )
    if change_id and (ended := ended_run(release.name, change_id, cluster)):
        show({**where, "result": ended.result}, f"It has ended: {ended.status}.", as_json=as_json)
        return 0
    if detach:
        return _detached(release, cluster, mesh, prometheus, as_json=as_json)
    plan = plan_release(release, cluster, mesh=mesh, prometheus=prometheus)
    if change_id:
        plan = plan.as_change(change_id)
    if not as_json:
        echo(plan.text(forecast=False))
    with changing(_AFTER_CTRL_C):
        outcome = apply(plan, cluster, progress=progress(as_json=as_json))
    facts = {"result": outcome.result, "change": outcome.change_id, "sentences": outcome.sentences, **where}
    show(facts, str(outcome), as_json=as_json)
    return 0 if change_id else outcome.exit_code


def _detached(
    released: Release | ReleaseTrain,
    cluster: Cluster,
    mesh: str | None,
    prometheus: str | None,
    *,
    as_json: bool,
) -> int:
    """Run it in a process of its own, and say which."""
    from meshkit.operations.release.unattended.detached import run_detached

    runner = run_detached(released, cluster, mesh=mesh, prometheus=prometheus)
    how = "Running" if runner.started else "Not started yet, still waiting,"
    text = f"{how} on cluster {cluster} as process {runner.pid}; log in {runner.log}"
    facts = {"pid": runner.pid, "log": str(runner.log), "started": runner.started}
    show({"cluster": asdict(cluster.ref), **facts}, text, as_json=as_json)
    return 0


for _each in (*COMMANDS, approve_command, guard_command):
    release_group.add_command(_each)


@release_group.command("forecast")
@file_option(RELEASE_FILE)
@mesh_option
@click.option("--rps", type=Number(0, min_open=True), help="Requests per second to assume.")
@click.option("--strict", is_flag=True, help="Exit with 5 if the forecast has warnings.")
@_prometheus_option
@cluster_options
@json_option
def forecast_command(
    file: str,
    mesh: str | None,
    rps: float | None,
    strict: bool,
    prometheus: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Forecast how long a release takes at the current traffic, and whether it can pass and fail as written.

    The traffic is measured in the cluster for up to 15 seconds, or with Prometheus for a minute. With --rps
    and without a cluster, the forecast assumes a typical service, and latency buckets that carry the
    release's margins; whether those of the mesh do shows only with a cluster. The command changes nothing.
    Exit code 0; 1 if the release cannot pass as written, for a reason that is shown; with --strict, 5 if
    there are warnings.

    Example: meshkit release forecast -f release.yaml --rps 50
    """
    from meshkit.operations.release.forecast import forecast_release

    release, cluster = load_release(file), None
    try:
        cluster = choice.connect()
        forecast = forecast_release(release, cluster, mesh=mesh, rps=rps, prometheus=prometheus)
    except (ClusterError, NoData, BadInput) as problem:
        if rps is None or choice.explicit or prometheus:
            raise
        cluster = None
        echo(f"The forecast assumes a typical service: {problem.message}", err=True)
        echo("It assumes latency buckets that carry the margins, too; those of the mesh may not.", err=True)
        forecast = forecast_release(release, mesh=mesh, rps=rps)
    where = cluster.ref if cluster else None
    show(_facts(forecast, where), _text(forecast, release, where), as_json=as_json)
    if any(finding.severity == "error" for finding in forecast.findings):
        return Unhealthy.exit_code
    return WarningsFound.exit_code if strict and forecast.findings else 0


@release_group.command("buckets")
@file_option(RELEASE_FILE)
@mesh_option
@click.option("--apply", "applied", is_flag=True, help="Carry the plan out, after a confirmation.")
@click.option("--yes", is_flag=True, help="Do not ask after showing the plan.")
@take_fields_option
@_prometheus_option
@cluster_options
@json_option
def buckets_command(
    file: str,
    mesh: str | None,
    applied: bool,
    yes: bool,
    take_fields: bool,
    prometheus: str | None,
    choice: ClusterChoice,
    as_json: bool,
) -> int:
    """Plan closer latency buckets for the proxies of callers and of both versions (Istio).

    The traffic is measured as for a forecast. The plan annotates the pod templates of the workloads, whose
    pods are replaced then; without --apply it is only shown (exit code 5: there is something to change).
    `meshkit undo ID` takes it back. Exit code 2 if the mesh's buckets are fixed: the message names the
    smallest margins that they carry.

    Example: meshkit release buckets -f release.yaml
    """
    from meshkit.operations.release.buckets import plan_buckets

    release, cluster = load_release(file), choice.connect()
    plan = plan_buckets(release, cluster, mesh=mesh, prometheus=prometheus, take_fields=take_fields)
    return show_or_apply(plan, cluster, choice, applied=applied, yes=yes, as_json=as_json)


def _facts(forecast: ReleaseForecast, where: ClusterRef | None) -> dict[str, Any]:
    """Return the forecast as JSON data; infinite times, and the cluster of a typical service, are null."""
    return {
        **forecast.as_record(),
        "measured": where is not None,
        "cluster": asdict(where) if where else None,
    }


def _text(forecast: ReleaseForecast, release: Release, where: ClusterRef | None) -> str:
    from meshkit.decide.formatting import count, percent, rate, seconds

    traffic = f"{rate(forecast.rps)} requests per second" + (f" on cluster {where}" if where else "")
    lines = [f"Release {release.name} at {traffic}: promoted after {seconds(forecast.promote_s)}."]
    if release.watch_s:
        lines.append(f"Then it is watched for {seconds(release.watch_s)}.")
    shown = [
        (
            s.name,
            f"{s.limit:g} {s.unit}",
            seconds(s.seconds),
            count(s.canary_requests) if s.seconds < math.inf else "-",
        )
        for s in forecast.statements
    ]
    lines += ["", columns(("to be shown", "margin", "after", "canary requests"), shown)]
    lines += [
        "",
        columns(("step", "lasts"), [(percent(s.percent), seconds(s.seconds)) for s in forecast.steps]),
    ]
    lines += [
        "",
        "Of the canaries that are worse, 90 % are rolled back within about (from the first weight on):",
    ]
    lines.append(columns(("harm", "within"), [(h.name, seconds(h.seconds)) for h in forecast.harms]))
    for finding in forecast.findings:
        lines += ["", f"{finding.severity} {finding.code}: {finding.message}", f"  {finding.remedy}"]
    return "\n".join(lines)
