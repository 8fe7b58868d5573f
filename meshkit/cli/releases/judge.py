"""The verdict for a tool that shifts the weights itself: ``meshkit judge serve``."""

from __future__ import annotations

import signal
import threading

import click

from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import ClusterChoice, cluster_options, echo, files_option, mesh_option
from meshkit.errors import BadInput

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.group("judge", cls=CommandGroup)
def judge_group() -> None:
    """Judge releases whose weights another tool shifts.

    Example: meshkit judge serve -f release.yaml
    """


@judge_group.command("serve")
@files_option("YAML file with documents of kind Release; repeatable.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8766, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--prometheus",
    metavar="URL",
    help="Take metrics from this Prometheus; default: from the sidecars' metrics endpoints.",
)
@mesh_option
@cluster_options
def serve_command(
    files: tuple[str, ...],
    host: str,
    port: int,
    prometheus: str | None,
    mesh: str | None,
    choice: ClusterChoice,
) -> None:
    """Answer Argo Rollouts and Flagger with the verdict on releases that they run.

    The traffic of each release in the files is measured from the start of the command on. A web metric of
    Argo Rollouts asks /argo/NAMESPACE/NAME, webhooks of Flagger are sent to /flagger/TYPE. Nothing in the
    cluster is changed. The command runs until it is interrupted or terminated. Whoever reaches the address
    may read the verdicts; by default this machine only.

    Example: meshkit judge serve -f release.yaml --port 8766
    """
    from meshkit.intent.document import load_intents
    from meshkit.intent.release import Release
    from meshkit.operations.judge.serve import serving

    if not files:
        raise BadInput("-f", "no file is given.", remedy="Name a file with a document of `kind: Release`.")
    releases = [one for file in files for one in load_intents(file) if isinstance(one, Release)]
    if not releases:
        raise BadInput(files[0], "it holds no release.", remedy="Write documents of `kind: Release`.")
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with serving(
            releases, choice.connect(), host=host, port=port, mesh=mesh, prometheus=prometheus
        ) as server:
            for release in releases:
                echo(f"{server.url}/argo/{release.namespace}/{release.name}")
            echo(f"{server.url}/flagger/TYPE")
            if host not in _LOOPBACK:
                echo(f"Whoever reaches {server.url} can read the verdicts.", err=True)
            stop.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
