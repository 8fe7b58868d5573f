"""``meshkit sandbox``: the small Kubernetes with real proxies on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from meshkit.cli.output import columns, json_option, show

if TYPE_CHECKING:
    from meshkit.sandbox.lifecycle import Status


@click.group("sandbox")
def sandbox_group() -> None:
    """Start and stop the sandbox: a Kubernetes API with real Envoy proxies, no Docker, no root."""


@sandbox_group.command("up")
@click.option("--port", type=click.IntRange(1, 65535), help="Insist on this port of the API server.")
@json_option
def up_command(port: int | None, as_json: bool) -> None:
    """Start the sandbox, or say that it runs."""
    from meshkit.sandbox.lifecycle import up

    _show_status(up(port=port, progress=None if as_json else click.echo), as_json=as_json)


@sandbox_group.command("down")
@json_option
def down_command(as_json: bool) -> None:
    """Stop it and every process of its pods. What was created in it is kept for the next start."""
    from meshkit.sandbox.lifecycle import down

    stopped = down(progress=None if as_json else click.echo)
    text = "The sandbox is stopped." if stopped else "The sandbox was not running."
    show({"stopped": stopped}, text, as_json=as_json)


@sandbox_group.command("status")
@json_option
def status_command(as_json: bool) -> int:
    """Whether it runs, where, and its pods. Exit code 1: it does not run."""
    from meshkit.sandbox.lifecycle import status

    found = status()
    _show_status(found, as_json=as_json)
    return 0 if found.running else 1


@sandbox_group.command("load")
@click.option("--rps", type=click.FloatRange(0), required=True, help="Requests a second.")
@json_option
def load_command(rps: float, as_json: bool) -> None:
    """Change the rate at which the demo shop's caller sends."""
    from meshkit.cluster.connect import SANDBOX, connect
    from meshkit.operate.shop import set_load

    set_load(connect(context=SANDBOX), rps)
    show({"rps": rps}, f"The caller sends {rps:g} requests a second.", as_json=as_json)


def _show_status(found: Status, *, as_json: bool) -> None:
    if not found.running:
        text = "The sandbox does not run. `meshkit sandbox up` starts it."
    else:
        text = (
            f"The sandbox runs on {found.server}, process {found.pid}\nexport KUBECONFIG={found.kubeconfig}"
        )
        head = ("namespace", "pod", "zone", "address", "phase", "ready", "restarts")
        rows = [
            (p.namespace, p.name, p.zone, p.ip, p.phase, "yes" if p.ready else "no", str(p.restarts))
            for p in found.pods
        ]
        text += f"\n\n{columns(head, rows)}" if rows else ""
    show(asdict(found), text, as_json=as_json)
