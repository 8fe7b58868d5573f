"""Experiments with traffic: ``meshkit experiment list | stop | compare``."""

from __future__ import annotations

from dataclasses import asdict

import click

from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import (
    AGAIN,
    ClusterChoice,
    Number,
    changing,
    cluster_options,
    columns,
    json_option,
    show,
)


@click.group("experiment", cls=CommandGroup)
def experiment_group() -> None:
    """List, stop and compare experiments with traffic.

    An experiment is started from a notebook or a program, with mk.Experiment.

    Example: meshkit experiment list
    """


@experiment_group.command("list")
@cluster_options
@json_option
def list_command(choice: ClusterChoice, as_json: bool) -> None:
    """List the experiments that have changed traffic and not put it back.

    Without a process, the kernel or program has died: stop it, or start another for the same Service.

    Example: meshkit experiment list
    """
    from meshkit.operations.experiments.taking_back import open_experiments

    cluster = choice.connect(name_it=as_json)
    found = [asdict(each) for each in open_experiments(cluster)]
    head = ("id", "target", "who", "started", "process", "why")
    rows = [[str(each.get(name) or "") for name in head] for each in found]
    for row, each in zip(rows, found, strict=True):
        row[4] = str(each["holder"] or "none")
    text = columns(head, rows) if rows else f"No experiment is open on cluster {cluster}."
    show(found, text, as_json=as_json)


@experiment_group.command("stop")
@click.argument("experiment_id", default="")
@click.option("--why", default="", metavar="TEXT", help="The reason, for the journal.")
@cluster_options
@json_option
def stop_command(experiment_id: str, why: str, choice: ClusterChoice, as_json: bool) -> None:
    """Put back what experiments changed, whoever runs them: one by its id, or all.

    The process of a stopped experiment notices and changes nothing more. Objects that others have changed
    since are not touched.

    Example: meshkit experiment stop
    """
    from meshkit.operations.experiments.taking_back import stop_experiments

    with changing(AGAIN):
        stopped = stop_experiments(choice.connect(), experiment_id, why=why)
    text = "\n".join(map(str, stopped)) or "No experiment is open: there is nothing to stop."
    show([asdict(change) for change in stopped], text, as_json=as_json)


@experiment_group.command("compare")
@click.argument("first")
@click.argument("others", nargs=-1, required=True)
@click.option(
    "--confidence",
    type=Number(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of each interval.",
)
@json_option
def compare_command(first: str, others: tuple[str, ...], confidence: float, as_json: bool) -> None:
    """Compare recorded experiments with the first, version by version, with intervals.

    FIRST and OTHERS are files that run.to_json_lines() wrote.

    Example: meshkit experiment compare monday.jsonl tuesday.jsonl
    """
    from meshkit.operations.experiments.comparison import compare_experiments
    from meshkit.operations.experiments.recording import load_experiment

    runs = [load_experiment(file) for file in (first, *others)]
    found = compare_experiments(*runs, confidence=confidence)
    show(found.rows(), str(found), as_json=as_json)
