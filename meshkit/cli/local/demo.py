"""``meshkit demo``: the whole path on a sandbox of its own, from an empty cluster to a promoted and a
rolled back release.
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

from meshkit.cli.output import mesh_option

if TYPE_CHECKING:
    from meshkit.sandbox.home import SandboxHome


@click.command("demo")
@mesh_option
@click.option(
    "--out", default="out/demo", show_default=True, metavar="DIR", help="Folder for notebooks and page."
)
@click.option("--keep", is_flag=True, help="Leave the demo's sandbox running, and say how to reach it.")
def demo_command(mesh: str, out: str, keep: bool) -> int:
    """Walk the whole path on a sandbox of its own and check that everything came true. Exit code 1: it did
    not.
    """
    from meshkit.meshes.registry import mesh as mesh_named

    mesh_named(mesh)
    with _own_sandbox(keep) as home:
        from meshkit.cluster.connect import SANDBOX, connect
        from meshkit.demo import run_demo

        cluster = connect(SANDBOX, home.kubeconfig)
        result = run_demo(cluster, mesh=mesh, out=Path(out), log=click.echo)
    came = "All of it came true" if result.came_true else "NOT all of it came true"
    click.echo(f"{came}, in {result.duration_s:.0f} s. Open {result.page}")
    click.echo("Next: `make lab` opens the notebook in which you drive such a release yourself.")
    return 0 if result.came_true else 1


@contextlib.contextmanager
def _own_sandbox(keep: bool) -> Iterator[SandboxHome]:
    """An empty sandbox in a temporary folder, removed at the end."""
    from meshkit.sandbox.home import SandboxHome
    from meshkit.sandbox.lifecycle import down, up

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a polite kill ends it as Ctrl-C does
    folder = tempfile.mkdtemp(prefix="meshkit-demo-")
    home = SandboxHome(Path(folder) / "sandbox")
    try:
        up(home, progress=click.echo)
        yield home
    finally:
        if keep:
            click.echo(f"The sandbox is left running: export MESHKIT_HOME={folder}")
        else:
            down(home)
            shutil.rmtree(folder, ignore_errors=True)
