"""Parts as processes on loopback: started with a log of their own, waited for, ended by their id."""

from __future__ import annotations

import ctypes
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

START_S = 120.0
"""How long a part may take to be ready; on an idle machine a whole cluster needs about 15 s."""


@dataclass(frozen=True)
class Process:
    """A part that runs, with the file that holds what it says."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 25) -> str:
        """The end of its log, for the report of a failure."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until_ready(self, url: str, trust: ssl.SSLContext | None = None) -> None:
        """Return when ``url`` answers 200; a part that ends or takes too long fails with its log."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.popen.poll() is None:
            try:
                with urlopen(url, timeout=5, context=trust):
                    return
            except OSError:
                time.sleep(0.2)
        state = self.popen.poll()
        said = f"ended with {state}" if state is not None else f"was not ready after {START_S:.0f} s"
        raise AssertionError(f"{self.name} {said}:\n{self.tail()}")


@contextmanager
def running(
    name: str, command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A part for the time of a ``with`` block: asked to end, and killed if it does not within 10 s."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=_end_with_parent,
        )
    try:
        yield Process(name, popen, log)
    finally:
        popen.terminate()
        try:
            popen.wait(10)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def _end_with_parent() -> None:
    """A test run that is killed leaves nothing running (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
