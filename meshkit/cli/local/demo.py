"""An end-to-end demo on a temporary sandbox: ``meshkit demo``.

It goes from an empty cluster to one promoted release and one that is rolled back.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshkit.cli.output import echo, required_mesh_option

if TYPE_CHECKING:
    from meshkit.sandbox.home import SandboxHome


@click.command("demo")
@required_mesh_option
@click.option(
    "--out",
    default="out/demo",
    show_default=True,
    metavar="DIR",
    help="Folder for the notebooks and the report page.",
)
@click.option("--keep", is_flag=True, help="Leave the demo's sandbox running and print how to connect to it.")
def demo_command(mesh: str | None, out: str, keep: bool) -> int:
    """Run the whole path on a temporary sandbox and verify the results.

    Exit code 1: a result is not as expected.

    Example: meshkit demo --out out/demo
    """
    from meshkit.operations.which_mesh import required_mesh

    mesh = required_mesh(mesh)
    with _own_sandbox(keep) as home:
        from meshkit.cluster.connect import SANDBOX, connect
        from meshkit.demo import run_demo

        cluster = connect(SANDBOX, home.kubeconfig)
        result = run_demo(cluster, mesh=mesh, out=Path(out), log=echo)
    outcome = "All results are as expected" if result.as_expected else "NOT all results are as expected"
    echo(f"{outcome}, in {result.duration_s:.0f} s. Open {result.page}")
    echo("Next: run `make lab` to open the notebook that runs such a release interactively.")
    return 0 if result.as_expected else 1


@contextlib.contextmanager
def _own_sandbox(keep: bool) -> Iterator[SandboxHome]:
    """Yield an empty sandbox in a temporary folder that is removed at the end."""
    from meshkit.sandbox.home import SandboxHome
    from meshkit.sandbox.lifecycle import down, up

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SIGTERM cleans up as Ctrl-C does
    folder = tempfile.mkdtemp(prefix="meshkit-demo-")
    home = SandboxHome(Path(folder) / "sandbox")
    try:
        up(home, progress=echo)
        yield home
    finally:
        if keep:
            echo(f"The sandbox is left running: export MESHKIT_HOME={folder}")
        else:
            down(home)
            shutil.rmtree(folder, ignore_errors=True)
