"""A mesh is observed, loses a zone by a drain, is uninstalled, and is restored.

About 40 s a mesh: each has a sandbox with a shop in it, whose pods all move once. On Linkerd all but the
rotation of its identity is soak.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Journal
from meshkit.errors import CHANGES_PENDING, BadInput, UnsupportedByMesh
from meshkit.facts import Kind
from meshkit.intent.observability import Alerts, Observability
from meshkit.meshes.registry import MESHES
from meshkit.operations import change, shop
from meshkit.operations.identity.rotate import RotationOptions, identity_status, plan_rotation
from meshkit.operations.plan import Change, Changes
from meshkit.operations.rehearsal.rehearse import plan_rehearsal
from meshkit.operations.traffic_gate import TrafficGateOptions
from meshkit.operations.undo import undo
from meshkit.operations.uninstall import plan_uninstall
from meshkit.runbooks.execution import RunbookResult, run_runbook
from tests.e2e.ledgers import INSTALLED, Requests, wait_until_served

NODE = Kind("v1", "Node")
DEPLOYMENT, NAMESPACE, SECRET = Kind("apps/v1", "Deployment"), Kind("v1", "Namespace"), Kind("v1", "Secret")
WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")


both = pytest.mark.parametrize(
    "mesh", ["istio", pytest.param("linkerd", marks=pytest.mark.soak)], indirect=True, scope="session"
)
"""What both meshes do by the same code; on Linkerd, whose control plane is larger, as soak."""


@pytest.fixture(scope="module")
def meshed(mesh_in_use: Cluster) -> Cluster:
    """A shop in the mesh."""
    wait_until_served(mesh_in_use)
    return mesh_in_use


@pytest.fixture
def run(meshed: Cluster, mesh: str, tmp_path: Path) -> Callable[..., RunbookResult]:
    """A runbook as a pipeline runs it."""
    where = {"kubeconfig": str(meshed.kubeconfig), "context": meshed.context, "mesh": mesh}

    def run(name: str, **given: str) -> RunbookResult:
        return run_runbook(name, {**where, **given}, out=tmp_path)

    return run


@both
def test_a_mesh_is_watched_once_its_runbook_was_applied(
    meshed: Cluster, mesh: str, run: Callable[..., RunbookResult]
) -> None:
    asked = {"labels": "release=prometheus", "p99_ms": "300"}
    wanted: dict[str, Any] = {"labels": {"release": "prometheus"}, "alerts": Alerts(p99_ms=300)}
    if mesh == "istio":
        asked["access_log"] = wanted["access_log"] = "errors"
    before = len(change.history(meshed))
    assert run("observe_mesh", **asked).exit_code == CHANGES_PENDING
    assert len(change.history(meshed)) == before

    applied = run("observe_mesh", **asked, apply="true")
    assert applied.error is None
    assert "MeshServiceSlow" in applied.report.read_text()
    left = change.plan(Observability(**wanted), meshed, mesh=mesh)
    assert left.empty, f"the runbook's defaults are the intent's: {left}"


@both
def test_a_drained_zone_does_to_the_mesh_what_was_computed(meshed: Cluster, mesh: str) -> None:
    plan = plan_rehearsal(meshed, mesh=mesh, zone="zone-a")
    assert plan.forecast.carries
    assert plan.forecast.pods
    with pytest.raises(BadInput, match="it is 'zone-b', not 'zone-a'"):
        change.apply(plan, meshed, confirm="zone-b")

    done = change.apply(plan, meshed, confirm="zone-a")
    done.require()
    assert done.agrees, str(done)
    assert min(done.counted.least_ready.values()) >= 1
    assert done.counted.asked
    assert not any((node["spec"] or {}).get("unschedulable") for node in meshed.api.list(NODE))
    record = next(one for one in change.history(meshed) if one.id == done.change.id)
    assert record.state == "undone"


def test_a_new_anchor_and_issuer_lose_no_request(meshed: Cluster, mesh: str) -> None:
    if mesh != "linkerd":
        with pytest.raises(UnsupportedByMesh, match="the control plane of Istio makes its own trust anchor"):
            identity_status(meshed)
        return
    before = identity_status(meshed)
    wait_until_served(meshed)
    with Requests(meshed) as requests:
        options = RotationOptions(at_once=2, gate=TrafficGateOptions(watch_s=4))
        plan = plan_rotation(meshed, options=options)
        assert "PRIVATE KEY" not in f"{plan!r}{plan}{plan.to_json()}"
        done = change.apply(plan, meshed)
    assert [one.what.partition(":")[0] for one in done.changes] == [
        f"Identity {number}/4" for number in range(1, 5)
    ]

    after = identity_status(meshed)
    assert (after.phase, after.untrusting) == ("settled", 0)
    assert len(after.anchors) == 1
    assert f"new anchor  {after.anchors[0]}" in str(plan), "what was shown is what is trusted"
    assert f"new issuer  {after.issuer}" in str(plan)
    assert not {*before.anchors, before.issuer} & {*after.anchors, after.issuer}
    assert len(requests.status) > 100
    assert requests.failed == 0
    assert len(requests.callers) >= 4, "the caller itself is made anew three times"
    secret = meshed.api.get(SECRET, "linkerd-trust-anchor", "linkerd")
    assert secret is not None
    records = json.dumps([Journal(meshed).records(one.id) for one in done.changes])
    assert secret["data"]["tls.key"] not in records
    assert "PRIVATE KEY" not in records


def test_a_rotation_is_taken_back_as_a_whole_without_a_lost_request(meshed: Cluster, mesh: str) -> None:
    if mesh != "linkerd":
        return
    made = [one for one in change.history(meshed) if one.operation.name == "rotation"]
    rotation = Changes("Rotation", tuple(Change(one.id, one.what, 1, meshed.ref) for one in made))
    new = identity_status(meshed)
    wait_until_served(meshed)
    with Requests(meshed) as requests:
        undo(rotation, meshed)
    old = identity_status(meshed)
    assert (old.phase, old.untrusting, len(old.anchors)) == ("settled", 0, 1)
    assert not {*old.anchors, old.issuer} & {*new.anchors, new.issuer}
    assert requests.failed == 0
    with pytest.raises(BadInput, match="already undone"):
        undo(rotation, meshed)


@both
def test_nothing_is_left_and_undo_brings_all_back(
    meshed: Cluster, mesh: str, run: Callable[..., RunbookResult]
) -> None:
    cluster, api = meshed, meshed.api
    with pytest.raises(BadInput, match=r"sidecar, in shop \(\d+\)"):
        plan_uninstall(cluster, mesh=mesh)

    wait_until_served(cluster)
    before = time.time()
    asked = {"crds": "true", "force": "true"}
    assert run("uninstall_mesh", **asked).exit_code == CHANGES_PENDING
    made = change.history(cluster)
    refused = run("uninstall_mesh", **asked, apply="true", confirm="production")
    assert (refused.exit_code, refused.cell) == (2, 4)
    assert change.history(cluster) == made
    assert run("uninstall_mesh", **asked, apply="true", confirm=cluster.context).error is None
    gone = change.history(cluster)[0]
    left = plan_uninstall(cluster, mesh=mesh, crds=True, force=True)
    assert left.empty, str(left)
    assert not left.findings, str(left)
    assert api.get(NAMESPACE, MESHES[mesh].control_plane.home) is None
    assert not api.list(WEBHOOK)
    assert not [one for one in api.list(CRD) if one["spec"]["group"].endswith(MESHES[mesh].removal.group)]
    assert not [one for one in api.list(ROLE) if MESHES[mesh].control_plane.home in one["metadata"]["name"]]
    assert shop.read_ledger(cluster, before, time.time()).failed == 0, "running traffic goes on"

    undo(gone.id, cluster)
    again = change.plan(INSTALLED[mesh], cluster, mesh=mesh)
    assert again.empty, str(again)
    assert all(
        one["status"]["availableReplicas"] for one in api.list(DEPLOYMENT, MESHES[mesh].control_plane.home)
    )
