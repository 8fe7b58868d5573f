"""Upgrade a mesh under traffic and roll it back: Istio beside the old control plane, Linkerd in place.

Takes about 70 s for each mesh: the pods of a shop move to the new version and back in watched waves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from meshkit import codes
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.errors import CHANGES_PENDING, BadInput, ChangeFailed, ClusterError, ManualActionRequired
from meshkit.facts import Kind
from meshkit.intent.mesh import ControlPlane
from meshkit.meshes.injection import proxies, proxy_origin
from meshkit.operations.change import apply
from meshkit.operations.health import check
from meshkit.operations.progress import Event, WatchStarted
from meshkit.operations.traffic_gate import TrafficGateOptions
from meshkit.operations.upgrade.report import UpgradeStatus
from meshkit.operations.upgrade.rollback import upgrade_back
from meshkit.operations.upgrade.run import UpgradePlan, plan_retirement, plan_upgrade, upgrade_status
from meshkit.runbooks.execution import RunbookResult, run_runbook
from tests.e2e.ledgers import INSTALLED, QUOTA, Requests, wait_until_served

POD, NAMESPACE = Kind("v1", "Pod"), Kind("v1", "Namespace")
DEPLOYMENT = Kind("apps/v1", "Deployment")
VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService")
OLD = {mesh: ("default", str(installed.version)) for mesh, installed in INSTALLED.items()}
NEW = {"istio": ("1-31-4", "1.31.4"), "linkerd": ("default", "edge-26.6.3")}
TO = {
    "istio": ControlPlane(version="1.31.4", revision="1-31-4", tags=("default",), quota=QUOTA),
    "linkerd": ControlPlane(version="edge-26.6.3", quota=QUOTA),
}


@pytest.fixture(scope="module")
def meshed(mesh_in_use: Cluster) -> Cluster:
    """A shop in a mesh of the old version."""
    wait_until_served(mesh_in_use)
    return mesh_in_use


def upgrade(cluster: Cluster, mesh: str) -> UpgradePlan:
    return plan_upgrade(TO[mesh], cluster, mesh=mesh, at_once=2, gate=TrafficGateOptions(watch_s=4))


def status(cluster: Cluster, mesh: str) -> UpgradeStatus:
    return upgrade_status(TO[mesh], cluster, mesh=mesh)


@pytest.fixture
def runbook(meshed: Cluster, mesh: str, tmp_path: Path) -> Callable[..., RunbookResult]:
    """The upgrade as a pipeline runs it."""
    to = TO[mesh]
    given = {
        "kubeconfig": str(meshed.kubeconfig),
        "context": meshed.context,
        "mesh": mesh,
        "version": str(to.version),
        "revision": to.revision or "",
        "watch_s": "4",
        "at_once": "4",
    }

    def run(**more: str) -> RunbookResult:
        return run_runbook("upgrade_mesh", {**given, **more}, out=tmp_path)

    return run


def of_shop(cluster: Cluster, mesh: str) -> set[tuple[str, str]]:
    """The revisions and versions of the shop's proxies."""
    return {proxy_origin(pod, mesh) for pod in proxies(cluster.api.list(POD, "shop"), mesh)}


def mark(cluster: Cluster) -> dict[str, str]:
    found = cluster.api.get(NAMESPACE, "shop")
    assert found is not None
    labels = found["metadata"]["labels"]
    return {key: value for key, value in labels.items() if key.startswith("istio")}


class Fault:
    """A progress callback that lets every call of the shop fail once a wave of restarts is watched."""

    def __init__(self, cluster: Cluster, mesh: str) -> None:
        self._cluster, self._mesh = cluster, mesh

    def __call__(self, event: Event) -> None:
        if not (isinstance(event, WatchStarted) and event.what.startswith("Deployment")):
            return
        if self._mesh == "linkerd":
            self.scale(0)
        else:
            abort = {"abort": {"httpStatus": 503, "percentage": {"value": 100}}}
            route = {"route": [{"destination": {"host": "web"}}], "fault": abort}
            meta = {"name": "fault", "namespace": "shop"}
            spec = {"hosts": ["web"], "http": [route]}
            fault = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta}
            self._cluster.api.apply({**fault, "spec": spec})

    def scale(self, replicas: int) -> None:
        for name in ("web-v1", "web-v2"):
            self._cluster.api.merge_patch(DEPLOYMENT, name, "shop", {"spec": {"replicas": replicas}})

    def mend(self) -> None:
        if self._mesh == "linkerd":
            self.scale(2)
        with contextlib.suppress(ClusterError):
            self._cluster.api.delete(VIRTUAL_SERVICE, "fault", "shop")


def test_a_wave_that_makes_calls_worse_takes_its_namespace_back(meshed: Cluster, mesh: str) -> None:
    """An upgrade in place is rolled back entirely: the new injector would inject new proxies again."""
    fault = Fault(meshed, mesh)
    whole = "The whole upgrade was rolled back" if mesh == "linkerd" else "The completed steps were undone"
    try:
        with pytest.raises(ChangeFailed, match=rf"got no answer .*, at shop/web.*{whole}"):
            apply(upgrade(meshed, mesh), meshed, progress=fault)
    finally:
        fault.mend()
    assert of_shop(meshed, mesh) == {OLD[mesh]}
    if mesh == "istio":
        assert mark(meshed) == {"istio-injection": "enabled"}
        assert status(meshed, mesh).next == "Next: namespace shop, 1 to go."
    else:
        assert status(meshed, mesh).next == "Next: control plane edge-26.6.3."
    wait_until_served(meshed)


def test_everything_moves_however_often_it_is_interrupted(
    meshed: Cluster, mesh: str, runbook: Callable[..., RunbookResult]
) -> None:
    """An upgrade that is interrupted is completed by the runbook."""

    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and event.state == "done" and event.title == "Deployment shop/client":
            raise KeyboardInterrupt

    with Requests(meshed) as requests:
        with pytest.raises(KeyboardInterrupt):
            apply(upgrade(meshed, mesh), meshed, progress=interrupt)
        assert of_shop(meshed, mesh) > {NEW[mesh]}
        assert runbook().exit_code == CHANGES_PENDING
        applied = runbook(apply="true")
    assert applied.error is None
    assert "proxies moved" in applied.report.read_text()
    assert of_shop(meshed, mesh) == {NEW[mesh]}
    assert len(requests.status) > 200
    assert requests.failed == 0
    left = upgrade(meshed, mesh)
    assert left.empty
    assert apply(left, meshed).changes == ()


def test_the_old_control_plane_goes_once_nobody_obeys_it(meshed: Cluster, mesh: str) -> None:
    if mesh != "istio":
        assert plan_retirement(TO[mesh], meshed, mesh=mesh).empty
        return
    straggler = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job", "namespace": "late"}}
    late = {"name": "late", "labels": {"istio-injection": "enabled"}}
    meshed.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": late}, manager="colleague")
    image = {"name": "app", "image": "meshkit.dev/sandbox/web"}
    meshed.api.apply({**straggler, "spec": {"containers": [image]}}, manager="colleague")
    with pytest.raises(ManualActionRequired, match=r"still needed in late \(1 proxies\).*colleague"):
        plan_retirement(TO[mesh], meshed, mesh=mesh)
    meshed.api.delete(NAMESPACE, "late")
    meshed.api.wait(NAMESPACE, "late", None, lambda found: found is None, 60, "gone")

    with Requests(meshed) as requests:
        apply(plan_retirement(TO[mesh], meshed, mesh=mesh), meshed)
    assert requests.failed == 0
    assert [one.revision for one in status(meshed, mesh).installed] == ["1-31-4"]
    assert upgrade(meshed, mesh).empty
    assert not [one for one in check(meshed, mesh=mesh) if one.severity != "info"]
    fresh = {"name": "fresh", "labels": {"istio-injection": "enabled"}}
    meshed.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": fresh})
    meta = {"name": "probe", "namespace": "fresh"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [image]}}
    made = meshed.api.apply(pod, dry_run=True)
    assert proxy_origin(made, mesh) == NEW[mesh], "istio-injection=enabled asks the new one now"
    meshed.api.delete(NAMESPACE, "fresh")


def test_one_command_takes_all_of_it_back(meshed: Cluster, mesh: str) -> None:
    with Requests(meshed) as requests:
        back = upgrade_back(meshed)
    assert requests.failed == 0
    assert [one.what.partition(":")[0] for one in back] == ["Undo of Upgrade"] * (3 if mesh == "istio" else 2)
    with pytest.raises(BadInput, match=r"the newest one .* was already rolled back"):
        upgrade_back(meshed)
    assert of_shop(meshed, mesh) == {OLD[mesh]}
    assert [(one.revision, one.version) for one in status(meshed, mesh).installed] == [OLD[mesh]]
    if mesh == "istio":
        assert mark(meshed) == {"istio-injection": "enabled"}
    worse = {one.code for one in check(meshed, mesh=mesh) if one.severity != "info"}
    assert worse <= {codes.KUBERNETES_TOO_NEW.id}, "the nodes are newer than the old version supports"
