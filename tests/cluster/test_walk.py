"""meshkit's whole path on a cluster with kubelets: from an empty cluster to a mesh, a release, and back.

The tests are stages of one walk, in this order. What became of requests is judged by what their callers
recorded, never by what meshkit counted.
"""

from __future__ import annotations

import collections
import re
import time

import pytest

from meshkit.errors import ChangeFailed
from meshkit.intent.injection import Injection
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.operations import change
from meshkit.operations.change import history
from meshkit.operations.setup.guide import Setup
from meshkit.operations.undo import undo
from meshkit.sandbox.control_planes.istio.metrics import IstioSeries
from tests.cluster import fields, images, inventory, telemetry
from tests.cluster.walk import (
    BATCH,
    CLIENT,
    DEPLOYMENT,
    HEADER,
    HOME,
    RELEASE,
    ROUTE,
    TESTER,
    VERSION,
    VERSIONS,
    Walk,
    failed,
    left_of_istio,
    sidecar,
    statuses,
    versions,
)
from tests.jobs import JOB, is_complete

RPS = 60.0


def test_the_shop_is_served_from_every_zone(walk: Walk) -> None:
    walk.deploy_shop(RPS)
    assert walk.zones("shop", "") == {"node-a", "node-b", "node-c"}
    for caller in (CLIENT, BATCH):
        walk.wait_for(lambda seen: failed(seen) == 0, caller)


def test_the_preflight_finds_no_hindrance(walk: Walk) -> None:
    walk.meshkit("check", "--pre", "--mesh", "istio")


def test_istios_charts_are_installed_in_three_zones(walk: Walk) -> None:
    given = ("--charts", str(walk.charts), "--values", walk.values(), "--version", VERSION, "--untested")
    walk.meshkit("setup", "apply", "control-plane", "--mesh", "istio", *given, "--yes")
    assert walk.zones(HOME, "app=istiod") == {"node-a", "node-b", "node-c"}
    walk.cluster.api.apply(telemetry.envoy_filter(HOME))


def test_injection_in_waves_loses_no_request(walk: Walk) -> None:
    walk.set_rate(BATCH, 20)
    since_s = time.time()
    made = change.apply(change.plan(Injection(namespace="shop"), walk.cluster, mesh="istio"), walk.cluster)
    walk.made.append(made.id)
    seen = walk.requests(since_s, time.time() - 1, BATCH)
    print(f"while the shop was restarted: {seen}")
    assert failed(seen) == 0
    assert all(sidecar(pod) for pod in walk.pods("shop"))
    walk.wait_for(lambda seen: failed(seen) == 0, CLIENT)


def test_istiod_writes_by_itself_what_the_inventory_says(walk: Walk) -> None:
    """The sandbox's istiod is compared with this inventory, so it has to be true."""
    found = inventory.written(walk.cluster)
    inventory.update(found)
    assert found == inventory.recorded()


def test_the_caller_in_plain_text_is_found(walk: Walk) -> None:
    look = Setup(walk.cluster, "istio", "shop").watch(5.0)
    print(look)
    assert "legacy/batch" in str(look)
    strict = walk.write("strict", {"kind": "MutualTLS", "namespace": "shop", "mode": "strict"})
    walk.meshkit(
        "setup", "apply", "mutual-tls", "--mesh", "istio", "-n", "shop", "-f", strict, "--yes", code=4
    )
    assert failed(walk.next_requests(1, BATCH)) == 0


def test_strict_is_undone_because_it_refuses_the_caller(walk: Walk) -> None:
    setup = Setup(walk.cluster, "istio", "shop")
    look = setup.watch(3.0)
    plan = setup.plan("mutual-tls", MutualTLS(namespace="shop", mode="strict"), look=look)
    since_s = time.time()
    with pytest.raises(ChangeFailed, match="refused"):
        setup.apply("mutual-tls", plan, watch_s=20, progress=print)
    until_s = time.time()
    walk.wait_for(lambda seen: failed(seen) == 0, BATCH)
    assert 0 in statuses(walk.requests(since_s, until_s, BATCH)), "nobody was refused in that time"
    assert failed(walk.requests(since_s, until_s, CLIENT)) == 0


def test_strict_refuses_the_caller_that_a_person_gave_up(walk: Walk) -> None:
    since_s = time.time()
    given = ("mesh=istio", "namespace=shop", "mode=strict", "force=true", "window_s=3", "watch_s=5")
    walk.runbook("enforce_mtls", *given)
    walk.wait_for(lambda seen: statuses(seen) == {0}, BATCH)
    assert failed(walk.requests(since_s, time.time() - 1, CLIENT)) == 0
    (pod, *_) = walk.pods("shop", "app=web")
    page = walk.cluster.api.pod_get("shop", pod["metadata"]["name"], 15020, "/stats/prometheus")
    assert re.search(r"^envoy_listener_no_filter_chain_match\{.*15006.*\} [1-9]", page, re.MULTILINE)


def test_the_sandbox_exports_no_name_of_metrics_that_a_sidecar_lacks(walk: Walk) -> None:
    """The names of Istio's own filter are not compared: this proxy counts requests by another one."""
    (pod, *_) = walk.pods("shop", "app=web")
    (istiod, *_) = walk.pods(HOME, "app=istiod")
    sidecars = inventory.metric_names(walk.cluster, pod, 15020, "/stats/prometheus")
    istiods = inventory.metric_names(walk.cluster, istiod, 15014, "/metrics")
    for page in (sidecars, istiods):
        print(collections.Counter(name.partition("_")[0] for name in page))
    names = {family.name for family in (*IstioSeries.always, IstioSeries.histogram)}
    assert {name for name in names if not name.startswith("istio_")} <= sidecars


def test_weights_are_obeyed(walk: Walk) -> None:
    split = {"v1": 80, "v2": 20, "v3": 0}
    path = walk.write("route", {**ROUTE, "versions": VERSIONS, "split": split})
    since_s = time.time()
    walk.meshkit("apply", "-f", path, "--yes")
    walk.made.append(walk.newest_change())
    walk.wait_for(lambda seen: versions(seen) == {"v1", "v2"})
    seen = walk.next_requests(15)
    assert seen.total() == pytest.approx(15 * RPS, abs=2)
    assert seen[200, "v2"] == pytest.approx(180, abs=60)  # five times the deviation of 900 requests at 20 %
    assert failed(walk.requests(since_s, time.time() - 1)) == 0


def test_a_version_that_took_requests_is_retired_and_the_undo_brings_it_back(walk: Walk) -> None:
    path = walk.write("retired", {**ROUTE, "versions": [{"name": "v1"}], "split": {"v1": 100}})
    since_s = time.time()
    walk.meshkit("apply", "-f", path, "--yes")
    walk.wait_for(lambda seen: versions(seen) == {"v1"})
    walk.meshkit("undo", walk.newest_change())
    walk.wait_for(lambda seen: versions(seen) == {"v1", "v2"})
    assert failed(walk.requests(since_s, time.time() - 1)) == 0


def test_requests_with_a_header_take_their_own_way(walk: Walk) -> None:
    walk.add_tester()
    header, value = HEADER
    matches = [{"header": header, "value": value, "version": "v2"}]
    split = {"v1": 100, "v2": 0, "v3": 0}
    path = walk.write("matches", {**ROUTE, "versions": VERSIONS, "split": split, "matches": matches})
    walk.meshkit("apply", "-f", path, "--yes")
    walk.wait_for(lambda seen: set(seen) == {(200, "v2")}, TESTER)
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")}, CLIENT)
    assert walk.explained("--header", f"{header}={value}", caller=TESTER) == {"v2": 100}
    assert walk.explained(caller=CLIENT) == {"v1": 100}
    walk.made.append(walk.newest_change())


def test_the_fields_of_a_route_and_of_a_policy_are_obeyed(walk: Walk) -> None:
    fields.require_fields(walk)


def test_a_pod_that_fails_is_ejected(walk: Walk) -> None:
    split = {"v1": 100, "v2": 0, "v3": 0}
    ejection = {"consecutive_5xx": 3, "interval_s": 1, "base_ejection_s": 120, "max_ejection_percent": 50}
    route = {**ROUTE, "versions": VERSIONS, "split": split, "outlier_detection": ejection}
    walk.meshkit("apply", "-f", walk.write("ejection", route), "--yes")
    applied = walk.newest_change()
    (pod, *_) = walk.pods("shop", "app=web,version=v1")
    since_s = time.time()
    walk.set_errors(pod, percent=100)
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")}, CLIENT)
    assert 3 <= walk.requests(since_s, time.time() - 1)[500, "v1"] < 60
    walk.set_errors(pod, percent=0)
    walk.meshkit("undo", applied)


def test_access_lets_in_whom_it_names_and_its_undo_restores(walk: Walk) -> None:
    since_s = time.time()
    callers = (Caller(namespace="shop", workload="client"),)
    wanted = Access(namespace="shop", service="web", port=8080, callers=callers)
    planned = change.plan(wanted, walk.cluster, mesh="istio")
    assert planned.effects is not None
    told = [each for each in planned.effects.changed if "403" in str(each.after)]
    assert "shop/tester" in {caller for each in told for caller in each.callers}
    assert "shop/client" not in {caller for each in told for caller in each.callers}
    made = change.apply(planned, walk.cluster)
    walk.wait_for(lambda seen: statuses(seen) == {403}, TESTER)
    assert walk.refused(TESTER)
    assert not walk.refused(CLIENT)
    undo(made.id, walk.cluster)
    walk.wait_for(lambda seen: statuses(seen) == {200}, TESTER)
    assert statuses(walk.requests(since_s, time.time() - 1)) == {200}
    walk.cluster.api.delete(DEPLOYMENT, TESTER[1], TESTER[0])


def test_a_job_promotes_a_good_release_without_a_failed_request_and_it_is_undone(walk: Walk) -> None:
    """The Jobs of the release and of its guardian have the rights of their roles and no others."""
    path = walk.write("good", {**RELEASE, "name": "web-v2", "canary": "v2"})
    since_s = time.time()
    walk.meshkit("release", "run", "-f", path, "--in-cluster", "--guardian", "--image", images.MESHKIT)
    walk.meshkit("release", "status", "web-v2", "--watch")
    walk.wait_for(lambda seen: set(seen) == {(200, "v2")})
    released, jobs = (each.id for each in history(walk.cluster)[:2])
    for job in walk.cluster.api.list(JOB, "meshkit-system"):
        walk.cluster.api.wait(JOB, job["metadata"]["name"], "meshkit-system", is_complete, 60, "complete")
    walk.meshkit("undo", released)
    walk.meshkit("undo", jobs)
    assert walk.cluster.api.list(JOB, "meshkit-system") == []
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")})
    seen = walk.requests(since_s, time.time() - 1)
    assert failed(seen) == 0
    assert versions(seen) == {"v1", "v2"}


def test_a_bad_release_is_rolled_back(walk: Walk) -> None:
    path = walk.write("bad", {**RELEASE, "name": "web-v3", "canary": "v3"})
    since_s = time.time()
    walk.meshkit("release", "run", "-f", path, code=1)
    seen = walk.requests(since_s, time.time() - 1)
    assert 0 < seen[200, "v3"] + seen[500, "v3"] < seen.total() / 4
    assert failed(seen) == 0
    walk.wait_for(lambda seen: set(seen) == {(200, "v1")})


def test_a_change_of_the_control_plane_is_undone_though_istiod_owns_fields(walk: Walk) -> None:
    control_plane = {
        "kind": "ControlPlane",
        "charts": str(walk.charts),
        "version": VERSION,
        "untested": True,
        "replicas": 2,
        "zones": 2,
        "values": telemetry.CHART_VALUES,
    }
    walk.meshkit("apply", "-f", walk.write("smaller", control_plane), "--yes")
    assert len(walk.zones(HOME, "app=istiod")) == 2
    walk.meshkit("undo", walk.newest_change())
    assert walk.zones(HOME, "app=istiod") == {"node-a", "node-b", "node-c"}


def test_every_stage_is_undone(walk: Walk) -> None:
    injection, *routes = walk.made
    for route in reversed(routes):
        walk.meshkit("undo", route)
    walk.wait_for(lambda seen: versions(seen) == {"v1", "v2", "v3"})
    walk.meshkit("setup", "undo", "mutual-tls", "--mesh", "istio", "-n", "shop")
    walk.wait_for(lambda seen: failed(seen) == 0, BATCH)
    since_s = time.time()
    walk.meshkit("undo", injection)
    assert failed(walk.requests(since_s, time.time() - 1, BATCH)) == 0
    assert not any(sidecar(pod) for pod in walk.pods("shop"))


def test_uninstalling_leaves_nothing(walk: Walk) -> None:
    walk.cluster.api.delete(telemetry.ENVOY_FILTER, telemetry.NAME, HOME)
    walk.meshkit("uninstall", "--mesh", "istio", "--crds", "--yes")
    assert left_of_istio(walk.cluster) == []
    walk.wait_for(lambda seen: failed(seen) == 0, CLIENT)
