"""What the node agent makes of a pod's spec: environment, addresses, status, delays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.node.container import Container, ContainerContext, backoff_s
from meshkit.sandbox.node.environment import (
    NodeConfig,
    config_maps_of,
    container_environment,
    expanded,
    listen_addresses,
)
from meshkit.sandbox.node.podstatus import pod_status, restarts_before
from meshkit.sandbox.node.probes import Probe
from meshkit.sandbox.node.programs import Image
from meshkit.sandbox.node.unsupported import ignored_fields
from meshkit.sandbox.workloads.http1 import listen_address

Spec = dict[str, Any]
NODE_CONFIG = NodeConfig(
    Path("/h/run"), "https://127.0.0.1:1", Path("/h/ca.crt"), Path("/h/run/services.json")
)


def pod(
    *, sidecar: bool = False, env: list[dict[str, Any]] | None = None, **annotations: str
) -> dict[str, Any]:
    ports = [{"containerPort": 8080, "name": "http"}, {"containerPort": 9000, "name": "control"}]
    spec: dict[str, Any] = {"containers": [{"name": "web", "image": "web", "ports": ports, "env": env or []}]}
    if sidecar:
        proxy = {"name": "istio-proxy", "image": "istio/proxyv2", "restartPolicy": "Always"}
        spec["initContainers"] = [proxy]
    meta = {
        "name": "p",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web"},
        "annotations": annotations,
    }
    return {"metadata": meta, "spec": spec}


def test_without_a_sidecar_ports_are_served_on_the_address_of_the_pod() -> None:
    assert listen_addresses(pod(), "127.7.0.1", Path("/d")) == {
        8080: "tcp:127.7.0.1:8080",
        9000: "tcp:127.7.0.1:9000",
    }


def test_behind_a_sidecar_captured_ports_are_unix_sockets_and_excluded_ones_are_not() -> None:
    meshed = pod(sidecar=True, **{"traffic.sidecar.istio.io/excludeInboundPorts": "9000"})
    assert listen_addresses(meshed, "127.7.0.1", Path("/d")) == {
        8080: "unix:/d/app-8080.sock",
        9000: "tcp:127.7.0.1:9000",
    }


def test_only_a_meshed_pod_calls_through_its_proxy() -> None:
    for meshed in (False, True):
        found = pod(sidecar=meshed)
        env = container_environment(found, found["spec"]["containers"][0], "127.7.0.1", NODE_CONFIG)
        assert env.get("HTTP_PROXY") == ("http://127.7.0.1:15001" if meshed else None)
        assert json.loads(env["MESHKIT_LISTEN"]).keys() == {"8080", "9000"}


@pytest.mark.parametrize(
    ("meshed", "address"), [(False, "tcp:127.7.0.1:7000"), (True, "unix:/h/run/u/app-7000.sock")]
)
def test_a_port_that_no_container_declares_is_the_pods_own_as_well(
    meshed: bool, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = pod(sidecar=meshed)
    found["metadata"]["uid"] = "u"
    env = container_environment(found, found["spec"]["containers"][0], "127.7.0.1", NODE_CONFIG)
    for name, value in env.items():
        if name.startswith("MESHKIT_"):
            monkeypatch.setenv(name, value)
    assert listen_address(7000) == address
    assert listen_address(8080) == listen_addresses(found, "127.7.0.1", Path("/h/run/u"))[8080]


def test_the_environment_of_the_daemon_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    found = pod()
    env = container_environment(found, found["spec"]["containers"][0], "127.7.0.1", NODE_CONFIG)
    assert "s3cret" not in env.values()


def test_fields_of_the_pod_and_references_are_filled_in() -> None:
    env = [
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "AT", "value": "$(ME)@$(POD_IP) $$(ME) $(NOBODY)"},
    ]
    found = pod(env=env)
    made = container_environment(found, found["spec"]["containers"][0], "127.7.0.1", NODE_CONFIG)
    assert made["AT"] == "web@127.7.0.1 $(ME) $(NOBODY)"
    assert expanded("$(A)$(B)", {"A": "1"}) == "1$(B)"


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "1", "2"),
        ("limits.memory", "1Mi", "512"),
        ("requests.cpu", "1m", "250"),
        ("requests.cpu", "0", "1"),
        ("requests.memory", "1", "0"),
    ],
)
def test_a_resource_is_in_units_of_its_divisor_and_no_limit_is_the_whole_node(
    resource: str, divisor: str, value: str
) -> None:
    source = {"resourceFieldRef": {"resource": resource, "divisor": divisor}}
    found = pod(env=[{"name": "AMOUNT", "valueFrom": source}])
    web = found["spec"]["containers"][0]
    web["resources"] = {"limits": {"memory": "512Mi"}, "requests": {"cpu": "250m"}}
    assert container_environment(found, web, "127.7.0.1", NODE_CONFIG)["AMOUNT"] == value


def test_a_value_of_a_config_map_is_the_one_that_it_has_now() -> None:
    source = {"configMapKeyRef": {"name": "roots", "key": "ca"}}
    maybe = {"configMapKeyRef": {"name": "nowhere", "key": "x", "optional": True}}
    found = pod(env=[{"name": "ROOTS", "valueFrom": source}, {"name": "MAYBE", "valueFrom": maybe}])
    web = found["spec"]["containers"][0]
    assert config_maps_of(web) == {"roots", "nowhere"}
    held = {"roots": {"data": {"ca": "the roots"}}, "nowhere": {}}
    made = container_environment(found, web, "127.7.0.1", NODE_CONFIG, held)
    assert (made["ROOTS"], "MAYBE" in made) == ("the roots", False)
    with pytest.raises(ValueError, match="env ROOTS: ConfigMap roots does not exist or has no key ca"):
        container_environment(found, web, "127.7.0.1", NODE_CONFIG)


def test_a_value_from_where_the_sandbox_does_not_look_is_refused_by_name() -> None:
    found = pod(env=[{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])
    with pytest.raises(ValueError, match="env KEY: the sandbox does not support secretKeyRef"):
        container_environment(found, found["spec"]["containers"][0], "127.7.0.1", NODE_CONFIG)


def container(name: str, *, ready: bool) -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {"name": name, "ready": ready, "started": True, "state": state, "lastState": {}, "restartCount": 2}


@pytest.mark.parametrize(("proxy", "app", "expected"), [(True, True, "True"), (False, True, "False")])
def test_a_pod_is_ready_when_its_sidecar_is_too(proxy: bool, app: bool, expected: str) -> None:
    status = pod_status(
        pod(sidecar=True),
        {},
        "127.7.0.1",
        [container("istio-proxy", ready=proxy)],
        [container("web", ready=app)],
        terminating=False,
    )
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == expected
    assert status["phase"] == "Running"


def test_a_pod_that_is_being_deleted_is_not_ready_at_once() -> None:
    status = pod_status(pod(), {}, "127.7.0.1", [], [container("web", ready=True)], terminating=True)
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "False"


def test_a_restart_of_the_daemon_counts_as_one_restart() -> None:
    assert restarts_before(pod(), "web") == 0
    assert restarts_before({"status": {"containerStatuses": [container("web", ready=True)]}}, "web") == 3


def test_restarts_wait_longer_and_longer_but_not_for_ever() -> None:
    assert [backoff_s(n) for n in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_probe_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="only httpGet and tcpSocket"):
        Probe.of({"exec": {"command": ["true"]}}, {})


def test_a_container_that_ends_is_restarted_until_it_is_stopped(tmp_path: Path) -> None:
    async def record_event(kind: str, reason: str, message: str) -> None:
        events.append(reason)

    async def environment() -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin"}

    async def scenario() -> None:
        setting = ContainerContext(
            environment=environment,
            pod_dir=tmp_path,
            address_of=str,
            changed=lambda: None,
            record_event=record_event,
            restart="Always",
        )
        image = Image("program", lambda folder, args: ["/bin/sh", "-c", "echo ran; exit 3"])
        subject = Container({"name": "c", "image": "i"}, image, setting)
        running = asyncio.create_task(subject.run())
        async with asyncio.timeout(30):
            while subject.status()["restartCount"] < 2:  # noqa: ASYNC110 - a status has no event
                await asyncio.sleep(0.01)
        assert subject.status()["lastState"]["terminated"]["exitCode"] == 3
        assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["ran\n", "ran\n"]
        assert {path.name for path in tmp_path.iterdir()} == {"c.log", "c.previous.log"}
        running.cancel()

    events: list[str] = []
    asyncio.run(scenario())
    assert events == ["BackOff"]


def test_fields_that_have_no_effect_are_named() -> None:
    found = pod(sidecar=True)
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    affinity = {"podAntiAffinity": {}, "nodeAffinity": required}
    found["spec"] |= {"affinity": affinity, "nodeSelector": {"a": "b"}, "volumes": []}
    found["spec"]["containers"][0] |= {"startupProbe": {"tcpSocket": {"port": 1}}, "resources": {}}
    found["spec"]["initContainers"][0]["resources"] = {"limits": {"cpu": "2"}}
    assert ignored_fields(found) == ["spec.affinity.podAntiAffinity", "spec.containers[web].startupProbe"]
    assert ignored_fields(pod()) == []
