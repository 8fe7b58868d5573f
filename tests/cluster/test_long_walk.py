"""The long form of the walk: what goes wrong in operation, and what shows only after many minutes.

``make soak ARGS=tests/cluster`` takes about an hour; ``RELEASE_S=60 INSTALLATIONS=1`` shorten it. ``SEED``
draws the zone that is drained, the node that loses its power, and when processes are killed. A caller outside
the mesh judges while other callers' pods are replaced, because its ledger is not lost with them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.cluster import ready
from meshkit.cluster.lock import holder_of
from meshkit.facts import Kind, Object
from meshkit.intent.injection import Injection
from meshkit.meshes.injection import proxies, proxy_origin
from meshkit.operations import change
from meshkit.operations.release.runner import release_state, runner_of
from meshkit.operations.upgrade.rollback import LOCK
from tests.cluster import node, telemetry
from tests.cluster.place import NODES
from tests.cluster.start import NODE, Started, cut_power, is_ready, restore_power
from tests.cluster.walk import (
    BATCH,
    CLIENT,
    DEPLOYMENT,
    HOME,
    POD,
    RELEASE,
    ROUTE,
    SETTLED_S,
    VERSION,
    VERSIONS,
    Outcomes,
    Walk,
    failed,
    left_of_istio,
    sidecar,
    versions,
)

RELEASE_S = float(os.environ.get("RELEASE_S", "1200"))
"""How long the long release takes at least, in seconds."""
INSTALLATIONS = int(os.environ.get("INSTALLATIONS", "10"))
RPS, BATCH_RPS = 100.0, 20.0
RUNNER_S = 20.0
"""The time within which a release's runner is killed, from the first request to the new version."""
EXPIRES_S = 90.0
"""Until the Lease of a killed process has expired, on a busy machine."""
LOST_S = 180.0
"""Until the cluster knows that a node has lost its power, and every proxy knows it from the cluster."""
IN_FLIGHT = 30
"""Requests that may be lost with a node: under way, or sent on a connection that was open to its pods."""
SECOND = "second"
"""The revision that the mesh is upgraded to: the same programs of the same version under another name."""
ALL = {f"node-{each}" for each in NODES}
BUDGET = Kind("policy/v1", "PodDisruptionBudget")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


def test_nothing_is_left_however_often_istio_is_installed(walk: Walk) -> None:
    walk.deploy_shop(RPS)
    walk.wait_for(lambda seen: failed(seen) == 0, CLIENT)
    since_s = time.time()
    for _ in range(INSTALLATIONS):
        install(walk)
        walk.meshkit("uninstall", "--mesh", "istio", "--crds", "--yes")
        assert left_of_istio(walk.cluster) == []
    must_be_whole(walk, CLIENT, RPS, since_s)


def test_the_shop_is_served_by_the_mesh(walk: Walk) -> None:
    install(walk)
    walk.cluster.api.apply(telemetry.envoy_filter(HOME))
    for name in ("web-v1", "stock"):
        walk.cluster.api.merge_patch(DEPLOYMENT, name, "shop", {"spec": {"replicas": 3}})
        walk.cluster.api.apply(budget(name))
    change.apply(change.plan(Injection(namespace="shop"), walk.cluster, mesh="istio"), walk.cluster)
    assert all(sidecar(pod) for pod in walk.pods("shop"))
    split = {"v1": 100, "v2": 0, "v3": 0}
    walk.meshkit("apply", "-f", walk.write("route", {**ROUTE, "versions": VERSIONS, "split": split}), "--yes")
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")}, CLIENT)
    walk.set_rate(BATCH, BATCH_RPS)


@pytest.mark.parametrize("way", ["resumed", "ended"])
def test_a_release_whose_runner_was_killed_is(walk: Walk, seed: int, way: str) -> None:
    name, after_s = f"killed-{way}", random.Random(seed).uniform(0, RUNNER_S)
    path = walk.write(name, {**RELEASE, "name": name, "canary": "v2"})
    since_s = time.time()
    walk.kill_during("release", "run", "-f", path, when=on_its_way(walk, after_s))
    killed_s = time.time()
    state = release_state(name, walk.cluster)
    assert not state.ended
    seen = walk.next_requests(5)
    print(f"killed {killed_s - since_s:.0f} s after its start; requests without a runner: {seen}")
    assert versions(seen) == {"v1", "v2"}
    if way == "resumed":
        walk.meshkit("release", "run", name)
        walk.wait_for(lambda seen: set(seen) == {(200, "v2")})
        walk.meshkit("undo", walk.newest_change())
    else:
        walk.meshkit("release", "rollback", name, "--force")
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")})
    assert runner_of(state.release, walk.cluster) is None
    must_be_whole(walk, CLIENT, RPS, since_s)


def test_a_long_release_loses_no_request(walk: Walk) -> None:
    steps = [5, 25, 50, 75, 100]
    long: dict[str, Any] = {"steps": steps, "step_s": RELEASE_S / 4, "deadline_s": 3 * RELEASE_S + 240}
    path = walk.write("long", {**RELEASE, **long, "name": "long", "canary": "v2"})
    since_s = time.time()
    walk.meshkit("release", "run", "-f", path, timeout_s=3 * RELEASE_S + 300)
    walk.wait_for(lambda seen: set(seen) == {(200, "v2")})
    assert time.time() - since_s >= RELEASE_S
    assert versions(must_be_whole(walk, CLIENT, RPS, since_s)) == {"v1", "v2"}
    walk.meshkit("undo", walk.newest_change())
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")})


def test_a_drained_zone_costs_no_request(walk: Walk, seed: int) -> None:
    name = another_node(walk, seed)
    since_s = time.time()
    walk.meshkit("rehearse", "--zone", node.zone(name), "--yes")
    must_be_whole(walk, CLIENT, RPS, since_s)
    assert not any(each["spec"].get("unschedulable") for each in walk.cluster.api.list(NODE))
    assert walk.zones(HOME, "app=istiod") == ALL


def test_an_interrupted_upgrade_by_revision_is_completed(walk: Walk, seed: int) -> None:
    given = ("upgrade", "run", "-f", second(walk), "--watch-s", "5", "--yes")
    moved = random.Random(seed).randint(1, 4)
    since_s = time.time()
    walk.kill_during(*given, when=lambda: revisions(walk).count(SECOND) >= moved)
    assert {SECOND, "default"} <= set(revisions(walk)), "it was killed while it moved the shop"
    wait_until_free(walk)
    walk.meshkit(*given, timeout_s=900)
    assert set(revisions(walk)) == {SECOND}
    must_be_whole(walk, BATCH, BATCH_RPS, since_s)


def test_an_interrupted_way_back_is_completed(walk: Walk, seed: int) -> None:
    restored = random.Random(seed + 1).randint(1, 4)
    since_s = time.time()
    walk.kill_during("upgrade", "back", "--yes", when=lambda: revisions(walk).count("default") >= restored)
    assert {SECOND, "default"} <= set(revisions(walk)), "it was killed while it moved the shop back"
    wait_until_free(walk)
    walk.meshkit("upgrade", "back", "--yes", timeout_s=900)
    assert set(revisions(walk)) == {"default"}
    deployments = {each["metadata"]["name"] for each in walk.cluster.api.list(DEPLOYMENT, HOME)}
    assert deployments == {"istiod"}
    must_be_whole(walk, BATCH, BATCH_RPS, since_s)


def test_a_node_without_power_costs_what_was_in_flight(walk: Walk, started: Started, seed: int) -> None:
    """A proxy tries another pod if it cannot connect; what was sent on an open connection is lost."""
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")}, CLIENT)
    name = another_node(walk, seed)
    since_s = time.time()
    cut_power(started.place, name)
    walk.cluster.api.wait(NODE, f"node-{name}", None, lambda found: not is_ready(found), LOST_S, "lost")
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")}, CLIENT, timeout_s=LOST_S)
    known_s = time.time()
    print(f"node-{name} was known to be lost after {known_s - since_s:.0f} s")
    seen = walk.requests(since_s, known_s)
    print(f"until then: {dict(seen)}")
    assert failed(seen) <= IN_FLIGHT
    seen = walk.next_requests(20)
    assert failed(seen) == 0
    restore_power(started.place, name)
    walk.cluster.api.wait(DEPLOYMENT, "istiod", HOME, ready.available, LOST_S, "available")
    assert walk.zones(HOME, "app=istiod") == ALL
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")}, CLIENT)


def install(walk: Walk) -> None:
    """Install Istio by its charts, in three zones."""
    given = ("--charts", str(walk.charts), "--values", walk.values(), "--version", VERSION, "--untested")
    walk.meshkit("setup", "apply", "control-plane", "--mesh", "istio", *given, "--yes")
    assert walk.zones(HOME, "app=istiod") == ALL


def second(walk: Walk) -> str:
    """The file of the control plane that the mesh is upgraded to."""
    return walk.write(
        SECOND,
        {
            "kind": "ControlPlane",
            "charts": str(walk.charts),
            "version": VERSION,
            "untested": True,
            "revision": SECOND,
            "values": telemetry.CHART_VALUES,
        },
    )


def revisions(walk: Walk) -> list[str]:
    """The revision of each proxy of the shop's pods."""
    pods = proxies(walk.cluster.api.list(POD, "shop"), "istio")
    return [proxy_origin(pod, "istio").revision for pod in pods]


def wait_until_free(walk: Walk) -> None:
    """Wait until the Lease of a killed upgrade has expired."""
    until_s = time.monotonic() + EXPIRES_S
    while holder_of(walk.cluster, LOCK) is not None:
        assert time.monotonic() < until_s, f"the lock is held after {EXPIRES_S:.0f} s"
        time.sleep(1)


def another_node(walk: Walk, seed: int) -> str:
    """A node that the client is not on, whose ledger would be lost with it."""
    (client,) = walk.zones("shop", f"app={CLIENT[1]}")
    return random.Random(seed).choice([each for each in NODES if f"node-{each}" != client])


def on_its_way(walk: Walk, after_s: float) -> Callable[[], bool]:
    """Whether the first request to the new version was so long ago."""
    first_s: list[float] = []

    def holds() -> bool:
        if not first_s and "v2" in versions(walk.requests(time.time() - 2, time.time() - SETTLED_S)):
            first_s.append(time.monotonic())
        return bool(first_s) and time.monotonic() - first_s[0] >= after_s

    return holds


def must_be_whole(walk: Walk, caller: tuple[str, str], rps: float, since_s: float) -> Outcomes:
    """The requests that a caller was to send since a time, after a look that none is missing or lost."""
    until_s = time.time() - 1
    seen = walk.requests(since_s, until_s, caller)
    print(f"{'/'.join(caller)}, {until_s - since_s:.0f} s: {dict(seen)}")
    assert seen.total() == pytest.approx(rps * (until_s - since_s), rel=0.01, abs=rps)
    assert failed(seen) == 0
    return seen


def budget(name: str) -> Object:
    """A disruption budget that lets one pod of a Deployment of the shop go at a time."""
    labels = {"app": name.partition("-")[0], "version": "v1"}
    return {
        "apiVersion": BUDGET.api_version,
        "kind": BUDGET.kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }
