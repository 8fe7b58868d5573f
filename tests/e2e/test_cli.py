"""The command line on a sandbox: plan, apply, history, undo, and a detached release that obeys.

Takes about half a minute: it installs a mesh and lets a release run for some steps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshkit.testing import Sandbox, running_sandbox

ROUTE = """\
kind: Route
namespace: shop
service: web
port: 8080
versions: [{name: v1}, {name: v2}]
split: {v1: 100, v2: 0}
"""
RELEASE = """\
kind: Release
name: web-v2
namespace: shop
service: web
port: 8080
stable: v1
canary: v2
steps: [1, 50, 100]
step_s: 60
look_s: 1
baseline_s: 0
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with a mesh and the shop behind it."""
    import meshkit as mk

    with running_sandbox() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESHKIT_HOME", str(running.home.parent))
        cluster = mk.connect()
        mk.apply(mk.plan(mk.ControlPlane(), cluster, mesh="istio"), cluster)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        mk.apply(mk.plan(mk.Injection(namespace="shop"), cluster, mesh="istio"), cluster)
        mk.deploy_shop(cluster)
        yield running


def meshkit(sandbox: Sandbox, *arguments: str) -> tuple[int, Any]:
    """Exit code, and the JSON that was printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "meshkit", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MESHKIT_HOME": str(sandbox.home.parent)},
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def wait_for(sandbox: Sandbox, file: str, status: str) -> None:
    deadline_s, found = time.monotonic() + 120, ""
    while time.monotonic() < deadline_s:
        _, state = meshkit(sandbox, "release", "status", "-f", file)
        found = state.get("status", "")
        if found == status:
            return
    pytest.fail(f"the release is {found}, not {status}")


def edges_seen(sandbox: Sandbox) -> dict[tuple[str, str], Any]:
    """The calls of a moment in which every sidecar could be read: on a busy machine, not each one is."""
    deadline_s = time.monotonic() + 120
    while True:
        code, standing = meshkit(sandbox, "sandbox", "status")
        assert code == 0
        graph = standing["graph"]
        if not graph["unread_sidecars"] or time.monotonic() > deadline_s:
            return {(edge["source"], edge["destination"]): edge for edge in graph["edges"]}


def test_plan_apply_undo_and_a_detached_release(sandbox: Sandbox, tmp_path: Path) -> None:
    route, release = str(tmp_path / "route.yaml"), str(tmp_path / "release.yaml")
    Path(route).write_text(ROUTE)
    Path(release).write_text(RELEASE)

    code, answer = meshkit(sandbox, "release", "run", "-f", release)
    assert code == 2, "there is no route yet"
    assert answer["error"].startswith("release.service")
    assert meshkit(sandbox, "plan", "-f", route)[0] == 5
    code, change = meshkit(sandbox, "apply", "-f", route, "--yes")
    assert code == 0
    assert meshkit(sandbox, "plan", "-f", route)[0] == 0
    assert meshkit(sandbox, "apply", "-f", route, "--yes") == (0, {**change, "id": "", "steps": 0})

    code, planned = meshkit(sandbox, "release", "plan", "-f", release)
    assert (code, planned["route"]["object"], planned["owners"]) == (
        5,
        "VirtualService shop/web",
        ["meshkit"],
    )
    assert meshkit(sandbox, "release", "run", "-f", release, "--detach")[0] == 0
    wait_for(sandbox, release, "watching")
    assert meshkit(sandbox, "release", "hold", "-f", release)[0] == 0
    wait_for(sandbox, release, "held")
    assert meshkit(sandbox, "release", "run", "-f", release)[0] == 1, "another process runs it"
    assert meshkit(sandbox, "release", "rollback", "-f", release)[0] == 0
    wait_for(sandbox, release, "rolled_back")

    edges = edges_seen(sandbox)
    assert edges["shop/client", "shop/web-v1"]["security"] == "mTLS"
    assert edges["shop/web-v1", "shop/stock"]["requests_per_s"] > 0

    _, history = meshkit(sandbox, "history")
    assert change["id"] in [entry["id"] for entry in history]
    assert meshkit(sandbox, "undo", change["id"])[0] == 0
    assert meshkit(sandbox, "undo", change["id"])[0] == 2, "it is undone already"
    assert meshkit(sandbox, "plan", "-f", route)[0] == 5
