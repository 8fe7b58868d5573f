"""What comes after the first day: a zone is drained on purpose; a mesh is taken away whole, and comes back.

About 30 s a mesh: each has a sandbox with a shop in it, whose pods all move once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane, Quota
from meshkit.operate import change, shop
from meshkit.operate.rehearsal import rehearse
from meshkit.operate.uninstall import plan_uninstall
from meshkit.planners.removal import MARKS
from meshkit.testing import running_sandbox

NODE = Kind("v1", "Node")
DEPLOYMENT, NAMESPACE, SECRET = Kind("apps/v1", "Deployment"), Kind("v1", "Namespace"), Kind("v1", "Secret")
WEBHOOK = Kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole")
CONTROL_PLANE = ControlPlane(quota=Quota(cpu="8", memory="16Gi", pods=20))


@pytest.fixture(scope="module", params=["istio", "linkerd"])
def mesh(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def meshed(mesh: str) -> Iterator[Cluster]:
    """A shop in the mesh."""
    with running_sandbox() as sandbox:
        cluster = connect(kubeconfig=sandbox.kubeconfig)
        change.apply(change.plan(CONTROL_PLANE, cluster, mesh=mesh), cluster)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        change.apply(change.plan(Injection(namespace="shop"), cluster, mesh=mesh), cluster)
        shop.deploy_shop(cluster, rps=20, versions={"v1": shop.GOOD, "v2": shop.GOOD})
        yield cluster


def test_a_drained_zone_does_to_the_mesh_what_was_computed(meshed: Cluster, mesh: str) -> None:
    foreseen = rehearse(meshed, mesh=mesh, zone="zone-a")
    assert foreseen.foresight.carries
    assert foreseen.foresight.pods
    assert foreseen.counted is None
    with pytest.raises(BadInput, match="it is 'zone-b', not 'zone-a'"):
        rehearse(meshed, mesh=mesh, zone="zone-a", consent="zone-b")

    done = rehearse(meshed, mesh=mesh, zone="zone-a", consent="zone-a")
    done.require()
    assert done.counted is not None
    assert done.agrees, str(done)
    assert min(done.counted.least_ready.values()) >= 1
    assert done.counted.asked
    assert not any((node["spec"] or {}).get("unschedulable") for node in meshed.api.list(NODE))
    record = next(one for one in change.history(meshed) if one.id == done.change_id)
    assert record.state == "undone"


def test_nothing_is_left_and_undo_brings_all_back(meshed: Cluster, mesh: str) -> None:
    cluster, api = meshed, meshed.api
    with pytest.raises(BadInput, match=r"sidecar, in shop \(\d+\)"):
        plan_uninstall(cluster, mesh=mesh)

    before = time.time()
    gone = change.apply(plan_uninstall(cluster, mesh=mesh, crds=True, while_meshed=True), cluster)
    left = plan_uninstall(cluster, mesh=mesh, crds=True, while_meshed=True)
    assert left.empty, str(left)
    assert not left.findings, str(left)
    assert api.get(NAMESPACE, MARKS[mesh].home) is None
    assert not api.list(WEBHOOK)
    assert not [one for one in api.list(CRD) if one["spec"]["group"].endswith(MARKS[mesh].group)]
    assert not [one for one in api.list(ROLE) if MARKS[mesh].home in one["metadata"]["name"]]
    assert shop.read_ledger(cluster, before, time.time()).failed == 0, "running traffic goes on"

    change.undo(gone.id, cluster)
    again = change.plan(CONTROL_PLANE, cluster, mesh=mesh)
    assert again.empty, str(again)
    assert all(one["status"]["availableReplicas"] for one in api.list(DEPLOYMENT, MARKS[mesh].home))
