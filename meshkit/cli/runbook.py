"""Shipped runbooks: ``meshkit runbook`` lists, shows and runs them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import ClusterChoice, columns, echo, json_option, show
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.runbooks.execution import RunbookResult


@click.group("runbook", cls=CommandGroup)
def runbook_group() -> None:
    """Run operational procedures headless, as papermill notebooks with typed parameters.

    Example: meshkit runbook list
    """


def _complete_name(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from meshkit.runbooks.catalogue import find_runbooks

    return [CompletionItem(r.name, help=r.title) for r in find_runbooks() if r.name.startswith(incomplete)]


@runbook_group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the runbooks that come with meshkit.

    Example: meshkit runbook list
    """
    from meshkit.runbooks.catalogue import find_runbooks

    runbooks = find_runbooks()
    rows = [(r.name, f"{r.summary.partition('. ')[0].rstrip('.')}.") for r in runbooks]
    show(
        [{"name": r.name, "title": r.title, "summary": r.summary} for r in runbooks],
        columns(("runbook", "what it does"), rows),
        as_json=as_json,
    )


@runbook_group.command("show")
@click.argument("name", shell_complete=_complete_name)
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show what a runbook does, and its parameters with types and defaults.

    Example: meshkit runbook show install_control_plane
    """
    from meshkit.runbooks.catalogue import load_runbook

    runbook = load_runbook(name)
    rows = [(p.name, p.type, repr(p.default), p.help) for p in runbook.parameters]
    text = f"{runbook.title}\n{runbook.summary}\n\n{columns(('parameter', 'type', 'default', 'help'), rows)}"
    show(
        {"name": name, "summary": runbook.summary, "parameters": [asdict(p) for p in runbook.parameters]},
        text,
        as_json=as_json,
    )


@runbook_group.command("run")
@click.argument("name", shell_complete=_complete_name)
@click.option("-p", "given", multiple=True, metavar="KEY=VALUE", help="Set a parameter; can be repeated.")
@click.option(
    "-f", "--file", "file", metavar="FILE", help="Read parameters from a YAML file; -p takes precedence."
)
@click.option(
    "--apply",
    "apply_",
    is_flag=True,
    help="Change the cluster; without this option, the runbook only shows its plan.",
)
@click.option(
    "--out",
    default="out",
    show_default=True,
    metavar="DIR",
    help="Folder for the notebook, the report and the JUnit file.",
)
@json_option
def run_command(
    name: str, given: tuple[str, ...], file: str | None, apply_: bool, out: str, as_json: bool
) -> int:
    """Execute a runbook; without --apply it is a dry run.

    Parameters are validated before anything runs. The exit code is that of the runbook; 5: a dry run with
    pending changes.

    Example: meshkit runbook run install_control_plane -p mesh=istio
    """
    from meshkit.runbooks.execution import run_runbook
    from meshkit.runbooks.parameters import read_parameter_file

    from_file = read_parameter_file(Path(file)) if file else {}
    applied = {"apply": "true"} if apply_ else {}
    parameters = {**from_file, **_pairs(given), **applied}
    on_line = None if as_json else partial(echo, err=True)
    chosen = _chosen_cluster(name, parameters)
    result = run_runbook(name, {**parameters, **chosen}, out=Path(out), on_line=on_line)
    facts: dict[str, Any] = {
        "runbook": result.runbook.name,
        "exit_code": result.exit_code,
        "error": result.error,
        "outcome": result.outcome,
        "cluster": asdict(result.cluster) if result.cluster else None,
        "applied": result.parameters.get("apply"),
        "cell": result.cell,
        "duration_s": round(result.duration_s, 3),
        "notebook": str(result.notebook),
        "report": str(result.report),
        "junit": str(result.junit),
    }
    text = f"{result.duration_s:.1f} s, report in {result.report}\n{result.runbook.name}{_ending(result)}"
    show(facts, text, as_json=as_json)
    return result.exit_code


def _ending(result: RunbookResult) -> str:
    """How the run ended, and on which cluster, to follow the runbook's name."""
    where = f" on cluster {result.cluster}" if result.cluster else ""
    if result.error is not None:
        return f"{where}: exit {result.exit_code}: {result.error}"
    if result.parameters.get("apply") is not False:
        return f": {result.outcome}" if result.outcome else f"{where}: done"
    changes = "changes are pending, use --apply to make them" if result.exit_code else "nothing is pending"
    return f"{where}: dry run, nothing was changed; {changes}"


def _chosen_cluster(name: str, given: dict[str, str]) -> dict[str, str]:
    """Return the parameters of the default cluster if none is given, so that the run is bound to it."""
    from meshkit.runbooks.catalogue import load_runbook
    from meshkit.runbooks.parameters import convert_parameters
    from meshkit.runbooks.secrets import is_reference

    runbook = load_runbook(name)
    convert_parameters(runbook.parameters, given)
    if given.get("context") or not {"context", "kubeconfig"} <= {p.name for p in runbook.parameters}:
        return {}
    if is_reference(given.get("kubeconfig")):
        return {}
    cluster = ClusterChoice(None, given.get("kubeconfig") or None).connect()
    return {"context": cluster.context, "kubeconfig": cluster.kubeconfig} if cluster.kubeconfig else {}


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput("-p", f"{text!r} has no value.", remedy="Write it as -p name=value.")
        pairs[name.strip()] = value
    return pairs
