"""Plan, apply, undo, check and observe work for a third mesh: one folder and one row of the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.ready import established
from meshkit.errors import Conflict, NoData, UnsupportedByMesh
from meshkit.facts import Kind, Need
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.release import Release
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.kube import manifests
from meshkit.kube.kinds import CONFIG_MAP, NAMESPACE, NODE, POD, SERVICE
from meshkit.kube.steps import RELEASE_MANAGER
from meshkit.meshes import registry
from meshkit.observe.callers import read_callers
from meshkit.observe.counters import Target, window
from meshkit.observe.source import observer
from meshkit.operations.change import apply, plan
from meshkit.operations.health import check
from meshkit.operations.undo import undo
from meshkit.operations.uninstall import plan_uninstall
from tests.toy_mesh.mesh import TOY
from tests.toy_mesh.metrics import SIDECAR
from tests.toy_mesh.planner import INJECT, POLICY, ROUTE, SETTINGS

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
WEB_IMAGE = "meshkit.dev/sandbox/web:1"
READY_S = 30.0


@pytest.fixture(autouse=True)
def third_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.MESHES, TOY.name, TOY)


@pytest.fixture
def installed(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The toy mesh in a namespace of the test's own; taken back by its undo."""
    intent = ControlPlane(namespace=namespace, charts="published", replicas=1, zones=1)
    change = apply(plan(intent, cluster, mesh="toy"), cluster)
    yield namespace
    undo(change.id, cluster)
    assert cluster.api.get(CONFIG_MAP, SETTINGS, namespace) is None


def route(namespace: str, canary: float) -> Route:
    versions = (Version(name="v1"), Version(name="v2"))
    split = {"v1": 100 - canary, "v2": canary}
    return Route(namespace=namespace, service="web", port=8080, versions=versions, split=split)


def weights(cluster: Cluster, namespace: str) -> dict[str, int] | None:
    found = cluster.api.get(ROUTE, "web", namespace)
    if found is None:
        return None
    (rule,) = found["spec"]["rules"]
    return {each["version"]: each["weight"] for each in rule["backends"]}


def service(cluster: Cluster, namespace: str) -> None:
    meta = {"name": "web", "namespace": namespace}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080}]}
    cluster.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}, manager="test")
    assert cluster.api.get(SERVICE, "web", namespace)


def pod(cluster: Cluster, namespace: str, name: str, version: str) -> None:
    """A pod of the Service, with the toy mesh's sidecar."""
    cluster.api.wait(SERVICE_ACCOUNT, "default", namespace, bool, READY_S, "there")
    answers = {"httpGet": {"path": "/metrics", "port": 8080}, "periodSeconds": 1}
    ports = [{"containerPort": 8080}]
    proxy = {"name": SIDECAR, "image": WEB_IMAGE, "ports": ports, "readinessProbe": answers}
    containers = [{"name": "web", "image": "example/web:1"}, proxy]
    meta = {"name": name, "namespace": namespace, "labels": {"app": "web", "version": version}}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}}
    cluster.api.apply(made, manager="test")


def test_its_control_plane_is_planned_applied_and_taken_back(cluster: Cluster, installed: str) -> None:
    definition = cluster.api.get(CRD, "toyroutes.toy.example.com")
    assert definition is not None
    assert established(definition)
    settings = cluster.api.get(CONFIG_MAP, SETTINGS, installed)
    assert settings is not None
    assert settings["data"] == {"version": "1.0"}


def test_its_routes_are_objects_of_its_own_kind(cluster: Cluster, installed: str) -> None:
    service(cluster, installed)
    for version in ("v1", "v2"):
        pod(cluster, installed, f"web-{version}", version)
    first = apply(plan(route(installed, 0), cluster, mesh="toy"), cluster)
    second = apply(plan(route(installed, 10), cluster, mesh="toy"), cluster)
    assert weights(cluster, installed) == {"v1": 90, "v2": 10}
    assert plan(route(installed, 10), cluster, mesh="toy").empty
    undo(second.id, cluster)
    assert weights(cluster, installed) == {"v1": 100, "v2": 0}
    undo(first.id, cluster)
    assert weights(cluster, installed) is None


def test_fields_of_another_manager_are_taken_only_when_asked(cluster: Cluster, installed: str) -> None:
    service(cluster, installed)
    for version in ("v1", "v2"):
        pod(cluster, installed, f"web-{version}", version)
    spec = {"service": "web", "rules": [{"backends": [{"version": "v1", "weight": 1}]}]}
    theirs = manifests.obj(ROUTE, "web", installed, spec=spec)
    cluster.api.apply(theirs, manager="argocd")
    with pytest.raises(Conflict, match=r"argocd owns \.spec\.rules.*--take-fields"):
        plan(route(installed, 10), cluster, mesh="toy")
    shown = plan(route(installed, 10), cluster, mesh="toy", take_fields=True)
    assert ("argocd",) in [change.owners for change in shown.steps[0].changes]
    change = apply(shown, cluster)
    assert weights(cluster, installed) == {"v1": 90, "v2": 10}
    undo(change.id, cluster)
    assert weights(cluster, installed) == {"v1": 1}
    cluster.api.apply(theirs, manager=RELEASE_MANAGER, force=True)
    with pytest.raises(Conflict, match="A release manages these weights"):
        plan(route(installed, 10), cluster, mesh="toy", take_fields=True)
    cluster.api.delete(ROUTE, "web", installed)


def test_a_release_finds_its_weights(cluster: Cluster, installed: str) -> None:
    service(cluster, installed)
    for version in ("v1", "v2"):
        pod(cluster, installed, f"web-{version}", version)
    change = apply(plan(route(installed, 0), cluster, mesh="toy"), cluster)
    at = TOY.planner.weighted_route(
        Release(name="r", namespace=installed, service="web", port=8080, stable="v1", canary="v2")
    )
    found = cluster.api.get(at.kind, at.name, at.namespace)
    assert found is not None
    (rule,) = found["spec"][at.rules]
    assert {each[at.version_at[0]] for each in rule[at.destinations]} == {at.stable, at.canary}
    undo(change.id, cluster)


def test_injection_is_asked_for_in_its_own_words(cluster: Cluster, namespace: str) -> None:
    change = apply(plan(Injection(namespace=namespace), cluster, mesh="toy"), cluster)
    marked = cluster.api.get(NAMESPACE, namespace)
    assert marked is not None
    assert TOY.injection.request(marked) == f"{INJECT}=enabled"
    undo(change.id, cluster)
    bare = cluster.api.get(NAMESPACE, namespace)
    assert bare is not None
    assert not TOY.injection.request(bare)


def test_mutual_tls_is_read_back_as_it_was_written(cluster: Cluster, namespace: str) -> None:
    change = apply(plan(MutualTLS(namespace=namespace, mode="strict"), cluster, mesh="toy"), cluster)
    seen = snapshot.read(cluster, [Need(CONFIG_MAP, namespace)])
    assert TOY.mutual_tls(seen, namespace) == "strict"
    undo(change.id, cluster)
    assert cluster.api.get(CONFIG_MAP, POLICY, namespace) is None


def test_what_it_has_no_means_for_is_refused(cluster: Cluster, namespace: str) -> None:
    asked = Access(namespace=namespace, service="web", callers=(Caller(namespace=namespace),))
    with pytest.raises(UnsupportedByMesh, match=r"access\.callers: The toy mesh cannot do this"):
        plan(asked, cluster, mesh="toy")


def test_uninstalling_it_names_its_own_objects(cluster: Cluster, installed: str) -> None:
    # The pods of other tests may still be leaving.
    shown = plan_uninstall(cluster, mesh="toy", namespace=installed, crds=True, force=True)
    titles = [step.step.title for step in shown.steps]
    assert f"ConfigMap {installed}/{SETTINGS}" in titles
    assert "CustomResourceDefinition toyroutes.toy.example.com" in titles
    assert not any("istio" in title or "linkerd" in title for title in titles)


def test_it_is_checked_like_any_other(cluster: Cluster, installed: str) -> None:
    found = check(cluster, mesh="toy")
    assert not [one for one in found if "Linkerd" in one.message or "Istio" in one.message]


def test_its_pages_are_read_where_its_table_says(cluster: Cluster, namespace: str, real_nodes: bool) -> None:
    """A node of the sandbox runs the sidecar, and its page answers, though without a counter: nothing was
    asked. Where a node only says that its pods run, no page answers: that is no data, never zero.
    """
    pod(cluster, namespace, "web-v1", "v1")
    found = cluster.api.wait(POD, "web-v1", namespace, _runs_sidecar, READY_S, "running its sidecar")
    proxy = f"{found['metadata']['uid']}/0"
    target = Target(namespace, "web", 8080, ("v1",))
    reading = read_callers(cluster, "toy", namespace)
    if not real_nodes:
        assert reading.pages[proxy] is None
        assert reading.answered == 0
        with pytest.raises(NoData, match="sidecars answered on port 8080/metrics"):
            observer("toy").counters(cluster, target)
        return
    assert reading.pages[proxy] == {}
    counted = observer("toy").counters(cluster, target)
    assert counted.pages[proxy] == {}
    assert window(counted, observer("toy").counters(cluster, target)).requests == 0


def _runs_sidecar(found: Mapping[str, Any] | None) -> bool:
    status = (found or {}).get("status") or {}
    listed = {each["name"]: each for each in status.get("containerStatuses") or ()}
    return bool((listed.get(SIDECAR) or {}).get("ready"))


@pytest.fixture
def real_nodes(cluster: Cluster) -> bool:
    """Whether the cluster's nodes run the containers of their pods."""
    runtimes = [node["status"]["nodeInfo"]["containerRuntimeVersion"] for node in cluster.api.list(NODE)]
    return any(each.startswith("meshkit://") for each in runtimes)
