"""Fault injection for the sandbox: ``meshkit sandbox chaos``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meshkit.cli.groups import CommandGroup
from meshkit.cli.output import Number, json_option, show
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.operations.chaos import Chaos


@click.group("chaos", cls=CommandGroup)
def chaos_group() -> None:
    """Inject faults into the sandbox: stop pods, nodes or zones, slow a workload, and restore everything.

    Example: meshkit sandbox chaos kill-node sandbox-a
    """


@chaos_group.command("kill-pod")
@click.argument("pod", metavar="NAMESPACE/POD")
@json_option
def kill_pod_command(pod: str, as_json: bool) -> None:
    """Kill a pod's processes at once.

    Example: meshkit sandbox chaos kill-pod shop/web-v1-6d5f
    """
    namespace, name = _two(pod, "pod")
    _chaos().kill_pod(namespace, name)
    show({"killed": pod}, f"{pod} was killed; its owner creates a replacement.", as_json=as_json)


@chaos_group.command("kill-node")
@click.argument("node")
@json_option
def kill_node_command(node: str, as_json: bool) -> None:
    """Switch off a node: sandbox-a, sandbox-b or sandbox-c.

    Example: meshkit sandbox chaos kill-node sandbox-a
    """
    _chaos().kill_node(node)
    show({"down": [node]}, _gone(node), as_json=as_json)


@chaos_group.command("kill-zone")
@click.argument("zone")
@json_option
def kill_zone_command(zone: str, as_json: bool) -> None:
    """Switch off all nodes of a zone: zone-a, zone-b or zone-c.

    Example: meshkit sandbox chaos kill-zone zone-a
    """
    names = _chaos().kill_zone(zone)
    show({"down": names}, _gone(f"{zone} ({', '.join(names)})"), as_json=as_json)


@chaos_group.command("slow")
@click.argument("workload", metavar="NAMESPACE/WORKLOAD")
@click.option("--ms", "latency_ms", type=Number(0, 60_000), required=True, help="Median latency.")
@click.option(
    "--errors",
    "error_percent",
    type=Number(0, 100),
    help="Percentage of requests answered with 500.",
)
@json_option
def slow_command(workload: str, latency_ms: float, error_percent: float | None, as_json: bool) -> None:
    """Slow down a workload of the sandbox, for example shop/stock.

    Example: meshkit sandbox chaos slow shop/stock --ms 400
    """
    namespace, name = _two(workload, "workload")
    pods = _chaos().slow(namespace, name, latency_ms=latency_ms, error_percent=error_percent)
    text = (
        f"{workload} answers in {latency_ms:g} ms ({len(pods)} pods); "
        "reset with 'meshkit sandbox chaos restore'."
    )
    show({"slowed": pods}, text, as_json=as_json)


@chaos_group.command("restore")
@json_option
def restore_command(as_json: bool) -> None:
    """Switch on every node again and reset the behaviour of every workload.

    Example: meshkit sandbox chaos restore
    """
    names = _chaos().restore()
    show({"restored": names}, f"Restored {len(names)} nodes and pods.", as_json=as_json)


def _chaos() -> Chaos:
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.operations.chaos import Chaos

    return Chaos(connect_sandbox())


def _two(given: str, what: str) -> tuple[str, str]:
    namespace, slash, name = given.partition("/")
    if not slash or not namespace or not name:
        raise BadInput(what, f"{given!r} has no namespace.", remedy=f"Write NAMESPACE/NAME for the {what}.")
    return namespace, name


def _gone(what: str) -> str:
    return (
        f"{what} is off. It becomes NotReady within a second; its pods are recreated elsewhere after two: "
        "see 'meshkit sandbox status'. 'meshkit sandbox chaos restore' switches it on again."
    )
