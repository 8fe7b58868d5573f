"""One container of a pod: its process, its probes, its restarts with growing delay, its status."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from meshkit.sandbox.controllers.objects import timestamp
from meshkit.sandbox.dataplane.pod_directory import below
from meshkit.sandbox.node.images import KNOWN
from meshkit.sandbox.node.probes import STARTING_PERIOD_S, Probe
from meshkit.sandbox.node.process import Process
from meshkit.sandbox.node.programs import Image

LAST_BACKOFF_S = 30.0
FORGIVEN_AFTER_S = 30.0
"""A container that ran this long starts its next restarts without delay again."""
SIDECAR_PERIOD_S = 2.0
SIDECAR_FAILURES = 3
"""Looks in a row that find a sidecar not ready before it counts as such (a probe's default failureThreshold):
on a busy machine one late answer says nothing, and all pods at once would leave their Services.
"""

Tell = Callable[[Literal["Normal", "Warning"], str, str], Awaitable[None]]
"""Record an event on the pod: type, reason, message."""


def backoff_s(quick_ends: int) -> float:
    """Delay before a restart: none after the first quick end, then 1, 2, 4 ... seconds, at most 30.

    Kubernetes waits ten times as long; a sandbox is watched by a person.
    """
    return 0.0 if quick_ends <= 1 else min(LAST_BACKOFF_S, 2.0 ** (quick_ends - 2))


def log_file(pod_dir: Path, container: str, *, previous: bool) -> Path:
    """Where a container's present life writes, or where the one before it has written."""
    return below(pod_dir, f"{container}{'.previous' if previous else ''}.log")


@dataclass(frozen=True)
class Setting:
    """What a container needs from its pod."""

    environment: Callable[[], Awaitable[dict[str, str]]]
    pod_dir: Path
    address_of: Callable[[int], str]
    changed: Callable[[], None]
    tell: Tell
    restart: Literal["Always", "OnFailure", "Never"]
    log_lines: Callable[[list[bytes]], None] | None = None
    """Where stdout goes in lines; None: to the log file."""
    is_ready: Callable[[], Awaitable[bool]] | None = None
    """Readiness of a sidecar; None: the container's own probe."""


class Container:
    """Runs one container until it is stopped, or ends and is not to be restarted."""

    def __init__(
        self, spec: dict[str, Any], image: Image | None, setting: Setting, *, restarts: int = 0
    ) -> None:
        self.name: str = spec["name"]
        self._spec, self._image, self._setting = spec, image, setting
        self._restarts = restarts
        self._state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self._last_state: dict[str, Any] = {}
        self._process: Process | None = None
        self._asked_to_end = asyncio.Event()
        self.ready = False
        self.became_ready = asyncio.Event()
        self.exit_code: int | None = None
        """Of its last life, while no next one has begun."""
        self.over = asyncio.Event()
        """Set once it has ended and will not be started again."""

    @property
    def log(self) -> Path:
        """What its present life has written, or its last one while there is none."""
        return log_file(self._setting.pod_dir, self.name, previous=False)

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return "running" in self._state

    def status(self) -> dict[str, Any]:
        """Its entry of ``containerStatuses``."""
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

    def wait_because(self, why: str) -> None:
        """Say why it has not started yet."""
        self._set({"waiting": {"reason": "ContainerCreating", "message": why}})

    async def run(self) -> None:
        """Start, watch, restart. Returns when it has ended for good."""
        if self._image is None:
            await self._no_image()
            return
        if self._image.role == "setup":
            self._ended(0, timestamp())
            self.over.set()
            return
        quick_ends = 0
        loop = asyncio.get_running_loop()
        while not self._asked_to_end.is_set():
            started_s, started_at = loop.time(), timestamp()
            code = await self._run_once()
            self._ended(code, started_at)
            again = self._setting.restart == "Always" or (self._setting.restart == "OnFailure" and code != 0)
            if self._asked_to_end.is_set() or not again:
                break
            quick_ends = 1 if loop.time() - started_s > FORGIVEN_AFTER_S else quick_ends + 1
            await self._back_off(backoff_s(quick_ends))
        self.over.set()

    async def _run_once(self) -> int:
        """One life of the process; its exit code."""
        try:
            words = [*(self._spec.get("command") or ()), *(self._spec.get("args") or ())]
            argv = self._image.command(self._setting.pod_dir, words) if self._image else []
            env = await self._setting.environment()
            if self.log.exists():
                self.log.replace(log_file(self._setting.pod_dir, self.name, previous=True))
            self._process = await Process.start(
                argv, env, cwd=self._setting.pod_dir, log=self.log, on_lines=self._setting.log_lines
            )
        except (OSError, ValueError) as exc:
            self._set({"waiting": {"reason": "CreateContainerConfigError", "message": str(exc)}})
            await self._setting.tell("Warning", "Failed", f"Error: {self.name}: {exc}")
            return 128
        if self._asked_to_end.is_set():
            self._process.kill()
        self._set({"running": {"startedAt": timestamp()}})
        probes = [asyncio.create_task(each) for each in await self._probes()]
        try:
            return await self._process.wait()
        finally:
            for probe in probes:
                probe.cancel()
            self.ready = False

    async def _probes(self) -> list[Any]:
        """The probe loops of one life; the container is ready at once where nothing says when."""
        loops: list[Any] = []
        try:
            if self._setting.is_ready is not None:
                loops.append(self._watch_sidecar(self._setting.is_ready))
            elif self._spec.get("readinessProbe"):
                loops.append(self._watch_readiness(Probe.of(self._spec["readinessProbe"], self._spec)))
            else:
                self._set_ready(True)
            if self._spec.get("livenessProbe"):
                loops.append(self._watch_liveness(Probe.of(self._spec["livenessProbe"], self._spec)))
        except ValueError as exc:
            await self._setting.tell("Warning", "NotSupported", f"probe of {self.name}: {exc}")
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
            failures = 0 if await probe.succeeds(self._setting.address_of(probe.port)) else failures + 1
            if failures == 0:
                self._set_ready(True)
            elif self.ready and failures >= probe.failures:
                self._set_ready(False)
                await self._setting.tell("Warning", "Unhealthy", f"Readiness probe of {self.name} failed")
            await asyncio.sleep(probe.period_s if self.ready else min(probe.period_s, STARTING_PERIOD_S))

    async def _watch_liveness(self, probe: Probe) -> None:
        await asyncio.sleep(max(probe.initial_delay_s, probe.period_s))
        failures = 0
        while failures < probe.failures:
            failures = 0 if await probe.succeeds(self._setting.address_of(probe.port)) else failures + 1
            await asyncio.sleep(probe.period_s)
        await self._setting.tell(
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
            await self._setting.tell("Warning", "BackOff", text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._asked_to_end.wait()
                self._restarts -= 1  # no next life follows: how the last one ended is how it is
                self._set(self._last_state)

    async def _no_image(self) -> None:
        known = ", ".join(sorted(KNOWN))
        image = self._spec["image"]
        text = f'Failed to pull image "{image}": the sandbox runs only images that it knows: {known}'
        self._set({"waiting": {"reason": "ErrImagePull", "message": text}})
        await self._setting.tell("Warning", "Failed", text)

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
        """End it for good: SIGTERM, SIGKILL after ``grace_s``."""
        self._asked_to_end.set()
        if self._process is not None and self._process.running:
            await self._process.stop(grace_s)

    def kill(self) -> None:
        """End it for good, now."""
        self._asked_to_end.set()
        if self._process is not None:
            self._process.kill()

    def _set(self, state: dict[str, Any]) -> None:
        self._state = state
        self._setting.changed()

    def _set_ready(self, ready: bool) -> None:
        if ready:
            self.became_ready.set()
        if ready != self.ready:
            self.ready = ready
            self._setting.changed()
