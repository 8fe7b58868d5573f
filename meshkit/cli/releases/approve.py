"""Open a gate of a release: ``meshkit release approve``."""

from __future__ import annotations

from dataclasses import asdict

import click

from meshkit.cli.output import ClusterChoice, cluster_options, json_option, show
from meshkit.cli.releases.control import given_name, no_runner, required_name, which_option
from meshkit.errors import Undecided


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
    text = (
        f"Sent the approval of gate {opened} to release {chosen} on cluster {cluster}; "
        f"`meshkit release status {chosen}{choice.words}` shows the effect."
    )
    if runner is None:
        text = f"Stored the approval of gate {opened} of release {chosen}, without effect yet.\n"
        text += no_runner(state, choice)
    facts = {"release": chosen, "gate": opened, "runner": runner, "cluster": asdict(cluster.ref)}
    show(facts, text, as_json=as_json)
    return 0 if runner else Undecided.exit_code
