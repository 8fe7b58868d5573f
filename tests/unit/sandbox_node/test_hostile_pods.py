"""A pod writes, deletes and runs nothing outside its folder, even if it was never validated."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.api.client import LocalClient
from meshkit.sandbox.api.storage.store import Key, Store
from meshkit.sandbox.node import images
from meshkit.sandbox.node.addresses import Addresses
from meshkit.sandbox.node.agent import NodeAgent, node_object, read_log
from meshkit.sandbox.node.environment import (
    NodeConfig,
    container_environment,
    process_environment,
    sandbox_environment,
)
from meshkit.sandbox.node.podstatus import pod_status
from meshkit.sandbox.node.process import Process
from meshkit.sandbox.node.unsupported import ineffective_variables
from tests.unit.sandbox_node.stage import until

Pod = dict[str, Any]
JOB = "meshkit.dev/sandbox/job"
HOSTILE = {
    "PYTHONPATH": "{evil}",
    "PYTHONHOME": "{evil}",
    "PYTHONSTARTUP": "{evil}/sitecustomize.py",
    "LD_PRELOAD": "{evil}/evil.so",
    "GLIBC_TUNABLES": "glibc.malloc.check=3",
    "OPENSSL_CONF": "{evil}/openssl.cnf",
    "SSLKEYLOGFILE": "{evil}/keys",
    "PATH": "{evil}",
    "TMPDIR": "{evil}",
    "MESHKIT_RUN_DIR": "{evil}",
    "MESHKIT_TOKEN_FILE": "{evil}/token",
    "MESHKIT_LISTEN": '{{"9000": "unix:{evil}/kept"}}',
    "MESHKIT_MOUNTS": '{{"/x": "{evil}"}}',
}


def pod(name: str = "c", *, uid: str = "u-1", env: dict[str, str] | None = None, **spec: Any) -> Pod:
    variables = [{"name": key, "value": value} for key, value in (env or {}).items()]
    container = {"name": name, "image": JOB, "env": variables}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "uid": uid},
        "spec": {"containers": [container], "nodeName": "sandbox-a", **spec},
    }


def node_config(folder: Path) -> NodeConfig:
    return NodeConfig(folder / "run", "https://127.0.0.1:1", folder / "ca.crt", folder / "services.json")


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (pod("../../victim/kept"), r"spec.containers\[0\].name"),
        (pod(uid=".."), "leads out of the folder"),
        (pod(uid="../victim"), "leads out of the folder"),
        (pod(volumes=[{"name": "../../../victim", "configMap": {"name": "cm"}}]), r"spec.volumes\[0\].name"),
        (pod(containers=[{"name": "c"}]), r"spec.containers\[0\].image: Required value"),
    ],
    ids=["container", "home", "uid", "volume", "no image"],
)
def test_a_pod_that_was_stored_before_fails_with_a_sentence(
    client: LocalClient, store: Store, tmp_path: Path, hostile: Pod, why: str
) -> None:
    kept = tmp_path / "victim" / "kept"
    kept.parent.mkdir()
    kept.write_text("as it was")

    async def scenario() -> Pod:
        await client.create("namespaces", {"metadata": {"name": "default"}})
        await client.create("nodes", node_object("sandbox-a"))
        store.create(Key("pods", "default", "p"), hostile)
        agent = NodeAgent(client, Addresses(9, []), node_config(tmp_path))
        await agent.prepare()
        running = asyncio.create_task(agent.run())

        async def has_failed() -> bool:
            assert not running.done()
            found = await client.get("pods", "p", "default")
            return found is not None and (found.get("status") or {}).get("phase") == "Failed"

        await until(has_failed)
        found = await client.get("pods", "p", "default")
        await client.delete("pods", "p", "default")

        async def is_gone() -> bool:
            return await client.get("pods", "p", "default") is None

        await until(is_gone)
        running.cancel()
        assert found is not None
        return found

    status = asyncio.run(scenario())["status"]
    assert status["reason"] == "InvalidPod"
    assert status["message"].startswith("The sandbox does not run the pod because it is not valid: ")
    assert re.search(why, status["message"])
    assert kept.read_text() == "as it was"


def test_no_log_is_read_outside_the_folder_of_a_pod(tmp_path: Path) -> None:
    (tmp_path / "secret.log").write_text("s3cret")
    assert read_log(tmp_path / "run", pod(), "../../secret", None) == ""
    assert read_log(tmp_path / "run", pod(uid=".."), "secret", None) == ""


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A folder with code that a Python process loads if it is on its path."""
    folder = tmp_path / "evil"
    folder.mkdir()
    code = f"open({str(folder / 'it-ran')!r}, 'w').close()"
    for name in ("sitecustomize.py", "usercustomize.py"):
        (folder / name).write_text(code)
    return folder


@pytest.fixture
def environments(tmp_path: Path, evil: Path) -> Callable[[str], tuple[dict[str, str], dict[str, str]]]:
    """The sandbox's variables and those of the process, for a pod that sets hostile ones by themselves."""

    def made(image: str) -> tuple[dict[str, str], dict[str, str]]:
        env = {name: value.format(evil=evil) for name, value in HOSTILE.items()} | {"EXIT_CODE": "7"}
        found = pod(env=env)
        web = found["spec"]["containers"][0]
        own = sandbox_environment(found, web, "127.7.0.1", node_config(tmp_path))
        whole = container_environment(found, web, "127.7.0.1", node_config(tmp_path))
        known = images.find(image)
        assert known is not None
        return own, process_environment(own, whole, known.reads)

    return made


@pytest.mark.parametrize("image", sorted(images.KNOWN))
def test_no_variable_of_a_pod_decides_how_a_process_is_loaded(
    environments: Callable[[str], tuple[dict[str, str], dict[str, str]]], image: str
) -> None:
    own, process = environments(image)
    for name in HOSTILE:
        assert process.get(name) == own.get(name)


def test_code_in_a_volume_of_the_pod_does_not_run(
    environments: Callable[[str], tuple[dict[str, str], dict[str, str]]], tmp_path: Path, evil: Path
) -> None:
    async def scenario() -> int:
        image = images.find(JOB)
        assert image is not None
        log = tmp_path / "c.log"
        process = await Process.start(image.command(evil, []), environments(JOB)[1], cwd=evil, log=log)
        return await process.wait()

    assert asyncio.run(scenario()) == 7  # the variable that the program reads has come through
    assert not (evil / "it-ran").exists()


def test_a_search_path_of_the_daemon_is_not_looked_for_in_the_folder_of_a_pod(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/opt/lib::volumes/v:.")
    found = pod()
    own = sandbox_environment(found, found["spec"]["containers"][0], "127.7.0.1", node_config(tmp_path))
    assert own["PYTHONPATH"] == "/opt/lib"


def test_the_pod_says_which_of_its_variables_have_no_effect() -> None:
    hostile = pod(env={"PYTHONPATH": "/x", "VERSION": "v2", "LD_AUDIT": "/y"})
    assert ineffective_variables(hostile) == [
        "spec.containers[c].env[PYTHONPATH]",
        "spec.containers[c].env[LD_AUDIT]",
    ]
    status = pod_status(hostile, {}, "127.7.0.1", [], [], terminating=False, message="without PYTHONPATH")
    assert status["message"] == "without PYTHONPATH"
    assert ineffective_variables(pod(env={"VERSION": "v2"})) == []
