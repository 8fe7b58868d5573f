"""Start, stop and look at the sandbox of one home, from any other process.

``up`` starts one detached daemon and returns when its API server answers; a second ``up`` finds the first
one's. The daemon's record names its pid *and* start time, so that a record left by a crash is never taken for
whoever has that pid now. Everything that can be found wrong is found before anything is started, as one
sentence.
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

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 5.0
ZONE = "topology.kubernetes.io/zone"
_SOCKET_PATH_BYTES = 107  # sun_path of sockaddr_un, less its end
_LONGEST_SOCKET = f"/run/{'0' * 36}/app-65535.sock"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PodStatus:
    """Where one pod runs and how it is."""

    namespace: str
    name: str
    zone: str
    ip: str
    phase: str
    ready: bool
    restarts: int


@dataclass(frozen=True)
class Status:
    """The sandbox of one home. ``pid``, ``server`` and ``pods`` are empty when it does not run."""

    home: Path
    running: bool
    kubeconfig: Path
    pid: int | None = None
    server: str = ""
    pods: tuple[PodStatus, ...] = ()


@dataclass(frozen=True)
class Daemon:
    """The record of a running daemon: ``daemon.json``."""

    pid: int
    start_ticks: int
    port: int
    net: int


def up(
    home: SandboxHome | None = None, *, port: int | None = None, progress: Progress | None = None
) -> Status:
    """Start the sandbox unless it runs already. ``port`` insists on a port of the API server.

    Raises SandboxError when it cannot run here, or the port is taken.
    """
    home, say = home or SandboxHome.default(), progress or (lambda line: None)
    check_machine()
    _check_home(home)
    with _one_at_a_time(home):
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
            say("the last daemon ended without 'down': starting again, nothing is lost")
            home.daemon.unlink()
        check_inotify()
        _start(home, port, say)
    return status(home)


def down(home: SandboxHome | None = None, *, progress: Progress | None = None) -> bool:
    """Stop the sandbox and all its pods.

    The objects stay for the next ``up``. Returns whether it was running.
    """
    home, say = home or SandboxHome.default(), progress or (lambda line: None)
    if not home.path.is_dir():
        return False
    _check_owner(home.path)
    with _one_at_a_time(home):
        return _stop(home, say)


def _stop(home: SandboxHome, say: Progress) -> bool:
    """End the daemon: SIGTERM, then SIGKILL."""
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
    raise SandboxError(f"The sandbox's daemon (pid {daemon.pid}) does not end.", remedy=f"See {home.log}.")


def status(home: SandboxHome | None = None) -> Status:
    """What runs where. Raises SandboxError when the daemon runs but does not answer."""
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
    zones = {each["metadata"]["name"]: each["metadata"]["labels"].get(ZONE, "") for each in nodes}
    return Status(
        home.path,
        True,
        home.kubeconfig,
        daemon.pid,
        f"https://127.0.0.1:{daemon.port}",
        tuple(_pod_status(each, zones) for each in pods),
    )


def running(home: SandboxHome) -> Daemon | None:
    """The home's daemon if it is alive; a record of an ended one (or of another process's pid) is none."""
    try:
        daemon = Daemon(**json.loads(home.daemon.read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except PermissionError:
        _check_owner(home.path)
        raise
    return daemon if start_ticks(daemon.pid) == daemon.start_ticks else None


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (field 22 of /proc/PID/stat).

    None when it has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _check_home(home: SandboxHome) -> None:
    """Make the folder, and raise SandboxError unless it is ours to use."""
    path = home.path
    remedy = "Set MESHKIT_HOME to a folder of your own."
    if len(os.fsencode(path)) + len(_LONGEST_SOCKET) > _SOCKET_PATH_BYTES:
        allowed = _SOCKET_PATH_BYTES - len(_LONGEST_SOCKET)
        raise SandboxError(
            f"The path {path} is too long: its sockets allow {allowed} bytes.",
            remedy="Set MESHKIT_HOME to a folder with a shorter path.",
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise SandboxError(f"The folder {path} cannot be made: {exc.strerror}.", remedy=remedy) from exc
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
def _one_at_a_time(home: SandboxHome) -> Iterator[None]:
    """Calls of ``up`` and ``down`` at once are one after the other."""
    with (home.path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(home: SandboxHome, port: int | None, say: Progress) -> None:
    """Start the daemon and follow its report until it is ready."""
    read_fd, write_fd = os.pipe()
    argv = [sys.executable, "-P", "-m", "meshkit.sandbox.daemon"]
    argv += ["--home", str(home.path), "--report", str(write_fd)]
    if port is not None:
        argv += ["--port", str(port)]
    with os.fdopen(read_fd) as report, home.log.open("ab") as log:
        try:
            # What is started here forks the daemon and ends: nobody has to wait for the daemon's end.
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
        remedy=f"Its last words are in {home.log}.",
    )


def _lines(fd: int, timeout_s: float) -> Iterator[str]:
    """Lines from a pipe until its end or the time-out."""
    deadline, rest = time.monotonic() + timeout_s, b""
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(fd, 4096)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
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
            raise ValueError(f"{path} is refused with {response.status} {answer.get('message', '')}".strip())
        return answer
    finally:
        connection.close()


def _pod_status(pod: dict[str, Any], zones: dict[str, str]) -> PodStatus:
    meta, state = pod["metadata"], pod.get("status") or {}
    conditions = {each["type"]: each["status"] for each in state.get("conditions") or ()}
    return PodStatus(
        namespace=meta["namespace"],
        name=meta["name"],
        zone=zones.get(pod["spec"].get("nodeName", ""), ""),
        ip=state.get("podIP", ""),
        phase="Terminating" if meta.get("deletionTimestamp") else state.get("phase", "Pending"),
        ready=conditions.get("Ready") == "True",
        restarts=sum(each["restartCount"] for each in state.get("containerStatuses") or ()),
    )
