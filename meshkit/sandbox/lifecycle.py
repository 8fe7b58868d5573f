"""Starts, stops and inspects the sandbox of one home folder, from any other process.

``up`` starts one detached daemon and returns when its API server answers; a second ``up`` finds the running
daemon. The daemon's record contains its pid *and* start time, so a record that a crash left behind never
matches another process with the same pid. Preconditions are checked before anything is started, with one
clear error message.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshkit.errors import SandboxError
from meshkit.sandbox.home import SandboxHome
from meshkit.sandbox.machine import check_inotify, check_machine

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 20.0
ZONE = "topology.kubernetes.io/zone"
_SOCKET_PATH_BYTES = 107  # sun_path of sockaddr_un, less its end
_LONGEST_SOCKET = f"/run/{'0' * 36}/app-65535.sock"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PodStatus:
    """The location and state of one pod."""

    namespace: str
    name: str
    zone: str
    ip: str
    phase: str
    ready: bool
    restarts: int


@dataclass(frozen=True)
class Status:
    """The state of a sandbox; ``pid``, ``server`` and ``pods`` are empty when it does not run."""

    home: Path
    running: bool
    kubeconfig: Path
    pid: int | None = None
    server: str = ""
    pods: tuple[PodStatus, ...] = ()


@dataclass(frozen=True)
class Daemon:
    """The record of a running daemon in ``daemon.json``."""

    pid: int
    start_ticks: int
    port: int
    net: int


def up(
    home: SandboxHome | None = None, *, port: int | None = None, progress: Progress | None = None
) -> Status:
    """Start the sandbox unless it is already running; ``port`` sets the API server's port.

    Raises SandboxError when the sandbox cannot run on this machine or the port is taken.
    """
    home, say = home or SandboxHome.default(), progress or (lambda line: None)
    check_machine()
    _check_home(home)
    with _lifecycle_lock(home):
        daemon = running(home)
        if daemon is not None:
            if port not in (None, daemon.port):
                raise SandboxError(
                    f"The sandbox of {home.path} already runs on port {daemon.port}.",
                    remedy="Stop it with 'meshkit sandbox down' to move it to another port.",
                )
            say(f"already running on port {daemon.port}")
            return status(home)
        if home.daemon.exists():
            say("the last daemon ended without 'down'; restarting it with all its objects")
            home.daemon.unlink()
        check_inotify()
        _start(home, port, say)
    return status(home)


def down(home: SandboxHome | None = None, *, progress: Progress | None = None) -> bool:
    """Stop the sandbox and all its pods; return whether it was running.

    The objects are kept for the next ``up``.
    """
    home, say = home or SandboxHome.default(), progress or (lambda line: None)
    if not home.path.is_dir():
        return False
    _check_owner(home.path)
    with _lifecycle_lock(home):
        return _stop(home, say)


def _stop(home: SandboxHome, say: Progress) -> bool:
    """Stop the daemon with SIGTERM, then SIGKILL."""
    daemon = running(home)
    if daemon is None:
        home.daemon.unlink(missing_ok=True)
        return False
    say(f"stopping the daemon (pid {daemon.pid}) and its pods")
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon.pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if start_ticks(daemon.pid) != daemon.start_ticks:
                home.daemon.unlink(missing_ok=True)
                return True
            time.sleep(0.02)
    raise SandboxError(f"The sandbox's daemon (pid {daemon.pid}) does not stop.", remedy=f"See {home.log}.")


def status(home: SandboxHome | None = None) -> Status:
    """Return the state of the sandbox; raise SandboxError if its daemon does not answer."""
    home = home or SandboxHome.default()
    daemon = running(home)
    if daemon is None:
        return Status(home.path, False, home.kubeconfig)
    try:
        nodes = _get(home, daemon.port, "/api/v1/nodes")["items"]
        pods = _get(home, daemon.port, "/api/v1/pods")["items"]
    except (OSError, http.client.HTTPException, ValueError, KeyError) as exc:
        raise SandboxError(
            f"The sandbox's daemon (pid {daemon.pid}) does not answer: {exc}.",
            remedy=f"See {home.log}; 'meshkit sandbox down' and 'up' start it again.",
        ) from exc
    zones = {node["metadata"]["name"]: node["metadata"]["labels"].get(ZONE, "") for node in nodes}
    return Status(
        home.path,
        True,
        home.kubeconfig,
        daemon.pid,
        f"https://127.0.0.1:{daemon.port}",
        tuple(_pod_status(pod, zones) for pod in pods),
    )


def running(home: SandboxHome) -> Daemon | None:
    """Return the running daemon of the home, or None; stale records are ignored."""
    try:
        daemon = Daemon(**json.loads(home.daemon.read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except PermissionError:
        _check_owner(home.path)
        raise
    return daemon if start_ticks(daemon.pid) == daemon.start_ticks else None


def start_ticks(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot, or None if it has ended.

    The value is field 22 of /proc/PID/stat.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _check_home(home: SandboxHome) -> None:
    """Create the folder; raise SandboxError unless this user can use it."""
    path = home.path
    remedy = "Set MESHKIT_HOME to a folder of your own."
    if len(os.fsencode(path)) + len(_LONGEST_SOCKET) > _SOCKET_PATH_BYTES:
        allowed = _SOCKET_PATH_BYTES - len(_LONGEST_SOCKET)
        raise SandboxError(
            f"The path {path} is too long: Unix sockets in it allow at most {allowed} bytes.",
            remedy="Set MESHKIT_HOME to a folder with a shorter path.",
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise SandboxError(f"Cannot create the folder {path}: {exc.strerror}.", remedy=remedy) from exc
    _check_owner(path)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise SandboxError(f"The folder {path} is not writable.", remedy=remedy)
    path.chmod(0o700)


def _check_owner(path: Path) -> None:
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise SandboxError(
            f"The sandbox in {path} belongs to another user (uid {owner}).",
            remedy="Set MESHKIT_HOME to a folder of your own.",
        )


@contextlib.contextmanager
def _lifecycle_lock(home: SandboxHome) -> Iterator[None]:
    """Serialize concurrent calls of ``up`` and ``down`` with a file lock."""
    with (home.path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(home: SandboxHome, port: int | None, say: Progress) -> None:
    """Start the daemon and read its report until it is ready."""
    read_fd, write_fd = os.pipe()
    argv = [sys.executable, "-P", "-m", "meshkit.sandbox.daemon"]
    argv += ["--home", str(home.path), "--report", str(write_fd)]
    if port is not None:
        argv += ["--port", str(port)]
    with os.fdopen(read_fd) as report, home.log.open("ab") as log:
        try:
            # The started process forks the daemon and ends, so the daemon needs no waiting parent.
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home.path,
                pass_fds=[write_fd],
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(write_fd)
        for line in _lines(report.fileno(), START_TIMEOUT_S):
            message = json.loads(line)
            if "error" in message:
                raise SandboxError(message["error"], remedy=message["remedy"])
            if "ready" in message:
                return
            say(message["progress"])
    raise SandboxError(
        f"The sandbox's daemon did not start within {START_TIMEOUT_S:.0f} s or ended early.",
        remedy=f"See the end of {home.log}.",
    )


def _lines(fd: int, timeout_s: float) -> Iterator[str]:
    """Yield lines from a pipe until its end or the timeout."""
    deadline, buffer = time.monotonic() + timeout_s, b""
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(fd, 4096)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        yield from (line.decode() for line in lines)


def _get(home: SandboxHome, port: int, path: str) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=str(home.ca_certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S, context=context)
    try:
        headers = {"Authorization": f"Bearer {home.token.read_text().strip()}", "Accept": "application/json"}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status != http.HTTPStatus.OK:
            raise ValueError(
                f"GET {path} failed with status {response.status} {answer.get('message', '')}".strip()
            )
        return answer
    finally:
        connection.close()


def _pod_status(pod: dict[str, Any], zones: dict[str, str]) -> PodStatus:
    meta, state = pod["metadata"], pod.get("status") or {}
    conditions = {item["type"]: item["status"] for item in state.get("conditions") or ()}
    return PodStatus(
        namespace=meta["namespace"],
        name=meta["name"],
        zone=zones.get(pod["spec"].get("nodeName", ""), ""),
        ip=state.get("podIP", ""),
        phase="Terminating" if meta.get("deletionTimestamp") else state.get("phase", "Pending"),
        ready=conditions.get("Ready") == "True",
        restarts=sum(item["restartCount"] for item in state.get("containerStatuses") or ()),
    )
