"""The sandbox's daemon runs the API server, controllers and node agent on one event loop.

``lifecycle.up`` starts it. It reports its startup line by line on a pipe, then runs until SIGTERM. Pods are
its child processes, and the kernel kills them when the daemon ends for any reason.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import functools
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshkit.errors import SandboxError
from meshkit.sandbox.home import SandboxHome

if TYPE_CHECKING:
    from meshkit.sandbox.api.app import ApiServer

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
FIRST_PORT = 16443
RECORD_PERIOD_S = 2.0
NAMESPACES = ("kube-public", "kube-node-lease")
"""Namespaces in addition to those that the API server creates."""

Report = Callable[[dict[str, Any]], None]


def main() -> None:
    """Detach from the calling process and run the daemon."""
    parser = argparse.ArgumentParser(prog="meshkit.sandbox.daemon")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--report", type=int, required=True, help="file descriptor of the report pipe")
    parser.add_argument("--port", type=int, help="port of the API server, without a fallback")
    options = parser.parse_args()
    if os.fork():
        os._exit(0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    import uvloop

    uvloop.run(_supervise(SandboxHome(options.home), options.port, options.report))


async def _supervise(home: SandboxHome, port: int | None, report_fd: int) -> None:
    """Run the daemon and report its startup or error on the pipe."""

    def report(message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # Keep running even if the caller has ended.
            os.write(report_fd, json.dumps(message).encode() + b"\n")
        if "ready" in message:
            os.close(report_fd)

    try:
        try:
            await run(home, port, report)
        except OSError as exc:
            raise SandboxError(
                f"The sandbox cannot keep its files in {home.path}: {exc}.",
                remedy="Free the disk, or set MESHKIT_HOME to another folder.",
            ) from exc
    except SandboxError as exc:
        log.error("%s", exc)
        report({"error": exc.message, "remedy": exc.remedy})
    finally:
        home.daemon.unlink(missing_ok=True)


async def run(home: SandboxHome, asked_port: int | None, report: Report) -> None:
    """Run the sandbox until SIGTERM or SIGINT."""
    from meshkit.sandbox.controllers import loop
    from meshkit.sandbox.controllers.run import run_all
    from meshkit.sandbox.node.addresses import Addresses, claim
    from meshkit.sandbox.node.agent import NodeAgent
    from meshkit.sandbox.node.environment import NodeConfig
    from meshkit.sandbox.node.services import ServicesFile

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = _read_config(home)
    net, claimed = claim(config.get("net"))
    server = await serve_api(home, choose_port(asked_port, config.get("port")), insist=asked_port is not None)
    port, client = server.port, server.client
    report({"progress": f"the Kubernetes API is at https://{HOST}:{port}"})
    home.config.write_text(json.dumps({"port": port, "net": net}))
    pods = await client.list("pods")
    used = [pod["status"]["podIP"] for pod in pods if (pod.get("status") or {}).get("podIP")]
    node_config = NodeConfig(
        home.run, f"https://{HOST}:{port}", home.ca_certificate, home.run / "services.json"
    )
    agent = NodeAgent(client.acting_as("system:node:sandbox"), Addresses(net, used), node_config)
    await agent.prepare()
    restarts = f"; {len(pods)} pods restart" if pods else ""
    report({"progress": f"pods use addresses in 127.{net}.0.0/16{restarts}"})
    services = loop.run(ServicesFile(client, node_config.services), client, loop.Turns())
    tasks = [asyncio.create_task(work) for work in (run_all(client), services, agent.run())]
    _write_record(home, port, net)
    tasks.append(asyncio.create_task(_end_with_record(home, stop)))
    report({"ready": True})
    await _until(stop, tasks)
    await agent.close()
    await server.close()
    claimed.close()


async def serve_api(home: SandboxHome, port: int, *, insist: bool) -> ApiServer:
    """Start the API server and create the namespaces that every cluster has.

    If another process has taken the port in the meantime, any free port is used unless ``insist`` is set.
    """
    from meshkit.sandbox.api.app import NodeHooks, serve
    from meshkit.sandbox.node.agent import address_of, dial, read_log

    hooks = NodeHooks(
        functools.partial(read_log, home.run),
        functools.partial(dial, home.run),
        functools.partial(address_of, home.run),
    )
    try:
        try:
            server = await serve(home, port, hooks, host=HOST)
        except OSError as exc:
            if insist or exc.errno != errno.EADDRINUSE:
                raise
            server = await serve(home, 0, hooks, host=HOST)
    except OSError as exc:
        raise SandboxError(
            f"The API server cannot use port {port} of {HOST}: {exc}.", remedy="Choose another port."
        ) from exc
    for name in NAMESPACES:
        if await server.client.get("namespaces", name) is None:
            await server.client.create("namespaces", {"metadata": {"name": name}})
    return server


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the stop signal or a failed task, then cancel all tasks."""
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {waiting}:
        log.error("a task of the sandbox failed; the sandbox ends", exc_info=task.exception())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end_with_record(home: SandboxHome, stop: asyncio.Event) -> None:
    """Stop the daemon when its record is deleted, because no other process can find it any more."""
    while home.daemon.exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(RECORD_PERIOD_S)
    log.error("%s was deleted; the sandbox ends", home.daemon)
    stop.set()
    await asyncio.Event().wait()


def _read_config(home: SandboxHome) -> dict[str, int]:
    """Return the port and net of the last run, as far as they can be read."""
    try:
        config = dict(json.loads(home.config.read_text()))
    except (FileNotFoundError, TypeError, ValueError):
        return {}
    return {name: value for name, value in config.items() if isinstance(value, int)}


def _write_record(home: SandboxHome, port: int, net: int) -> None:
    """Write the record of the running daemon atomically."""
    from meshkit.sandbox.lifecycle import start_ticks

    pid = os.getpid()
    draft = home.daemon.with_suffix(".new")
    draft.write_text(json.dumps({"pid": pid, "start_ticks": start_ticks(pid), "port": port, "net": net}))
    draft.replace(home.daemon)


def choose_port(requested: int | None, last: int | None) -> int:
    """Choose the requested port, else the last one, the default one, or any free port.

    Raises SandboxError when the requested port is taken.
    """
    if requested is not None:
        if not _is_free(requested):
            raise SandboxError(
                f"Port {requested} of {HOST} is taken or not allowed.",
                remedy="Choose another port, or omit it to let the sandbox choose.",
            )
        return requested
    for port in (last, FIRST_PORT):
        if port is not None and _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


if __name__ == "__main__":
    main()
