"""What any user of the machine finds at the ports of a running sandbox.

Loopback does not separate users: whoever has a process here connects to each port. So by no port of a sandbox
is a proxy ended or configured, or a workload or its load changed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from meshkit.cluster.connect import Cluster
from meshkit.operations import shop
from tests.e2e.ledgers import POD, wait_until_served

LISTENS = "0A"
ATTEMPTS = (
    *(("GET", path, b"") for path in ("/help", "/server_info", "/config_dump", "/certs", "/stats")),
    *(
        ("POST", path, b"")
        for path in ("/quitquitquit", "/logging?level=off", "/healthcheck/fail", "/drain_listeners")
    ),
    *(
        ("GET", path, b"")
        for path in ("/-/behaviour", "/-/rate", "/-/requests", "/-/summary", "/debug/pprof/")
    ),
    ("PUT", "/-/behaviour", b'{"latency_ms": 5000}'),
    ("PUT", "/-/restore", b""),
    ("PUT", "/-/rate", b'{"rps": 4000}'),
    ("POST", "/shutdown", b""),
    ("GET", "/env.json", b""),
    ("GET", "/tasks", b""),
    ("GET", "/debug/configz", b""),
    ("PUT", "/proxy-log-level", b"off"),
)
FOUND = (
    b"admin commands are",
    b"hot_restart_version",
    b"BootstrapConfigDump",
    b"cert_chain",
    b"server.live: ",
    b"LINKERD2_PROXY_",
)
PAGE = {"istio": 15020, "linkerd": 4191}
"""The port with the metrics of each mesh's sidecar."""
CONTROL = (b'"latency_ms":', b'"rps":', b'"scheduled_s"', b'"requests":')


def processes(home: Path) -> set[int]:
    """Every process of the sandbox, by its environment or arguments."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(home).encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                    found.add(int(entry.name))
    return found


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """The addresses on which these processes accept TCP connections."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in inodes:
                host, _, port = fields[1].partition(":")
                assert table == "tcp", f"a port is open on IPv6: {line}"
                found.add((".".join(str(byte) for byte in reversed(bytes.fromhex(host))), int(port, 16)))
    return found


def answers(host: str, port: int) -> Iterator[tuple[str, int, bytes]]:
    """What a port answers to each attempt, in plain text; nothing if it speaks another protocol."""
    for method, path, body in ATTEMPTS:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            with contextlib.closing(connection):
                connection.request(method, path, body)
                answer = connection.getresponse()
                yield f"{method} {host}:{port}{path}", answer.status, answer.read(1 << 16)
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException):
            continue


def test_no_port_of_a_sandbox_ends_a_proxy_or_changes_a_workload(mesh_in_use: Cluster, mesh: str) -> None:
    """Takes the start of a shop in a mesh, and about 5 s."""
    wait_until_served(mesh_in_use)
    assert mesh_in_use.kubeconfig is not None
    home = Path(mesh_in_use.kubeconfig).parent
    before = processes(home)
    ports = listening(before)
    pods = mesh_in_use.api.list(POD, "shop")
    assert {(pod["status"]["podIP"], 9000) for pod in pods} <= ports
    assert {(pod["status"]["podIP"], 8080) for pod in mesh_in_use.api.list(POD, "shop", "app=web")} <= ports
    assert {(pod["status"]["podIP"], PAGE[mesh]) for pod in pods} <= ports
    assert all(host.startswith("127.") for host, _ in ports)

    found = [
        (what, code, body[:80])
        for host, port in sorted(ports)
        for what, code, body in answers(host, port)
        if any(mark in body for mark in (*FOUND, *CONTROL))
    ]
    assert found == []
    assert processes(home) == before
    (client,) = (pod["metadata"]["name"] for pod in mesh_in_use.api.list(POD, "shop", "app=client"))
    assert json.loads(mesh_in_use.api.pod_get("shop", client, 9000, "/-/rate")) == {"rps": 20}
    for pod in mesh_in_use.api.list(POD, "shop", "app=web"):
        told = json.loads(mesh_in_use.api.pod_get("shop", pod["metadata"]["name"], 9000, "/-/behaviour"))
        assert told["latency_ms"] == shop.GOOD.latency_ms
    since_s = time.time()
    time.sleep(1.0)
    ledger = shop.read_ledger(mesh_in_use, since_s, time.time())
    assert len(ledger) > 5
    assert not ledger.failed


def test_the_sockets_of_a_sandbox_are_its_users_own(mesh_in_use: Cluster) -> None:
    assert mesh_in_use.kubeconfig is not None
    run = Path(mesh_in_use.kubeconfig).parent / "run"
    sockets = list(run.glob("*/*.sock"))
    assert {path.name for path in sockets} >= {"admin.sock", "config.sock", "ctl-9000.sock", "app-8080.sock"}
    assert run.stat().st_mode & 0o077 == 0
    assert [path for path in sockets if path.parent.stat().st_mode & 0o077] == []
