"""One child process, with its output in a file, that never outlives the daemon.

``PR_SET_PDEATHSIG`` makes the kernel kill the child when the thread that forked it dies, hence also after
``kill -9`` on the daemon. That thread must be the main one, which lives as long as the process: the loop runs
there.
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
    """A running (or ended) child in a session of its own."""

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
        """Start ``argv``. Output goes to the end of ``log``; with ``on_lines`` stdout goes there, in lines.

        Raises OSError when the program cannot be started.
        """
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the line above
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
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit code; minus the signal's number when a signal ended it."""
        code = await self._process.wait()
        if self._reader is not None:
            # Several wait: one that gives up must not take the output from the others, and end them.
            await asyncio.shield(self._reader)
        return code

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children (SIGKILL to its process group)."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after ``grace_s``; returns when it has ended."""
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
