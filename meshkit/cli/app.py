"""The root command registers all commands and turns errors into messages and exit codes.

Exit codes: 0 done or nothing to do; 1 failed; 2 bad input, nothing changed; 3 undecided or waiting; 4 needs
manual action; 5 changes pending (plan).
"""

from __future__ import annotations

import io
import json
import sys
from typing import NoReturn

import click

from meshkit.cli.changes import apply_command, convert_command, history_command, plan_command, undo_command
from meshkit.cli.check import check_command
from meshkit.cli.experiment import experiment_group
from meshkit.cli.explain import explain_command
from meshkit.cli.files.export import export_command
from meshkit.cli.files.init import init_command, schema_command
from meshkit.cli.groups import CommandGroup
from meshkit.cli.local.demo import demo_command
from meshkit.cli.local.doctor import doctor_command
from meshkit.cli.local.lab import lab_command
from meshkit.cli.local.sandbox import sandbox_group
from meshkit.cli.observability import observability_command
from meshkit.cli.output import echo
from meshkit.cli.rehearse import rehearse_command
from meshkit.cli.releases.evidence import evidence_group
from meshkit.cli.releases.judge import judge_group
from meshkit.cli.releases.release import release_group
from meshkit.cli.routes import route_group
from meshkit.cli.runbook import runbook_group
from meshkit.cli.security.access import access_group
from meshkit.cli.security.identity import identity_group
from meshkit.cli.security.rights import rights_command
from meshkit.cli.setup import setup_group
from meshkit.cli.uninstall import uninstall_command
from meshkit.cli.upgrade import upgrade_group
from meshkit.errors import MeshkitError
from meshkit.version import __version__


@click.group(
    cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="meshkit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Set up and run a service mesh, Istio or Linkerd, on Kubernetes.

    Every command works on your cluster, or on the sandbox, which needs none. A file of intents is a YAML file
    that says what you want from the mesh; `meshkit init` writes one to begin with.

    Exit codes: 0 done or nothing to do, 1 failed, 2 bad input and nothing changed, 3 undecided or waiting, 4
    needs manual action, 5 changes pending.

    Example: meshkit setup status --mesh istio
    """


cli.add_under(
    {
        "Try it on this machine": (demo_command, lab_command, sandbox_group, doctor_command),
        "Set up a mesh": (setup_group, observability_command, rights_command),
        "Look, without changing anything": (check_command, explain_command, history_command, export_command),
        "Change something, and undo it": (
            init_command,
            schema_command,
            plan_command,
            apply_command,
            route_group,
            convert_command,
            access_group,
            undo_command,
        ),
        "Release a new version": (release_group, evidence_group, judge_group),
        "Operate": (
            upgrade_group,
            rehearse_command,
            experiment_group,
            identity_group,
            runbook_group,
            uninstall_command,
        ),
    }
)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal need not have every character
    try:
        code = cli.main(given, prog_name="meshkit", standalone_mode=False)
    except click.UsageError as problem:
        problem.show()
        sys.exit(2)
    except click.ClickException as problem:
        _fail(given, problem.format_message(), "", 2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except MeshkitError as problem:
        if "--debug" in given:
            raise
        _fail(given, problem.message, problem.remedy, problem.exit_code)
    except Exception as problem:
        if "--debug" in given:
            raise
        remedy = "This is a bug in meshkit. Run the command again as `meshkit --debug ...` for a traceback."
        _fail(given, f"{type(problem).__name__}: {problem}", remedy, 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(given: list[str], message: str, remedy: str, exit_code: int) -> NoReturn:
    if "--json" in given:
        echo(json.dumps({"error": message, "remedy": remedy, "exit_code": exit_code}))
    echo(f"meshkit: {message} {remedy}".strip(), err=True)
    sys.exit(exit_code)
