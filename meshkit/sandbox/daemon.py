"""The sandbox's one process: API server, controllers and node agent on one event loop.

Started by ``lifecycle.up``; reports its start line by line on a pipe, then runs until SIGTERM. Pods are its
children and the kernel ends them with it, however it ends.
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
"""Beside those that the API server itself makes."""

Report = Callable[[dict[str, Any]], None]


def main() -> None:
    """Fork away from whoever called, and run."""
    parser = argparse.ArgumentParser(prog="meshkit.sandbox.daemon")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--report", type=int, required=True, help="descriptor of the pipe to report on")
    parser.add_argument("--port", type=int, help="port of the API server; another one will not do")
    options = parser.parse_args()
    if os.fork():
        os._exit(0)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    import uvloop

    uvloop.run(_supervise(SandboxHome(options.home), options.port, options.report))


async def _supervise(home: SandboxHome, port: int | None, report_fd: int) -> None:
    """Run, and say on the pipe how it went."""

    def report(message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone: run all the same
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
    report({"progress": f"the Kubernetes API is on https://{HOST}:{port}"})
    home.config.write_text(json.dumps({"port": port, "net": net}))
    pods = await client.list("pods")
    used = [pod["status"]["podIP"] for pod in pods if (pod.get("status") or {}).get("podIP")]
    node_config = NodeConfig(
        home.run, f"https://{HOST}:{port}", home.ca_certificate, home.run / "services.json"
    )
    agent = NodeAgent(client.acting_as("system:node:sandbox"), Addresses(net, used), node_config)
    await agent.prepare()
    again = f"; {len(pods)} start again" if pods else ""
    report({"progress": f"pods get addresses 127.{net}.0.0/16{again}"})
    services = loop.run(ServicesFile(client, node_config.services), client)
    tasks = [asyncio.create_task(each) for each in (run_all(client), services, agent.run())]
    _write_record(home, port, net)
    tasks.append(asyncio.create_task(_end_with_record(home, stop)))
    report({"ready": True})
    await _until(stop, tasks)
    await agent.close()
    await server.close()
    claimed.close()


async def serve_api(home: SandboxHome, port: int, *, insist: bool) -> ApiServer:
    """Start the API server, with the namespaces that every cluster has.

    A port that another sandbox took since it was looked at is insisted on only when a person named it.
    """
    from meshkit.sandbox.api.app import NodeHooks, serve
    from meshkit.sandbox.node.agent import read_log

    hooks = NodeHooks(logs=functools.partial(read_log, home.run))
    try:
        try:
            server = await serve(home, port, hooks, host=HOST)
        except OSError as exc:
            if insist or exc.errno != errno.EADDRINUSE:
                raise
            server = await serve(home, 0, hooks, host=HOST)
    except OSError as exc:
        raise SandboxError(
            f"Port {port} of {HOST} cannot be used: {exc}.", remedy="Name another port."
        ) from exc
    for name in NAMESPACES:
        if await server.client.get("namespaces", name) is None:
            await server.client.create("namespaces", {"metadata": {"name": name}})
    return server


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the signal to stop, or for the failure of a part; then end every part."""
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {waiting}:
        log.error("a part of the sandbox has failed; it ends", exc_info=task.exception())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end_with_record(home: SandboxHome, stop: asyncio.Event) -> None:
    """End when the record is gone, with its whole folder as a rule: nobody can find this daemon any more."""
    while home.daemon.exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(RECORD_PERIOD_S)
    log.error("%s is gone; the sandbox ends", home.daemon)
    stop.set()
    await asyncio.Event().wait()


def _read_config(home: SandboxHome) -> dict[str, int]:
    """The port and net of the last run; what cannot be read is chosen anew."""
    try:
        config = dict(json.loads(home.config.read_text()))
    except (FileNotFoundError, TypeError, ValueError):
        return {}
    return {name: value for name, value in config.items() if isinstance(value, int)}


def _write_record(home: SandboxHome, port: int, net: int) -> None:
    """Say who runs, complete or not at all."""
    from meshkit.sandbox.lifecycle import start_ticks

    pid = os.getpid()
    draft = home.daemon.with_suffix(".new")
    draft.write_text(json.dumps({"pid": pid, "start_ticks": start_ticks(pid), "port": port, "net": net}))
    draft.replace(home.daemon)


def choose_port(asked: int | None, before: int | None) -> int:
    """The port asked for; else that of the last run, the first one, or any that is free.

    Raises SandboxError when the port asked for is taken.
    """
    if asked is not None:
        if not _is_free(asked):
            raise SandboxError(
                f"Port {asked} of {HOST} is taken or not allowed.",
                remedy="Name another port, or none to let the sandbox choose.",
            )
        return asked
    for port in (before, FIRST_PORT):
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
