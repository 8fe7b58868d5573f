"""Open a gate of a release: ``meshkit release approve``."""

from __future__ import annotations

import click

from meshkit.cli.output import ClusterChoice, cluster_options, json_option
from meshkit.cli.releases.control import given_name, required_name, show_sent, which_option


@click.command("approve")
@which_option
@click.option("--gate", metavar="GATE", help="The gate; default: the only one that a command opens now.")
@click.option("--why", default="", metavar="TEXT", help="The reason, for the journal and the evidence.")
@cluster_options
@json_option
def approve_command(
    name: str | None, file: str | None, gate: str | None, why: str, choice: ClusterChoice, as_json: bool
) -> int:
    """Open a gate that a release waits for.

    The journal keeps who opened it, when and why. A gate that opens by a file, an annotation or a webhook is
    opened by a command only once it has expired. Exit code 2: the gate is not waited for.

    Example: meshkit release approve web-v2 --gate approval --why "looked at the charts"
    """
    from meshkit.operations.release.gates.approval import approve_gate
    from meshkit.operations.release.runner import release_state, runner_of

    given = given_name(name, file)
    cluster = choice.connect()
    chosen = required_name(given, cluster)
    opened = approve_gate(chosen, cluster, gate=gate, why=why)
    state = release_state(chosen, cluster)
    runner = runner_of(state.release, cluster)
    what = f"the approval of gate {opened}"
    return show_sent(what, {"gate": opened}, state, runner, cluster, choice, as_json=as_json)
