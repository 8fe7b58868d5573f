"""What each stage of the guided path says of a cluster, and that silence is never read as safety."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.intent.rules import Fault
from meshkit.intent.security import Caller, MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.operations.setup import status as standing
from meshkit.operations.setup.guide import Setup, SetupSnapshot
from meshkit.operations.setup.proposals import propose_access, propose_control_plane
from meshkit.operations.setup.stages import STAGES, next_mode, stage, stage_statuses
from meshkit.operations.setup.status import ClusterObservation
from tests.unit.meshes.injected_objects import deployment, pod, webhook
from tests.unit.operations.observations import (
    PLAIN,
    TLS,
    calls,
    meshed,
    sight,
)

MESHES = ("istio", "linkerd")


def states(seen: ClusterObservation) -> dict[str, str]:
    return {one.name: stand.state for one, stand in zip(STAGES, stage_statuses(seen), strict=True)}


@pytest.mark.parametrize("mesh", MESHES)
class TestBothMeshes:
    def test_an_empty_cluster_waits_for_the_control_plane(self, mesh: str) -> None:
        found = states(sight(mesh))
        assert found["control-plane"] == "ready"
        assert {found[name] for name in ("injection", "mutual-tls", "routes", "verify")} == {"blocked"}

    def test_bare_pods_wait_for_injection(self, mesh: str) -> None:
        found = states(sight(mesh, webhook(mesh), deployment(), pod(1)))
        assert (found["control-plane"], found["injection"], found["mutual-tls"]) == (
            "done",
            "ready",
            "blocked",
        )

    def test_some_bare_pods_need_attention(self, mesh: str) -> None:
        found = states(sight(mesh, *meshed(mesh), pod(2)))
        assert found["injection"] == "attention"

    def test_all_meshed_is_done(self, mesh: str) -> None:
        assert states(sight(mesh, *meshed(mesh)))["injection"] == "done"

    def test_a_control_plane_without_replicas_needs_attention(self, mesh: str) -> None:
        label = {"app": "istiod"} if mesh == "istio" else {"linkerd.io/control-plane-component": "identity"}
        home = "istio-system" if mesh == "istio" else "linkerd"
        part: dict[str, Any] = deployment(labels=label)
        part["metadata"] = {"name": "part", "namespace": home, "generation": 1}
        found = standing.control_plane(sight(mesh, webhook(mesh), part))
        assert found.state == "attention"
        assert found.findings[0].code == "MK1711"

    def test_no_traffic_is_not_safe(self, mesh: str) -> None:
        quiet = sight(mesh, *meshed(mesh), seen=calls({}))
        assert [one.code for one in standing.readiness(quiet)] == ["MK1734"]
        assert next_mode(quiet) == "permissive"

    def test_unmeasured_is_not_safe(self, mesh: str) -> None:
        assert next_mode(sight(mesh, *meshed(mesh))) == "permissive"

    def test_only_mutual_tls_is_ready_for_strict(self, mesh: str) -> None:
        ready = sight(mesh, *meshed(mesh), seen=calls({TLS: 500}))
        assert next_mode(ready) == "strict"
        assert standing.mutual_tls(ready).state == "ready"

    def test_a_plaintext_caller_is_named_by_its_missing_sidecar(self, mesh: str) -> None:
        bare: dict[str, Any] = pod(9)
        bare["metadata"] = {"name": "legacy-1", "namespace": "shop", "labels": {"app": "legacy"}}
        seen = sight(mesh, *meshed(mesh), bare, seen=calls({TLS: 500, PLAIN: 8}))
        (finding, *_) = standing.readiness(seen)
        assert finding.code == "MK1731"
        assert "0.8 req/s" in finding.message
        assert "shop/legacy-1" in finding.remedy
        assert standing.mutual_tls(seen).state == "attention"
        assert next_mode(seen) == "permissive"

    def test_old_plain_text_is_told_but_does_not_bar_the_way(self, mesh: str) -> None:
        seen = sight(mesh, *meshed(mesh), seen=calls({TLS: 500}, {TLS: 900, PLAIN: 14}))
        assert [one.severity for one in standing.readiness(seen)] == ["info", "info"]
        assert next_mode(seen) == "strict"

    def test_sidecars_that_do_not_answer_are_told(self, mesh: str) -> None:
        seen = sight(mesh, *meshed(mesh), seen=calls({TLS: 500}, answered=1))
        assert "MK1735" in [one.code for one in standing.readiness(seen)]

    def test_strict_with_plaintext_callers_is_a_danger(self, mesh: str) -> None:
        seen = sight(mesh, *meshed(mesh), seen=calls({TLS: 500, PLAIN: 8}))
        look = SetupSnapshot(0.0, seen, stage_statuses(seen))
        setup = Setup(None, mesh, "shop")  # type: ignore[arg-type]
        strict, permissive = (MutualTLS(namespace="shop", mode=mode) for mode in ("strict", "permissive"))
        assert "plain text" in setup.danger("mutual-tls", [strict], look)
        assert setup.danger("mutual-tls", [permissive], look) == ""


def test_what_a_mesh_cannot_do_is_asked_of_its_planner() -> None:
    route = Route(
        namespace="shop",
        service="web",
        port=80,
        versions=(Version(name="v1"),),
        split={"v1": 100},
        fault=Fault(delay_s=1),
    )
    assert Setup(None, "istio", "shop").cannot(route) == {}  # type: ignore[arg-type]
    cannot = Setup(None, "linkerd", "shop").cannot(route)  # type: ignore[arg-type]
    assert set(cannot) == {"load_balancing", "connection_limits", "fault", "protocol: tcp"}
    assert "Linkerd cannot do this" in cannot["fault"]


def test_a_choice_that_a_mesh_lacks_is_named() -> None:
    wanted = MutualTLS(namespace="shop", mode="strict")
    assert set(Setup(None, "linkerd", "shop").cannot(wanted)) == {"mode: disable"}  # type: ignore[arg-type]


@pytest.mark.parametrize("mesh", MESHES)
def test_access_is_proposed_for_the_callers_that_were_seen(mesh: str) -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    seen = sight(mesh, *meshed(mesh), service, seen=calls({TLS: 500, PLAIN: 8}))
    proposed = propose_access(seen)
    assert proposed is not None
    assert proposed.callers == (Caller(namespace="shop", service_account="client"),)
    assert propose_access(sight(mesh, *meshed(mesh), service)) is None


def test_each_stage_says_why_and_stands_after_those_before_it() -> None:
    names = [one.name for one in STAGES]
    for one in STAGES:
        assert one.why.endswith(".")
        assert all(names.index(before) < names.index(one.name) for before in one.after)
        assert stage(one.name) is one


def test_an_ambient_namespace_needs_no_sidecars_and_none_of_its_workloads_is_a_suspect() -> None:
    seen = sight("istio", webhook("istio"), deployment(), pod(1))
    home = seen.snapshot.objects[0]
    ambient = {**home, "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}}
    seen = ClusterObservation("istio", "shop", Snapshot((ambient, *seen.snapshot.objects[1:])))
    found = standing.injection(seen)
    assert (found.state, found.summary) == ("done", "1 workload, in the mesh without sidecars")
    assert found.findings == ()
    assert standing.suspects(seen) == []


def test_servers_that_do_not_show_refusals_are_named_and_stop_nothing() -> None:
    """A warning, with the setting; strict mode is then watched by the plaintext calls that end."""
    hidden = dataclasses.replace(calls({TLS: 20}), unseen=frozenset({"shop/web"}))
    found = standing.mutual_tls(sight("istio", *meshed("istio"), seen=hidden))
    assert found.state == "ready"
    (told,) = [one for one in found.findings if one.code == "MK1736"]
    assert (told.severity, told.object) == ("warning", "Server shop/web")
    assert "meshConfig.defaultConfig.proxyStatsMatcher.inclusionSuffixes" in told.remedy
    shown = standing.mutual_tls(sight("istio", *meshed("istio"), seen=calls({TLS: 20})))
    assert "MK1736" not in {one.code for one in shown.findings}


def test_a_control_plane_is_proposed_that_the_nodes_can_run() -> None:
    node: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}
    own = {**node, "status": {"nodeInfo": {"containerRuntimeVersion": "meshkit://1"}}}
    assert propose_control_plane(sight("istio", own)).charts is None
    assert propose_control_plane(sight("istio", node)).charts == "published"


@pytest.mark.parametrize("mesh", MESHES)
def test_a_stage_that_must_wait_names_the_first_stage_to_do_or_its_error(mesh: str) -> None:
    setup = Setup(None, mesh, "shop")  # type: ignore[arg-type]
    seen = sight(mesh)
    look = SetupSnapshot(0.0, seen, stage_statuses(seen))
    command = f"meshkit setup apply control-plane --mesh {mesh} -n shop"
    with pytest.raises(BadInput, match=f"injection: the stage control-plane comes first. Run '{command}'"):
        setup.plan("injection", look=look)
    elsewhere = dataclasses.replace(seen, namespace="shp")
    look = SetupSnapshot(0.0, elsewhere, stage_statuses(elsewhere))
    told = r"routes: the stage preflight comes first: Namespace shp does not exist\. Create it: kubectl"
    with pytest.raises(BadInput, match=told):
        setup.plan("routes", look=look)


def test_the_danger_of_strict_mutual_tls_names_the_callers() -> None:
    seen = sight("istio", *meshed("istio"), pod(2), seen=calls({TLS: 9, PLAIN: 1}))
    setup = Setup(None, "istio", "shop")  # type: ignore[arg-type]
    look = SetupSnapshot(0.0, seen, stage_statuses(seen))
    strict = MutualTLS(namespace="shop", mode="strict")
    assert "These run without a sidecar: shop/" in setup.danger("mutual-tls", [strict], look)


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize(("answered", "state"), [(2, "done"), (1, "attention")])
def test_the_last_stage_is_done_only_if_every_sidecar_answered(
    mesh: str, answered: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "tls_mode", lambda _: "strict")
    found = standing.verified(sight(mesh, *meshed(mesh), seen=calls({TLS: 500}, answered=answered)))
    assert found.state == state
    assert ("1 of 2 sidecars answered" in found.summary) is (state == "attention")
    assert ("MK1735" in [one.code for one in found.findings]) is (state == "attention")
