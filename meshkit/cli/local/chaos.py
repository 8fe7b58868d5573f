"""``meshkit sandbox chaos``: trouble on purpose, in the sandbox only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meshkit.cli.output import json_option, show
from meshkit.errors import BadInput

if TYPE_CHECKING:
    from meshkit.operations.chaos import Chaos


@click.group("chaos")
def chaos_group() -> None:
    """Lose a pod, a node or a zone of the sandbox, slow a dependency down, and bring everything back."""


@chaos_group.command("kill-pod")
@click.argument("pod", metavar="NAMESPACE/POD")
@json_option
def kill_pod_command(pod: str, as_json: bool) -> None:
    """End a pod's processes at once."""
    namespace, name = _two(pod, "pod")
    _chaos().kill_pod(namespace, name)
    show({"killed": pod}, f"{pod} is killed; its owner makes another.", as_json=as_json)


@chaos_group.command("kill-node")
@click.argument("node")
@json_option
def kill_node_command(node: str, as_json: bool) -> None:
    """Switch a node off: sandbox-a, sandbox-b or sandbox-c."""
    _chaos().kill_node(node)
    show({"down": [node]}, _gone(node), as_json=as_json)


@chaos_group.command("kill-zone")
@click.argument("zone")
@json_option
def kill_zone_command(zone: str, as_json: bool) -> None:
    """Switch all nodes of a zone off: zone-a, zone-b or zone-c."""
    names = _chaos().kill_zone(zone)
    show({"down": names}, _gone(f"{zone} ({', '.join(names)})"), as_json=as_json)


@chaos_group.command("slow")
@click.argument("workload", metavar="NAMESPACE/WORKLOAD")
@click.option("--ms", "latency_ms", type=click.FloatRange(0, 60_000), required=True, help="Median latency.")
@click.option("--errors", "error_percent", type=click.FloatRange(0, 100), help="Percent answered with 500.")
@json_option
def slow_command(workload: str, latency_ms: float, error_percent: float | None, as_json: bool) -> None:
    """Slow a workload of the sandbox down, shop/stock for one."""
    namespace, name = _two(workload, "workload")
    pods = _chaos().slow(namespace, name, latency_ms=latency_ms, error_percent=error_percent)
    text = (
        f"{workload} answers in {latency_ms:g} ms ({len(pods)} pods), until 'meshkit sandbox chaos restore'."
    )
    show({"slowed": pods}, text, as_json=as_json)


@chaos_group.command("restore")
@json_option
def restore_command(as_json: bool) -> None:
    """Switch every node on again, and let every workload answer as at first."""
    names = _chaos().restore()
    show({"restored": names}, f"Everything is on again: {len(names)} nodes and pods.", as_json=as_json)


def _chaos() -> Chaos:
    from meshkit.cluster.connect import connect_sandbox
    from meshkit.operations.chaos import Chaos

    return Chaos(connect_sandbox())


def _two(given: str, what: str) -> tuple[str, str]:
    namespace, slash, name = given.partition("/")
    if not slash or not namespace or not name:
        raise BadInput(what, f"{given!r} names no namespace.", remedy=f"Write NAMESPACE/NAME for the {what}.")
    return namespace, name


def _gone(what: str) -> str:
    return (
        f"{what} is off. In a second it is NotReady, in two its pods are made elsewhere: "
        "'meshkit sandbox status'. 'meshkit sandbox chaos restore' brings it back."
    )
