"""What every command shares: the options that choose a cluster, and printing for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from meshkit.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """``--json``, as the argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def cluster_options(command: F) -> F:
    """``--kubeconfig`` and ``--context``. Without them: the cluster around this pod, else the sandbox."""
    command = click.option("--context", metavar="NAME", help="Context of the kubeconfig.")(command)
    return click.option("--kubeconfig", metavar="FILE", help="Kubeconfig to read; default: $KUBECONFIG.")(
        command
    )


def mesh_option(command: F) -> F:
    """``--mesh``; its value is checked against the table of meshes by the library."""
    return click.option(
        "--mesh", default="istio", show_default=True, metavar="NAME", help="istio or linkerd."
    )(command)


def file_option(help_text: str) -> Callable[[F], F]:
    """``-f FILE``, required, as the argument ``file``."""
    return click.option("-f", "--file", "file", required=True, metavar="FILE", help=help_text)


def not_yet(group: click.Group, name: str, help_text: str, instead: str) -> None:
    """Add a command that is not there yet to a group: whatever its arguments, it says so in one sentence."""

    @group.command(
        name, help=f"{help_text} (not there yet)", context_settings={"ignore_unknown_options": True}
    )
    @click.argument("_arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
    @click.pass_context
    def refuse(context: click.Context, _arguments: tuple[str, ...]) -> None:
        raise BadInput(context.command_path, "this verb is not there yet.", remedy=instead)


def show(data: Any, text: str, *, as_json: bool) -> None:
    """Print ``data`` as JSON, or ``text``."""
    click.echo(json.dumps(data, indent=2, default=str) if as_json else text)


def require_typed(name: str, to: str, *, as_json: bool) -> None:
    """Ask a person to type a name before something that hurts; anything else ends the command."""
    typed = click.prompt(f"Type {name} to {to}", default="", show_default=False, err=as_json)
    if typed != name:
        click.echo("Nothing was changed.", err=True)
        raise click.Abort


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in text: columns as wide as their longest cell, two spaces between them."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
