"""Releases on the sandbox: real proxies, real requests, both meshes (Istio as soak), and the outcome judged
by the caller's ledger.

Takes about two minutes for each mesh: it installs the mesh and a shop, and runs six releases. On Istio the
demo, the tutorial, the first notebook and the command line run such releases too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.intent.release import Release
from meshkit.operations import shop
from meshkit.operations.change import apply, plan
from meshkit.operations.release.runner import release_state
from meshkit.operations.release.state.model import ReleaseState
from meshkit.operations.release.unattended.job import plan_in_cluster, wait_until_runs
from meshkit.operations.undo import undo
from tests.e2e.ledgers import had_no_cpu
from tests.e2e.releasing import Shop, shop_with_versions
from tests.jobs import JOB, is_complete

RPS = 100.0


@pytest.fixture(scope="module", params=[pytest.param("istio", marks=pytest.mark.soak), "linkerd"])
def meshed(request: pytest.FixtureRequest) -> Iterator[Shop]:
    with shop_with_versions(str(request.param), RPS) as found:
        yield found


@pytest.fixture
def v1_serves(meshed: Shop) -> Shop:
    shop.set_load(meshed.cluster, RPS)
    meshed.send_all_to("v1")
    return meshed


def test_good_release_is_promoted_without_a_failed_request_and_undone(v1_serves: Shop) -> None:
    release = v1_serves.release("v1", "v2")
    owners = v1_serves.owners(release)
    outcome = v1_serves.promote(release)
    assert v1_serves.canary_percent(release) == 100
    first_weight_s = next(h.at_s for h in outcome.state.events if h.kind == "weights")
    ledger = shop.read_ledger(v1_serves.cluster, first_weight_s, time.time() - 0.5)
    assert ledger.failed == 0, set(ledger.status)
    assert {"v1", "v2"} <= set(ledger.version)
    undo(outcome.change_id, v1_serves.cluster)
    assert v1_serves.canary_percent(release) == 0
    assert v1_serves.owners(release) == owners


def test_bad_release_is_rolled_back(v1_serves: Shop) -> None:
    release = v1_serves.release("v1", "v3")
    outcome = v1_serves.run(release)
    assert outcome.result == "rolled_back", outcome.sentences
    assert v1_serves.canary_percent(release) == 0
    assert outcome.state.step == 0
    v1_serves.send_all_to("v2")


def test_route_of_another_owner_between_services_is_found_by_its_host(v1_serves: Shop) -> None:
    """As Flagger and Argo Rollouts lay it out: the names are theirs, and each version has a Service."""
    release = v1_serves.release("v1", "v2")
    api, planned = v1_serves.cluster.api, v1_serves.route(release)
    own = own_route(v1_serves.mesh)
    for obj in (version_service("old", "v1"), version_service("next", "v2")):
        api.apply(obj, manager="team")
    api.delete(kind_of(planned), planned["metadata"]["name"], "shop")
    try:
        api.apply(own, manager="team")
        time.sleep(2)
        v1_serves.promote(release)
        after = api.get(kind_of(own), "a-split", "shop")
        assert after is not None
        rule = (after["spec"].get("http") or after["spec"]["rules"])[0]
        assert [each["weight"] for each in rule.get("route") or rule["backendRefs"]] == [0, 100]
        fields = after["metadata"]["managedFields"]
        assert [each["manager"] for each in fields if not each.get("subresource")] == ["team"]
        with pytest.raises(BadInput, match="Release through it"):
            plan([shop.shop_route("v1", "v2")], v1_serves.cluster, mesh=v1_serves.mesh)
    finally:
        api.delete(kind_of(own), "a-split", "shop")
        v1_serves.send_all_to("v1")


def own_route(mesh: str) -> dict[str, Any]:
    """A team's own route, whose weights are between Services."""
    if mesh == "istio":
        to = [
            {"destination": {"host": f"web-{name}"}, "weight": weight}
            for name, weight in (("old", 100), ("next", 0))
        ]
        kind, spec = "VirtualService", {"hosts": ["web"], "http": [{"route": to}]}
        return made("networking.istio.io/v1", kind, "a-split", spec)
    refs = [
        {"name": f"web-{name}", "port": 8080, "weight": weight}
        for name, weight in (("old", 100), ("next", 0))
    ]
    parent = {"group": "", "kind": "Service", "name": "web", "port": 8080}
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": refs}]}
    return made("gateway.networking.k8s.io/v1", "HTTPRoute", "a-split", spec)


def version_service(name: str, version: str) -> dict[str, Any]:
    port = {"name": "http", "port": 8080, "appProtocol": "http"}
    spec = {"selector": {"app": "web", "version": version}, "ports": [port]}
    return made("v1", "Service", f"web-{name}", spec)


def made(api_version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}


def kind_of(obj: dict[str, Any]) -> Kind:
    return Kind(obj["apiVersion"], obj["kind"])


def test_with_versions_exchanged_the_outcome_is_exchanged(v1_serves: Shop) -> None:
    v1_serves.send_all_to("v3")
    time.sleep(1)
    outcome = v1_serves.run(v1_serves.release("v3", "v1"))
    assert outcome.result == "promoted", outcome.sentences


def test_release_without_traffic_is_not_promoted(v1_serves: Shop) -> None:
    shop.set_load(v1_serves.cluster, 0)
    time.sleep(1)
    release = v1_serves.release("v1", "v2", deadline_s=5)
    outcome = v1_serves.run(release)
    assert outcome.result == "undecided"
    assert v1_serves.canary_percent(release) == 0


def test_killed_runner_is_gone_on_with(v1_serves: Shop) -> None:
    """The lease of the killed runner has to expire first; it is shorter here than a release's own."""
    release = v1_serves.release("v1", "v2", step_s=5)
    owners = v1_serves.owners(release)
    process = v1_serves.start(release)
    state = v1_serves.when_at_step(release, 0)
    process.kill()
    process.wait()
    assert not state.ended
    assert v1_serves.canary_percent(release) == 5
    assert v1_serves.owners(release) != owners
    outcome = v1_serves.run(release)
    if not had_no_cpu(v1_serves.cluster, "v2", "v1", state.started_s):
        assert outcome.result == "promoted", outcome.sentences
    assert outcome.change_id == state.change_id
    assert [h.kind for h in outcome.state.events].count("begin") == 1
    assert v1_serves.owners(release) == owners, "the owner's next apply would meet a conflict"


def test_a_job_releases_and_its_guardian_takes_back_what_nobody_runs(v1_serves: Shop) -> None:
    """Each with the account that its role gives it; the runner's Job of the second release is deleted."""
    cluster, release = v1_serves.cluster, v1_serves.release("v1", "v2", unattended_s=15)
    made = plan_in_cluster(release, cluster, mesh=v1_serves.mesh, guardian=True)
    change = apply(made.plan, cluster)
    wait_until_runs(made, cluster)
    state = _ended(v1_serves, release)
    if not had_no_cpu(cluster, "v2", "v1", state.started_s):
        assert state.status == "promoted", state.sentences
    for name in made.jobs:
        cluster.api.wait(JOB, name, "meshkit-system", is_complete, 60, "complete")
    undo(change.id, cluster)
    assert cluster.api.list(JOB, "meshkit-system") == []
    v1_serves.send_all_to("v1")

    release = v1_serves.release("v1", "v2", unattended_s=15, step_s=120)
    made = plan_in_cluster(release, cluster, mesh=v1_serves.mesh, guardian=True)
    change = apply(made.plan, cluster)
    v1_serves.when_at_step(release, 0)
    cluster.api.delete(JOB, made.jobs[0], "meshkit-system")
    state = _ended(v1_serves, release)
    assert state.status == "rolled_back"
    assert "guardian" in state.sentences[0]
    assert v1_serves.canary_percent(release) == 0
    undo(change.id, cluster)


def _ended(meshed: Shop, release: Release) -> ReleaseState:
    until_s = time.monotonic() + 240
    while not (state := release_state(release.name, meshed.cluster)).ended:
        assert time.monotonic() < until_s, state
        time.sleep(1)
    return state
