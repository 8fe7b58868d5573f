"""``meshkit sandbox``: the small Kubernetes with real proxies on this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from meshkit.cli.local.chaos import chaos_group
from meshkit.cli.output import json_option, show

if TYPE_CHECKING:
    from meshkit.sandbox.lifecycle import Status


@click.group("sandbox")
def sandbox_group() -> None:
    """Start and stop the sandbox: a Kubernetes API with real Envoy proxies, no Docker, no root."""


sandbox_group.add_command(chaos_group)


@sandbox_group.command("up")
@click.option("--port", type=click.IntRange(1, 65535), help="Insist on this port of the API server.")
@json_option
def up_command(port: int | None, as_json: bool) -> None:
    """Start the sandbox, or say that it runs."""
    from meshkit.sandbox.lifecycle import up

    found = up(port=port, progress=None if as_json else click.echo)
    show(asdict(found), _where(found), as_json=as_json)


@sandbox_group.command("down")
@json_option
def down_command(as_json: bool) -> None:
    """Stop it and every process of its pods. What was created in it is kept for the next start."""
    from meshkit.sandbox.lifecycle import down

    stopped = down(progress=None if as_json else click.echo)
    text = "The sandbox is stopped." if stopped else "The sandbox was not running."
    show({"stopped": stopped}, text, as_json=as_json)


@sandbox_group.command("status")
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(0.5, 60),
    default=2.0,
    show_default=True,
    help="Seconds over which requests are counted.",
)
@json_option
def status_command(window_s: float, as_json: bool) -> int:
    """Whether it runs, its nodes and workloads, and who talks to whom. Exit code 1: it does not run."""
    from meshkit.sandbox.lifecycle import status

    found = status()
    if not found.running:
        show(asdict(found), _where(found), as_json=as_json)
        return 1
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.facts import Kind
    from meshkit.observe.graph import service_graph
    from meshkit.views.cluster_text import cluster_text, graph_text, has_sidecar

    cluster, color = connect_sandbox(), sys.stdout.isatty()
    graph = service_graph(cluster, window_s=window_s)
    nodes, pods = (cluster.api.list(Kind("v1", kind)) for kind in ("Node", "Pod"))
    drawn = [_where(found), cluster_text(nodes, pods, color=color)]
    if any(map(has_sidecar, pods)):
        drawn.append(graph_text(graph, pods, color=color))
    show({**asdict(found), "graph": graph.as_json()}, "\n\n".join(drawn), as_json=as_json)
    return 0


@sandbox_group.command("load")
@click.option("--rps", type=click.FloatRange(0), required=True, help="Requests a second.")
@json_option
def load_command(rps: float, as_json: bool) -> None:
    """Change the rate at which the demo shop's caller sends."""
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.operations.shop import set_load

    set_load(connect_sandbox(), rps)
    show({"rps": rps}, f"The caller sends {rps:g} requests a second.", as_json=as_json)


def _where(found: Status) -> str:
    if not found.running:
        return "The sandbox does not run. `meshkit sandbox up` starts it."
    return f"The sandbox runs on {found.server}, process {found.pid}\nexport KUBECONFIG={found.kubeconfig}"
