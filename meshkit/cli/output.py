"""Options and output that all commands share: choice of the cluster, tables for people, JSON for programs."""

from __future__ import annotations

import functools
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from meshkit.errors import BadInput
from meshkit.views.plain_text import visible, visible_beside_colors, visible_line

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster

_NOTHING_CHANGED = "Nothing was changed."
AFTER_CTRL_C = (
    "Steps that are done stay done. Run the same command again to complete the change; "
    "'meshkit history' lists it as open, and 'meshkit undo ID' restores what it replaced."
)
AGAIN = "Run the same command again to complete it."
MOST_SECONDS = 366 * 86_400.0
"""The longest time for which a command waits: a year."""
F = TypeVar("F", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A number of an option, within bounds: neither infinite nor NaN, which Python reads too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that was given, or the refusal of anything else."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


SECONDS = Number(0, MOST_SECONDS)
"""How long a command counts or watches."""


def json_option(command: F) -> F:
    """Add the flag ``--json`` as the argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def yaml_option(help_text: str) -> Callable[[F], F]:
    """Add the option ``-o yaml`` to a command that prints objects, as the argument ``output``."""
    return click.option("-o", "--output", "output", type=click.Choice(["yaml"]), help=help_text)


@dataclass(frozen=True)
class ClusterChoice:
    """The cluster that a command's options select."""

    context: str | None
    kubeconfig: str | None

    @property
    def explicit(self) -> bool:
        """Whether the options name a cluster."""
        return self.context is not None or self.kubeconfig is not None

    @property
    def words(self) -> str:
        """Return the given options as text, to suggest a next command for the same cluster."""
        given = (("--kubeconfig", self.kubeconfig), ("--context", self.context))
        return "".join(f" {option} {shlex.quote(value)}" for option, value in given if value is not None)

    def connect(self, *, name_it: bool = False) -> Cluster:
        """Connect to the cluster, and print its name on stderr if the options do not name its context.

        With ``name_it``, stderr always names the cluster. Use it when the output cannot name it, such as a
        JSON list.
        """
        from meshkit.cluster.connect import connect

        cluster = connect(context=self.context, kubeconfig=self.kubeconfig)
        if cluster.reason or name_it:
            why = f", {cluster.reason}" if cluster.reason else ""
            echo(f"cluster: {cluster}{why}", err=True)
        return cluster


def cluster_options(command: F) -> F:
    """Add ``--kubeconfig`` and ``--context`` as the one argument ``choice``, a ``ClusterChoice``."""

    @click.option(
        "--kubeconfig",
        metavar="FILE",
        help="Use the current-context of this file. Default: $KUBECONFIG, else the cluster around this pod, "
        "else the sandbox.",
    )
    @click.option(
        "--context",
        metavar="NAME",
        help="Use this context, of FILE, $KUBECONFIG, ~/.kube/config or the sandbox.",
    )
    @functools.wraps(command)
    def with_choice(*arguments: Any, kubeconfig: str | None, context: str | None, **options: Any) -> Any:
        return command(*arguments, choice=ClusterChoice(context, kubeconfig), **options)

    return cast(F, with_choice)


def mesh_option(command: F) -> F:
    """Add the option ``--mesh``; the library resolves an absent value and validates a given one."""
    help_text = "istio or linkerd; required only if the cluster has no mesh yet, or several."
    return click.option("--mesh", metavar="NAME", help=help_text)(command)


def required_mesh_option(command: F) -> F:
    """Add the option ``--mesh`` to a command that does not connect to a cluster."""
    return click.option("--mesh", metavar="NAME", help="istio or linkerd; required.")(command)


def file_option(help_text: str) -> Callable[[F], F]:
    """Add the required option ``-f FILE`` as the argument ``file``."""
    return click.option("-f", "--file", "file", required=True, metavar="FILE", help=help_text)


def files_option(help_text: str) -> Callable[[F], F]:
    """Add the repeatable option ``-f FILE`` as the argument ``files``."""
    return click.option("-f", "--file", "files", multiple=True, metavar="FILE", help=help_text)


def show(data: Any, text: str, *, as_json: bool, colored: bool = False) -> None:
    """Print ``data`` as JSON, or else ``text``, in which meshkit may have set colours itself."""
    if colored and not as_json:
        click.echo(visible_beside_colors(text))
    else:
        echo(json.dumps(data, indent=2, default=str) if as_json else text)


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text. Control characters in it are shown, because parts of it come from a cluster.

    JSON stays as it is: its writer has escaped them already.
    """
    click.echo(visible(str(text)), err=err, nl=nl)


def confirm_plan(cluster: Cluster, *, as_json: bool) -> None:
    """Ask for confirmation of the plan that was shown, and abort the command on "no".

    Raises ``BadInput`` if standard input has no answer, as in CI.
    """
    try:
        confirmed = click.confirm(visible_line(f"Apply this plan to cluster {cluster}?"), err=as_json)
    except click.Abort:
        raise _unanswered() from None
    if not confirmed:
        echo(_NOTHING_CHANGED, err=True)
        raise click.Abort


def _unanswered() -> BaseException:
    """The error of a question at the end of standard input; Ctrl-C on a terminal stays an abort."""
    if sys.stdin.isatty():
        echo(f"\n{_NOTHING_CHANGED}", err=True)
        return click.Abort()
    problem = f"it has no answer. {_NOTHING_CHANGED}"
    return BadInput("standard input", problem, remedy="Give --yes to run without questions.")


@contextmanager
def changing(after: str = AFTER_CTRL_C) -> Iterator[None]:
    """Run a change; if Ctrl-C ends it, say on stderr what state it leaves and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        echo(f"meshkit: interrupted. {after}", err=True)
        raise


def require_typed(name: str, to: str, *, as_json: bool) -> None:
    """Ask the user to type a name before a disruptive action, and abort on any other answer.

    ``to`` describes the action and names the cluster: ``upgrade the mesh of cluster prod
    (https://prod:6443)``.
    """
    try:
        typed = click.prompt(
            visible_line(f"Type {name} to {to}"), default="", show_default=False, err=as_json
        )
    except click.Abort:
        raise _unanswered() from None
    if typed != name:
        echo(_NOTHING_CHANGED, err=True)
        raise click.Abort


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows as a text table whose columns are as wide as their longest cell."""
    lines = [list(head), *[[visible_line(cell) for cell in row] for row in rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
