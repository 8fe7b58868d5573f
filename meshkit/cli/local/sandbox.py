"""The sandbox, a small local Kubernetes with real proxies: ``meshkit sandbox``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from meshkit.cli.groups import CommandGroup
from meshkit.cli.local.chaos import chaos_group
from meshkit.cli.output import Number, echo, json_option, show

if TYPE_CHECKING:
    from meshkit.sandbox.lifecycle import Status


@click.group("sandbox", cls=CommandGroup)
def sandbox_group() -> None:
    """Start and stop the sandbox, a local Kubernetes API with real Envoy proxies.

    It needs no Docker and no root.

    Example: meshkit sandbox up
    """


sandbox_group.add_command(chaos_group)


@sandbox_group.command("up")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API server; fail if it is in use.")
@json_option
def up_command(port: int | None, as_json: bool) -> None:
    """Start the sandbox, or report that it is running.

    Example: meshkit sandbox up
    """
    from meshkit.sandbox.lifecycle import up

    sandbox = up(port=port, progress=None if as_json else echo)
    show(asdict(sandbox), f"{_where(sandbox)}\n{_next(sandbox)}", as_json=as_json)


@sandbox_group.command("down")
@json_option
def down_command(as_json: bool) -> None:
    """Stop the sandbox and all processes of its pods.

    Its objects are kept for the next start.

    Example: meshkit sandbox down
    """
    from meshkit.sandbox.lifecycle import down

    stopped = down(progress=None if as_json else echo)
    text = "The sandbox is stopped." if stopped else "The sandbox was not running."
    show({"stopped": stopped}, text, as_json=as_json)


@sandbox_group.command("status")
@click.option(
    "--window",
    "window_s",
    type=Number(0.5, 60),
    default=2.0,
    show_default=True,
    help="Seconds over which requests are counted.",
)
@json_option
def status_command(window_s: float, as_json: bool) -> int:
    """Show whether the sandbox runs, its nodes and workloads, and the calls between them.

    Exit code 1: the sandbox does not run.

    Example: meshkit sandbox status
    """
    from meshkit.sandbox.lifecycle import status

    sandbox = status()
    if not sandbox.running:
        show(asdict(sandbox), _where(sandbox), as_json=as_json)
        return 1
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.facts import Kind
    from meshkit.observe.graph import service_graph
    from meshkit.views.cluster_text import cluster_text, graph_text, has_sidecar

    cluster, color = connect_sandbox(), sys.stdout.isatty()
    graph = service_graph(cluster, window_s=window_s)
    kinds = ("Node", "Pod", "Namespace")
    nodes, pods, namespaces = (cluster.api.list(Kind("v1", kind)) for kind in kinds)
    drawn = [_where(sandbox), cluster_text(nodes, pods, namespaces, color=color)]
    if any(map(has_sidecar, pods)):
        drawn.append(graph_text(graph, pods, namespaces, color=color))
    show({**asdict(sandbox), "graph": graph.as_json()}, "\n\n".join(drawn), as_json=as_json, colored=color)
    return 0


@sandbox_group.command("shop")
@click.option("--unmeshed", is_flag=True, help="Add a caller in the namespace legacy, which has no sidecar.")
@json_option
def shop_command(unmeshed: bool, as_json: bool) -> None:
    """Deploy the demo shop: a client, a service in three versions, and a service that it calls.

    Example: meshkit sandbox shop --unmeshed
    """
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.operations.shop import deploy_shop

    deploy_shop(connect_sandbox(), unmeshed=unmeshed)
    text = "The shop runs in the namespace shop.\nNext: meshkit setup status --mesh istio -n shop"
    show({"namespace": "shop", "unmeshed": unmeshed}, text, as_json=as_json)


@sandbox_group.command("load")
@click.option("--rps", type=Number(0), required=True, help="Requests a second.")
@json_option
def load_command(rps: float, as_json: bool) -> None:
    """Change the request rate of the demo shop's caller.

    Example: meshkit sandbox load --rps 50
    """
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.operations.shop import set_load

    set_load(connect_sandbox(), rps)
    show({"rps": rps}, f"The caller sends {rps:g} requests per second.", as_json=as_json)


def _where(sandbox: Status) -> str:
    if not sandbox.running:
        return "The sandbox does not run. Start it with `meshkit sandbox up`."
    return (
        f"The sandbox runs on {sandbox.server}, process {sandbox.pid}. For kubectl and Helm:\n"
        f"export KUBECONFIG={sandbox.kubeconfig}"
    )


def _next(sandbox: Status) -> str:
    """Return the next command: a sandbox without pods has no application yet."""
    return "Next: meshkit sandbox status" if sandbox.pods else "Next: meshkit sandbox shop --unmeshed"
