"""Linkerd's own charts on the sandbox: their Deployments are its control plane, their webhooks inject.

The charts are on no registry that the project may use, so they run where somebody has them:
``$MESHKIT_LINKERD_CHARTS`` names a directory with ``linkerd-crds`` and ``linkerd-control-plane``, each with
the chart ``partials`` below its ``charts``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.traffic import Route, Version
from meshkit.kube.manifests import crd_steps
from meshkit.kube.pods import is_live
from meshkit.meshes.definitions import crds
from meshkit.operations.change import apply, plan, plan_steps
from meshkit.operations.health import check
from meshkit.operations.identity.create import plan_identity
from meshkit.operations.identity.rotate import identity_status, plan_rotation
from meshkit.operations.shop import deploy_shop
from meshkit.operations.undo import undo
from meshkit.operations.uninstall import plan_uninstall
from meshkit.testing import running_sandbox

DEPLOYMENT, POD = Kind("apps/v1", "Deployment"), Kind("v1", "Pod")
CONFIG_MAP, NAMESPACE = Kind("v1", "ConfigMap"), Kind("v1", "Namespace")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute")
BUNDLE = "linkerd-identity-trust-roots"
COMPONENTS = ("linkerd-identity", "linkerd-destination", "linkerd-proxy-injector")
NETWORKS = {"clusterNetworks": "10.0.0.0/8,127.0.0.0/8"}
"""Where the sandbox has the addresses of Services and of pods: a chart that is not told so is an error."""
pytestmark = pytest.mark.conformance


@pytest.fixture
def wanted() -> dict[str, Any]:
    """The control plane's charts, values and all."""
    charts = os.environ.get("MESHKIT_LINKERD_CHARTS")
    if not charts:
        pytest.skip(
            "Linkerd's charts are on no registry that is used here: name them in $MESHKIT_LINKERD_CHARTS"
        )
    return {"charts": charts, "untested": True, "values": NETWORKS}


@pytest.fixture
def cluster(
    wanted: dict[str, Any], helm_program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Cluster]:
    """A sandbox with the Gateway API, and Linkerd by its charts."""
    monkeypatch.setenv("MESHKIT_HELM", helm_program)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{name}_HOME", str(tmp_path / name.lower()))
    with running_sandbox() as running:
        cluster = connect(kubeconfig=running.kubeconfig)
        routes = crd_steps(crds("gateway_api"))
        apply(plan_steps(routes, cluster, Operation("test", "linkerd"), what="Gateway API"), cluster)
        apply(plan_identity(cluster, mesh="linkerd"), cluster)
        yield cluster


def install(cluster: Cluster, wanted: dict[str, Any], **more: Any) -> str:
    return apply(plan(ControlPlane(**wanted, **more), cluster, mesh="linkerd"), cluster).id


def replicas(cluster: Cluster) -> list[int]:
    found = [cluster.api.get(DEPLOYMENT, name, "linkerd") for name in COMPONENTS]
    return [int(one["status"]["availableReplicas"]) for one in found if one]


def problems(cluster: Cluster) -> list[str]:
    return [str(one) for one in check(cluster, mesh="linkerd") if one.severity == "error"]


def sidecars(cluster: Cluster) -> list[bool]:
    """Of each pod of the shop that is there to stay, whether it has a proxy that is ready."""
    found = []
    for pod in filter(is_live, cluster.api.list(POD, "shop")):
        status = (pod.get("status") or {}).get("initContainerStatuses") or ()
        found.append(any(one["name"] == "linkerd-proxy" and one["ready"] for one in status))
    return found


@pytest.mark.timeout(600)
def test_linkerds_charts_install_upgrade_go_back_and_leave(cluster: Cluster, wanted: dict[str, Any]) -> None:
    """Six Helm changes on real processes take about three minutes."""
    installed = install(cluster, wanted)
    assert replicas(cluster) == [3, 3, 3]
    assert plan(ControlPlane(**wanted), cluster, mesh="linkerd").empty

    deploy_shop(cluster, rps=20)
    injected = apply(plan(Injection(namespace="shop"), cluster, mesh="linkerd"), cluster)
    assert all(sidecars(cluster))
    versions = (Version(name="v1"), Version(name="v2"))
    route = Route(namespace="shop", service="web", port=8080, versions=versions, split={"v1": 90, "v2": 10})
    routed = apply(plan(route, cluster, mesh="linkerd"), cluster)
    cluster.api.wait(HTTP_ROUTE, "web-primary", "shop", accepted, 30, "accepted")
    assert problems(cluster) == []

    smaller = plan(ControlPlane(replicas=2, zones=2, **wanted), cluster, mesh="linkerd")
    shown = {field.path: field.after for one in smaller.steps for field in one.changes}
    assert shown["spec.objects[Deployment linkerd/linkerd-identity].spec.replicas"] == 2
    upgraded = apply(smaller, cluster)
    assert replicas(cluster) == [2, 2, 2]
    undo(upgraded.id, cluster)
    assert replicas(cluster) == [3, 3, 3]
    assert problems(cluster) == []

    undo(routed.id, cluster)
    undo(injected.id, cluster)
    undo(installed, cluster)
    assert replicas(cluster) == []
    deploy_shop(cluster, rps=20)
    assert not any(sidecars(cluster))

    install(cluster, wanted)
    gone = plan_uninstall(cluster, mesh="linkerd", crds=True)
    assert apply(gone, cluster, confirm=cluster.context).kept == ()
    assert cluster.api.get(NAMESPACE, "linkerd") is None


def accepted(found: Any) -> bool:
    parents = ((found or {}).get("status") or {}).get("parents") or ()
    told = {one["type"]: one["status"] for parent in parents for one in parent["conditions"]}
    return told.get("Accepted") == "True"


@pytest.mark.timeout(600)
def test_an_identity_of_charts_is_rotated(cluster: Cluster, wanted: dict[str, Any]) -> None:
    """Every proxy, also of the control plane, is replaced three times, which takes about three minutes."""
    install(cluster, wanted)
    deploy_shop(cluster, rps=20)
    apply(plan(Injection(namespace="shop"), cluster, mesh="linkerd"), cluster)
    before = identity_status(cluster)
    assert (before.phase, before.untrusting) == ("settled", 0)

    apply(plan_rotation(cluster), cluster)
    after = identity_status(cluster)
    assert (after.phase, after.untrusting, len(after.anchors)) == ("settled", 0, 1)
    assert not {*before.anchors, before.issuer} & {*after.anchors, after.issuer}
    assert problems(cluster) == []

    rotated = cluster.api.get(CONFIG_MAP, BUNDLE, "linkerd")
    install(cluster, wanted, replicas=2, zones=2)
    kept = cluster.api.get(CONFIG_MAP, BUNDLE, "linkerd")
    assert rotated is not None
    assert kept is not None
    assert kept["data"] == rotated["data"], "an upgrade leaves the bundle as the rotation made it"


@pytest.mark.timeout(600)
def test_a_bundle_of_helms_is_taken_out_of_its_release_first(
    cluster: Cluster, wanted: dict[str, Any]
) -> None:
    """What installations before left: two Helm changes take about a minute."""
    install(cluster, {**wanted, "values": {**NETWORKS, "identity": {"externalCA": False}}})
    with pytest.raises(BadInput, match="belongs to a Helm release"):
        plan(ControlPlane(**wanted), cluster, mesh="linkerd")
    with pytest.raises(BadInput, match="belong to a Helm release"):
        identity_status(cluster)
    before = cluster.api.get(CONFIG_MAP, BUNDLE, "linkerd")
    assert before is not None
    notes = {"meta.helm.sh/release-name": None, "meta.helm.sh/release-namespace": None}
    patch = {"metadata": {"annotations": {"helm.sh/resource-policy": "keep", **notes}}}
    cluster.api.merge_patch(CONFIG_MAP, BUNDLE, "linkerd", patch)
    install(cluster, wanted)
    after = cluster.api.get(CONFIG_MAP, BUNDLE, "linkerd")
    assert after is not None
    assert after["data"] == before["data"]
    assert identity_status(cluster).phase == "settled"
