"""Evidence of releases: ``meshkit evidence export | verify``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import ClusterChoice, cluster_options, echo, json_option, show
from meshkit.errors import BadInput, Unhealthy


@click.group("evidence", cls=CommandGroup)
def evidence_group() -> None:
    """Export the evidence of a release, and verify it without a cluster.

    Example: meshkit evidence verify bundle.json
    """


@evidence_group.command("export")
@click.argument("release")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file to write; -: standard output.")
@click.option(
    "--change", default="", metavar="ID", help="An earlier run; `meshkit release list --all` has it."
)
@cluster_options
def export_command(release: str, output: str, change: str, choice: ClusterChoice) -> None:
    """Write the evidence of a release into one JSON file, from the journal in the cluster.

    The file has the release, the versions, every sample window with its verdict and the arithmetic of it, the
    commands and who gave them, and every change of weights. Each record carries the SHA-256 of the one before
    it and its own; the last one is also in the journal. No Secret is in it.

    Example: meshkit evidence export web-v2 -o bundle.json
    """
    from meshkit.operations.release.evidence_bundle.bundle import release_evidence

    text = release_evidence(release, choice.connect(name_it=output == "-"), change_id=change)
    if output == "-":
        echo(text, nl=False)
        return
    written = Path(f"{output}.{os.getpid()}.new")
    try:
        written.write_text(text)
        written.replace(output)
    except OSError as error:
        raise BadInput(
            "-o", f"{output} cannot be written: {error.strerror}.", remedy="Name another file."
        ) from error
    echo(f"{output}: {text.count(chr(10)) - 2} records of release {release}.")


@evidence_group.command("verify")
@click.argument("file")
@cluster_options
@json_option
def verify_command(file: str, choice: ClusterChoice, as_json: bool) -> int:
    """Compute every hash and every verdict of an evidence file again, and name each record that differs.

    The command needs no cluster. With --context or --kubeconfig, it also compares the records with the
    journal of that cluster. Exit code 1: the evidence is not intact.

    Example: meshkit evidence verify bundle.json
    """
    from meshkit.operations.release.evidence_bundle.verification import verify_evidence

    try:
        text = Path(file).read_bytes().decode(errors="replace")  # Its line ends as they are.
    except OSError as error:
        raise BadInput(file, f"{error.strerror}.", remedy="Name a file of evidence.") from error
    found = verify_evidence(text, choice.connect() if choice.explicit else None)
    show(found.as_record(), str(found), as_json=as_json)
    return 0 if found.intact else Unhealthy.exit_code
