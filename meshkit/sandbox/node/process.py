"""Runs a child process that writes its output to a file and never outlives the daemon.

``PR_SET_PDEATHSIG`` makes the kernel kill the child when the thread that forked it dies, so also after
``kill -9`` on the daemon. The forking thread must therefore be the main thread, which runs the event loop and
lives as long as the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_READ_BYTES = 1 << 16


class Process:
    """A running or ended child process in its own session."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.Task[None] | None) -> None:
        self._process = process
        self._reader = reader

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: Path,
        log: Path,
        on_lines: Callable[[list[bytes]], None] | None = None,
    ) -> Process:
        """Start ``argv`` and append its output to ``log``; ``on_lines`` receives the lines of stdout instead.

        Raises OSError when the program cannot be started.
        """
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # The parent died before prctl took effect.
                os._exit(1)

        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if on_lines else output,
                stderr=output,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        reader = None
        if on_lines is not None and process.stdout is not None:
            reader = asyncio.create_task(_read_lines(process.stdout, on_lines))
        return cls(process, reader)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for the exit code; it is the negated signal number when a signal ended the process."""
        code = await self._process.wait()
        if self._reader is not None:
            # Cancelling one of several waiters must not cancel the shared reader.
            await asyncio.shield(self._reader)
        return code

    def terminate(self) -> None:
        """Send SIGTERM to the process group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def stop(self, grace_s: float) -> None:
        """Send SIGTERM, then SIGKILL after ``grace_s``; return when the process has ended."""
        self.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()


async def _read_lines(stream: asyncio.StreamReader, on_lines: Callable[[list[bytes]], None]) -> None:
    rest = b""
    while chunk := await stream.read(_READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            on_lines(lines)
