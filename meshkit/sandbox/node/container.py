"""Runs one container of a pod: its process, probes, restarts with backoff and status."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from meshkit.sandbox.controllers.objects import timestamp
from meshkit.sandbox.dataplane.pod_directory import safe_join
from meshkit.sandbox.node.images import KNOWN
from meshkit.sandbox.node.probes import STARTING_PERIOD_S, Probe
from meshkit.sandbox.node.process import Process
from meshkit.sandbox.node.programs import Image

LAST_BACKOFF_S = 30.0
BACKOFF_RESET_S = 30.0
"""The backoff of a container that ran this long is reset."""
SIDECAR_PERIOD_S = 2.0
SIDECAR_FAILURES = 3
"""Consecutive failures after which a sidecar counts as not ready (a probe's default failureThreshold).

On a busy machine a single late answer is no failure; otherwise all pods would leave their Services at once.
"""

RecordEvent = Callable[[Literal["Normal", "Warning"], str, str], Awaitable[None]]
"""Records an Event on the pod: type, reason, message."""


def backoff_s(early_exits: int) -> float:
    """Return the delay before a restart: none after the first early exit, then 1, 2, 4 ... at most 30 s.

    Kubernetes waits ten times as long; the sandbox does not, because it is used interactively.
    """
    return 0.0 if early_exits <= 1 else min(LAST_BACKOFF_S, 2.0 ** (early_exits - 2))


def log_file(pod_dir: Path, container: str, *, previous: bool) -> Path:
    """Return the log file of a container's current run, or of its previous run."""
    return safe_join(pod_dir, f"{container}{'.previous' if previous else ''}.log")


@dataclass(frozen=True)
class ContainerContext:
    """The settings and callbacks that a container receives from its pod."""

    environment: Callable[[], Awaitable[dict[str, str]]]
    pod_dir: Path
    address_of: Callable[[int], str]
    changed: Callable[[], None]
    record_event: RecordEvent
    restart: Literal["Always", "OnFailure", "Never"]
    log_lines: Callable[[list[bytes]], None] | None = None
    """Receives the lines of stdout; None writes them to the log file."""
    is_ready: Callable[[], Awaitable[bool]] | None = None
    """Checks the readiness of a sidecar; None uses the container's own probe."""


class Container:
    """Runs one container until it is stopped, or ends and its restart policy allows no restart."""

    def __init__(
        self, spec: dict[str, Any], image: Image | None, context: ContainerContext, *, restarts: int = 0
    ) -> None:
        self.name: str = spec["name"]
        self._spec, self._image, self._context = spec, image, context
        self._restarts = restarts
        self._state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self._last_state: dict[str, Any] = {}
        self._process: Process | None = None
        self._stop_requested = asyncio.Event()
        self.ready = False
        self.became_ready = asyncio.Event()
        self.exit_code: int | None = None
        """The exit code of the last run; None while the container runs or waits for a restart."""
        self.over = asyncio.Event()
        """Set when the container has ended and will not be restarted."""

    @property
    def log(self) -> Path:
        """The log file of the current or most recent run."""
        return log_file(self._context.pod_dir, self.name, previous=False)

    @property
    def running(self) -> bool:
        """Whether the container's process runs."""
        return "running" in self._state

    def status(self) -> dict[str, Any]:
        """Return the container's entry in ``containerStatuses``."""
        pid = self._process.pid if self._process is not None and self.running else None
        return {
            "name": self.name,
            "image": self._spec["image"],
            "imageID": "" if self._image is None else f"meshkit://{self._spec['image']}",
            "containerID": "" if pid is None else f"meshkit://{pid}",
            "ready": self.ready,
            "started": self.running,
            "restartCount": self._restarts,
            "state": self._state,
            "lastState": self._last_state,
        }

    def set_waiting_message(self, why: str) -> None:
        """Report in the status why the container has not started yet."""
        self._set({"waiting": {"reason": "ContainerCreating", "message": why}})

    async def run(self) -> None:
        """Start, probe and restart the container; return when it will not be restarted."""
        if self._image is None:
            await self._no_image()
            return
        if self._image.role == "setup":
            self._ended(0, timestamp())
            self.over.set()
            return
        early_exits = 0
        loop = asyncio.get_running_loop()
        while not self._stop_requested.is_set():
            started_s, started_at = loop.time(), timestamp()
            code = await self._run_once()
            self._ended(code, started_at)
            again = self._context.restart == "Always" or (self._context.restart == "OnFailure" and code != 0)
            if self._stop_requested.is_set() or not again:
                break
            early_exits = 1 if loop.time() - started_s > BACKOFF_RESET_S else early_exits + 1
            await self._back_off(backoff_s(early_exits))
        self.over.set()

    async def _run_once(self) -> int:
        """Run the process once; return its exit code."""
        try:
            words = [*(self._spec.get("command") or ()), *(self._spec.get("args") or ())]
            argv = self._image.command(self._context.pod_dir, words) if self._image else []
            env = await self._context.environment()
            if self.log.exists():
                self.log.replace(log_file(self._context.pod_dir, self.name, previous=True))
            self._process = await Process.start(
                argv, env, cwd=self._context.pod_dir, log=self.log, on_lines=self._context.log_lines
            )
        except (OSError, ValueError) as exc:
            self._set({"waiting": {"reason": "CreateContainerConfigError", "message": str(exc)}})
            await self._context.record_event("Warning", "Failed", f"Error: {self.name}: {exc}")
            return 128
        if self._stop_requested.is_set():
            self._process.kill()
        self._set({"running": {"startedAt": timestamp()}})
        probes = [asyncio.create_task(loop) for loop in await self._probes()]
        try:
            return await self._process.wait()
        finally:
            for probe in probes:
                probe.cancel()
            self.ready = False

    async def _probes(self) -> list[Any]:
        """Return the probe loops of one run; without a readiness check the container is ready immediately."""
        loops: list[Any] = []
        try:
            if self._context.is_ready is not None:
                loops.append(self._watch_sidecar(self._context.is_ready))
            elif self._spec.get("readinessProbe"):
                loops.append(self._watch_readiness(Probe.of(self._spec["readinessProbe"], self._spec)))
            else:
                self._set_ready(True)
            if self._spec.get("livenessProbe"):
                loops.append(self._watch_liveness(Probe.of(self._spec["livenessProbe"], self._spec)))
        except ValueError as exc:
            await self._context.record_event("Warning", "NotSupported", f"probe of {self.name}: {exc}")
        return loops

    async def _watch_sidecar(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        failures = 0
        while True:
            failures = 0 if await is_ready() else failures + 1
            if failures == 0 or failures >= SIDECAR_FAILURES:
                self._set_ready(failures == 0)
            await asyncio.sleep(SIDECAR_PERIOD_S if self.ready else STARTING_PERIOD_S)

    async def _watch_readiness(self, probe: Probe) -> None:
        await asyncio.sleep(probe.initial_delay_s)
        failures = 0
        while True:
            failures = 0 if await probe.succeeds(self._context.address_of(probe.port)) else failures + 1
            if failures == 0:
                self._set_ready(True)
            elif self.ready and failures >= probe.failures:
                self._set_ready(False)
                await self._context.record_event(
                    "Warning", "Unhealthy", f"Readiness probe of {self.name} failed"
                )
            await asyncio.sleep(probe.period_s if self.ready else min(probe.period_s, STARTING_PERIOD_S))

    async def _watch_liveness(self, probe: Probe) -> None:
        await asyncio.sleep(max(probe.initial_delay_s, probe.period_s))
        failures = 0
        while failures < probe.failures:
            failures = 0 if await probe.succeeds(self._context.address_of(probe.port)) else failures + 1
            await asyncio.sleep(probe.period_s)
        await self._context.record_event(
            "Warning", "Unhealthy", f"Liveness probe of {self.name} failed: restarting it"
        )
        if self._process is not None:
            self._process.kill()

    async def _back_off(self, delay_s: float) -> None:
        self._last_state, self.exit_code = self._state, None
        self._restarts += 1
        if delay_s:
            text = f"back-off {delay_s:g}s restarting failed container {self.name}"
            self._set({"waiting": {"reason": "CrashLoopBackOff", "message": text}})
            await self._context.record_event("Warning", "BackOff", text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stop_requested.wait()
                self._restarts -= 1  # No restart follows, so the last state is the final one.
                self._set(self._last_state)

    async def _no_image(self) -> None:
        known = ", ".join(sorted(KNOWN))
        image = self._spec["image"]
        text = f'Failed to pull image "{image}": the sandbox runs only these images: {known}'
        self._set({"waiting": {"reason": "ErrImagePull", "message": text}})
        await self._context.record_event("Warning", "Failed", text)

    def _ended(self, code: int, started_at: str) -> None:
        self.exit_code = code
        self.ready = False
        signalled = {"signal": -code} if code < 0 else {}
        self._set(
            {
                "terminated": {
                    "exitCode": code if code >= 0 else 128 - code,
                    "reason": "Completed" if code == 0 else "Error",
                    "startedAt": started_at,
                    "finishedAt": timestamp(),
                    **signalled,
                }
            }
        )

    async def stop(self, grace_s: float) -> None:
        """Stop the container without a restart: SIGTERM, then SIGKILL after ``grace_s``."""
        self._stop_requested.set()
        if self._process is not None and self._process.running:
            await self._process.stop(grace_s)

    def kill(self) -> None:
        """Kill the container immediately, without a restart."""
        self._stop_requested.set()
        if self._process is not None:
            self._process.kill()

    def _set(self, state: dict[str, Any]) -> None:
        self._state = state
        self._context.changed()

    def _set_ready(self, ready: bool) -> None:
        if ready:
            self.became_ready.set()
        if ready != self.ready:
            self.ready = ready
            self._context.changed()
