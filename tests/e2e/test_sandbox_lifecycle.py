"""The sandbox as a whole: its daemon, its pods as processes, what survives and what is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from meshkit.errors import SandboxError
from meshkit.sandbox import lifecycle
from meshkit.sandbox.home import SandboxHome
from meshkit.testing import Sandbox, running_sandbox


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A sandbox that a test may kill."""
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def second() -> Iterator[Sandbox]:
    """A sandbox beside the session's, which every test leaves as it found it."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def empty_home() -> Iterator[SandboxHome]:
    """A home without a sandbox, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="meshkit-") as folder:
        yield SandboxHome(Path(folder) / "sandbox")


class Kube:
    """The few calls that these tests make."""

    def __init__(self, sandbox: Sandbox, namespace: str = "default") -> None:
        self.namespace, self.home = namespace, sandbox.home
        self.server = lifecycle.status(SandboxHome(sandbox.home)).server
        api = config.new_client_from_config(str(sandbox.kubeconfig))
        self.core, self.apps = client.CoreV1Api(api), client.AppsV1Api(api)
        if namespace != "default":
            self.core.create_namespace({"metadata": {"name": namespace}})

    def deploy(self, name: str, container: dict[str, Any], replicas: int = 3) -> None:
        labels = {"app": name}
        self.apps.create_namespaced_deployment(
            self.namespace,
            {
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
                    },
                },
            },
        )

    def raw(self, method: str, path: str, body: object = None) -> Any:
        """A request to the API server, as JSON."""
        headers = {"Authorization": f"Bearer {(self.home / 'token').read_text()}"}
        request = urllib.request.Request(self.server + path, method=method, headers=headers)
        request.data = None if body is None else json.dumps(body).encode()
        context = ssl.create_default_context(cafile=str(self.home / "ca.crt"))
        with urllib.request.urlopen(request, context=context) as answer:
            return json.load(answer)

    def pods(self) -> list[Any]:
        return list(self.core.list_namespaced_pod(self.namespace).items)

    def ready(self, count: int) -> bool:
        """Whether exactly ``count`` pods are there, and all are ready."""
        pods = self.pods()
        return len(pods) == count and all(is_ready(pod) for pod in pods)

    def rolled_out(self, name: str) -> bool:
        found = self.apps.read_namespaced_deployment(name, self.namespace)
        wanted, state = found.spec.replicas, found.status
        return bool(
            state.observed_generation == found.metadata.generation
            and (state.replicas, state.updated_replicas, state.available_replicas) == (wanted, wanted, wanted)
        )


def is_ready(pod: Any) -> bool:
    conditions = (pod.status and pod.status.conditions) or ()
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def until(look: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"{look} did not come true within {timeout_s} s"
        time.sleep(0.03)
    return found


def web(**env: str) -> dict[str, Any]:
    return {
        "name": "web",
        "image": "meshkit.dev/sandbox/web:1",
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 9000, "name": "control"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "control"}, "periodSeconds": 1},
    }


def load(target: str, rps: int) -> dict[str, Any]:
    return {
        "name": "load",
        "image": "meshkit.dev/sandbox/load:1",
        "env": [{"name": "TARGET", "value": target}, {"name": "RATE", "value": str(rps)}],
        "ports": [{"containerPort": 9000, "name": "control"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "control"}},
    }


def processes_of(home: Path) -> set[int]:
    """Every living process that has the home in its environment or arguments, the daemon included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if str(home).encode() in text and lifecycle.start_ticks(int(entry.name)) is not None:
                found.add(int(entry.name))
    return found


def test_up_twice_is_one_sandbox(second: Sandbox) -> None:
    home = SandboxHome(second.home)
    first = lifecycle.status(home)
    assert lifecycle.up(home) == first
    assert processes_of(second.home) == {first.pid}


def test_up_tells_how_it_goes(empty_home: SandboxHome) -> None:
    said: list[str] = []
    try:
        lifecycle.up(empty_home, progress=said.append)
        assert any("https://127.0.0.1:" in line for line in said)
    finally:
        lifecycle.down(empty_home)


def test_the_home_is_private(second: Sandbox) -> None:
    assert second.home.stat().st_mode & 0o777 == 0o700
    for name in ("token", "kubeconfig", "ca.key", "server.key"):
        assert (second.home / name).stat().st_mode & 0o777 == 0o600


def test_a_deployment_runs_in_three_zones_on_addresses_of_its_own(sandbox: Sandbox) -> None:
    kube = Kube(sandbox, "zones")
    kube.deploy("web", web(VERSION="v7"))
    until(lambda: kube.ready(3))
    placed = [pod for pod in lifecycle.status(SandboxHome(sandbox.home)).pods if pod.namespace == "zones"]
    assert sorted(pod.zone for pod in placed) == ["zone-a", "zone-b", "zone-c"]
    assert len({pod.ip for pod in placed}) == 3
    with urllib.request.urlopen(f"http://{placed[0].ip}:8080/any") as answer:
        assert answer.headers["x-version"] == "v7"
        assert answer.headers["x-pod"] == placed[0].name
    assert kube.rolled_out("web")


def test_an_unknown_image_is_not_imitated_and_says_so(sandbox: Sandbox) -> None:
    kube = Kube(sandbox, "images")
    kube.deploy("db", {"name": "db", "image": "postgres:17"}, replicas=1)

    def waiting() -> str:
        states = [
            each.state.waiting
            for pod in kube.pods()
            if pod.status
            for each in pod.status.container_statuses or ()
        ]
        return states[0].reason if states and states[0] else ""

    until(lambda: waiting() == "ErrImagePull")
    events = kube.core.list_namespaced_event("images").items
    (failed,) = [each for each in events if each.reason == "Failed"]
    assert "meshkit.dev/sandbox/web" in failed.message


def test_a_killed_container_is_restarted_and_counted(sandbox: Sandbox) -> None:
    kube = Kube(sandbox, "restarts")
    kube.deploy("web", web(), replicas=1)
    until(lambda: kube.ready(1))
    status = kube.pods()[0].status.container_statuses[0]
    os.kill(int(status.container_id.removeprefix("meshkit://")), signal.SIGKILL)
    until(lambda: kube.ready(1) and kube.pods()[0].status.container_statuses[0].restart_count == 1)


def test_behaviour_is_changed_and_logs_are_read_through_the_api_server(sandbox: Sandbox) -> None:
    kube = Kube(sandbox, "control")
    kube.deploy("web", web(), replicas=1)
    until(lambda: kube.ready(1))
    name = kube.pods()[0].metadata.name
    path = f"/api/v1/namespaces/control/pods/{name}:9000/proxy/-/behaviour"
    changed = kube.raw("PUT", path, {"latency_ms": 7})
    assert changed == {"latency_ms": 7, "sigma": 0.25, "error_percent": 0}
    assert kube.raw("GET", path) == changed
    assert kube.core.read_namespaced_pod_log(name, "control") is not None


def test_a_rollout_restart_under_load_loses_no_request(sandbox: Sandbox) -> None:
    """Takes about 8 s: two pods are replaced one after the other, each drained for a second."""
    kube = Kube(sandbox, "rolling")
    kube.core.create_namespaced_service(
        "rolling",
        {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}]},
        },
    )
    kube.deploy("web", web(LATENCY_MS="5"), replicas=2)
    until(lambda: kube.ready(2))
    kube.deploy("client", load("http://web:8080/", 100), replicas=1)
    until(lambda: kube.ready(3))
    (pod,) = [each for each in kube.pods() if each.metadata.labels["app"] == "client"]

    def summary(since_s: float) -> dict[str, Any]:
        path = f"/api/v1/namespaces/rolling/pods/{pod.metadata.name}:9000/proxy/-/summary"
        found: dict[str, Any] = kube.raw("GET", f"{path}?since={since_s}")
        return found

    until(lambda: summary(0)["requests"] > 50)
    since_s = time.time()
    before = {each.metadata.name for each in kube.pods()}
    annotations = {"kubectl.kubernetes.io/restartedAt": "now"}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    kube.apps.patch_namespaced_deployment("web", "rolling", patch)
    until(lambda: kube.rolled_out("web") and kube.ready(3))
    assert len(before & {each.metadata.name for each in kube.pods()}) == 1
    found = summary(since_s)
    assert found["requests"] > 100
    assert found["failed"] == 0


def test_kill_9_on_the_daemon_ends_its_pods_and_a_restart_loses_nothing(own: Sandbox) -> None:
    home, kube = SandboxHome(own.home), Kube(own)
    kube.deploy("web", web())
    until(lambda: kube.ready(3))
    before = {pod.metadata.uid: pod.status.pod_ip for pod in kube.pods()}
    daemon = lifecycle.running(home)
    assert daemon is not None
    assert len(processes_of(own.home)) == 4
    os.kill(daemon.pid, signal.SIGKILL)
    until(lambda: processes_of(own.home) == set())
    said: list[str] = []
    lifecycle.up(home, progress=said.append)
    assert any("restarting it with all its objects" in line for line in said)
    kube = Kube(own)
    until(lambda: kube.ready(3))
    assert {pod.metadata.uid for pod in kube.pods()} == set(before)
    assert not {pod.status.pod_ip for pod in kube.pods()} & set(before.values())
    assert Counter(pod.status.container_statuses[0].restart_count for pod in kube.pods()) == {1: 3}


def test_down_leaves_no_process(own: Sandbox) -> None:
    kube = Kube(own)
    kube.deploy("web", web(), replicas=2)
    until(lambda: kube.ready(2))
    assert len(processes_of(own.home)) == 3
    assert lifecycle.down(SandboxHome(own.home))
    assert processes_of(own.home) == set()
    assert not lifecycle.down(SandboxHome(own.home))


def test_up_and_down_again_and_at_once_leave_one_sandbox_or_none(own: Sandbox) -> None:
    home = SandboxHome(own.home)
    for _ in range(2):
        assert lifecycle.down(home)
        assert processes_of(own.home) == set()
        lifecycle.up(home)
    with ThreadPoolExecutor() as pool:
        stopping, starting = pool.submit(lifecycle.down, home), pool.submit(lifecycle.up, home)
        assert starting.result(60).running
        stopping.result(60)
    daemon = lifecycle.running(home)
    assert processes_of(own.home) == ({daemon.pid} if daemon else set())


def test_a_sandbox_whose_folder_is_removed_ends(own: Sandbox) -> None:
    kube = Kube(own)
    kube.deploy("web", web(), replicas=1)
    until(lambda: kube.ready(1))
    shutil.rmtree(own.home)
    until(lambda: processes_of(own.home) == set())


def test_the_token_of_another_sandbox_is_refused_in_one_sentence(second: Sandbox, sandbox: Sandbox) -> None:
    home = SandboxHome(second.home)
    right = home.token.read_text()
    home.token.write_text((sandbox.home / "token").read_text())
    try:
        with pytest.raises(SandboxError, match="failed with status 401 Unauthorized"):
            lifecycle.status(home)
    finally:
        home.token.write_text(right)


def test_a_field_without_effect_is_an_event(sandbox: Sandbox) -> None:
    kube = Kube(sandbox, "ignored")
    kube.deploy("web", {**web(), "startupProbe": {"tcpSocket": {"port": 8080}}}, replicas=1)
    until(lambda: kube.ready(1))
    (told,) = [e for e in kube.core.list_namespaced_event("ignored").items if e.reason == "NotSupported"]
    assert "spec.containers[web].startupProbe" in told.message
    assert (told.type, told.count) == ("Warning", 1)


def test_two_homes_do_not_meet(second: Sandbox, sandbox: Sandbox) -> None:
    one, other = (lifecycle.running(SandboxHome(each.home)) for each in (second, sandbox))
    assert one is not None
    assert other is not None
    assert (one.port, one.net) != (other.port, other.net)
    assert one.port != other.port
    assert one.net != other.net
    kube = Kube(second)
    kube.core.create_namespaced_config_map("default", {"metadata": {"name": "mine"}})
    names = [each.metadata.name for each in Kube(sandbox).core.list_namespaced_config_map("default").items]
    assert "mine" not in names


def test_a_record_of_another_process_is_not_taken_for_the_daemon(second: Sandbox) -> None:
    home = SandboxHome(second.home)
    record = json.loads(home.daemon.read_text())
    home.daemon.write_text(json.dumps(record | {"pid": os.getpid()}))
    try:
        assert lifecycle.running(home) is None
        assert not lifecycle.status(home).running
    finally:
        home.daemon.write_text(json.dumps(record))


def test_an_occupied_port_is_refused_when_asked_for_by_name(empty_home: SandboxHome) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"Port {port} .* is taken"):
            lifecycle.up(empty_home, port=port)
    assert lifecycle.running(empty_home) is None


def test_another_port_for_a_running_sandbox_is_refused(second: Sandbox) -> None:
    with pytest.raises(SandboxError, match="already runs on port"):
        lifecycle.up(SandboxHome(second.home), port=1)


def test_a_home_that_cannot_be_made_is_one_sentence() -> None:
    told = r"Cannot create the folder .*: Not a directory\. Set MESHKIT_HOME"
    with tempfile.NamedTemporaryFile() as file, pytest.raises(SandboxError, match=told):
        lifecycle.up(SandboxHome(Path(file.name) / "sandbox"))


def test_a_home_whose_sockets_would_have_too_long_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="too long"):
        lifecycle.up(SandboxHome(tmp_path / ("x" * 60)))
