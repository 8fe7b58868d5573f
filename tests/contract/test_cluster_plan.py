"""Intents on a cluster: an impossible one is refused before any change, a possible one can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput, MeshkitError, Rejected, UnknownName
from meshkit.facts import Kind
from meshkit.intent.balancing import OutlierDetection
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.release import Release
from meshkit.intent.rules import Match, TextMatch
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route, Version
from meshkit.kube.steps import BUCKETS_MANAGER
from meshkit.kube.workloads import annotated
from meshkit.operations.change import apply, history, plan, plan_steps
from meshkit.operations.health import check
from meshkit.operations.routes.edit import plan_match, plan_split
from meshkit.operations.routes.show import service_routes
from meshkit.operations.undo import undo
from meshkit.testing import running_sandbox

DEPLOYMENT, POD, SERVICE = Kind("apps/v1", "Deployment"), Kind("v1", "Pod"), Kind("v1", "Service")
SIDECARS = {"istio": "istio-proxy", "linkerd": "linkerd-proxy"}


def route(namespace: str, **split: float) -> Route:
    versions = tuple(Version(name=name) for name in ("v1", "v2"))
    return Route(namespace=namespace, service="web", port=8080, versions=versions, split=split or {"v1": 100})


def service(namespace: str) -> dict[str, Any]:
    spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080, "appProtocol": "http"}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": spec,
    }


def web(namespace: str, version: str = "v1") -> dict[str, Any]:
    labels = {"app": "web", "version": version}
    container = {
        "name": "web",
        "image": "meshkit.dev/sandbox/web:1",
        "ports": [{"containerPort": 8080}, {"containerPort": 9000}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": f"web-{version}", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("intent", "mesh", "error", "message"),
    [
        (lambda ns: route(ns), "istoi", UnknownName, "mesh: 'istoi' is not known. Did you mean 'istio'"),
        (lambda ns: route("nowhere"), "istio", BadInput, "route.service: there is no Service nowhere/web"),
        (
            lambda ns: route(ns, v1=50, v2=50),
            "istio",
            BadInput,
            r"route.versions\[0\]: version v1 does not exist: no pod in .* carries app=web, version=v1",
        ),
        (
            lambda ns: Injection(namespace="nowhere"),
            "istio",
            BadInput,
            "injection.namespace: the cluster has no namespace 'nowhere'",
        ),
        (
            lambda ns: Release(name="r", namespace=ns, service="web", port=8080, stable="v1", canary="v2"),
            "istio",
            BadInput,
            "release: it has a plan of its own",
        ),
        (
            lambda ns: MutualTLS(mode="disable", namespace=ns),
            "linkerd",
            BadInput,
            "mutual_tls.mode: disable: Linkerd cannot do this",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    cluster: Cluster,
    namespace: str,
    intent: Callable[[str], Intent],
    mesh: str,
    error: type[MeshkitError],
    message: str,
) -> None:
    cluster.api.apply(service(namespace), manager="test")
    before = [change.id for change in history(cluster)]
    with pytest.raises(error, match=message) as raised:
        plan(intent(namespace), cluster, mesh=mesh)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)
    assert [change.id for change in history(cluster)] == before


@pytest.mark.usefixtures("sandbox_images")
def test_more_zones_than_the_cluster_has_are_refused(cluster: Cluster) -> None:
    with pytest.raises(
        BadInput, match=r"zones: the cluster's nodes are in 3 zones, and 9 are asked for.* See MK0102"
    ):
        plan(ControlPlane(zones=9), cluster, mesh="linkerd")


def test_what_the_server_warns_of_is_shown_with_the_plan() -> None:
    """The sandbox cannot evaluate one rule of this kind and returns a warning for every write."""
    rule = {"rule": "cel.bind(x, 1, x == 1)"}
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "x-kubernetes-validations": [rule],
    }
    names = {"kind": "PeerAuthentication", "plural": "peerauthentications", "singular": "peerauthentication"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "peerauthentications.security.istio.io"},
        "spec": {"group": "security.istio.io", "names": names, "scope": "Namespaced", "versions": [version]},
    }
    with running_sandbox() as sandbox:
        cluster = connect(kubeconfig=sandbox.kubeconfig)
        cluster.api.apply(definition, manager="test")
        found = plan(MutualTLS(mode="strict", namespace="default"), cluster, mesh="istio").findings
    assert [(f.code, f.severity) for f in found] == [("MK0301", "warning")]
    assert "cel.bind" in found[0].message
    assert "PeerAuthentication" in found[0].object


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A sandbox of this module's own: a mesh is installed into it, and removed."""
    with running_sandbox() as sandbox:
        yield connect(kubeconfig=sandbox.kubeconfig)


def containers(cluster: Cluster, namespace: str) -> list[set[str]]:
    found = []
    for pod in cluster.api.list(POD, namespace):
        if "deletionTimestamp" not in pod["metadata"]:
            spec = pod["spec"]
            found.append({c["name"] for c in (*spec["containers"], *spec.get("initContainers", ()))})
    return found


def require_edited_and_taken_back(service: str, cluster: Cluster, mesh: str) -> None:
    """The Route is read back from what is stored, changed twice, shown, and as it was after an undo."""
    before = service_routes(service, cluster, mesh=mesh)
    shares = {"v1": 30.0, "v2": 70.0}
    changes = [apply(plan_split(service, shares, cluster, mesh=mesh), cluster)]
    assert plan_split(service, shares, cluster, mesh=mesh).empty
    match = Match(headers={"X-User": TextMatch(exact="tester")})
    changes.append(apply(plan_match(service, match, "v2", cluster, mesh=mesh), cluster))
    (found,) = service_routes(service, cluster, mesh=mesh).ports
    special, general = found.rules
    assert special.conditions == ("header x-user is tester",)
    assert [each.share_percent for each in special.destinations] == [100]
    assert [each.share_percent for each in general.destinations] == [30, 70]
    assert special.managers == ("meshkit",)
    for change in reversed(changes):
        undo(change.id, cluster)
    assert service_routes(service, cluster, mesh=mesh) == before


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_a_mesh_is_established_and_taken_back(own: Cluster, mesh: str) -> None:
    """The whole path on real processes takes about ten seconds a mesh; each intent planned again is empty."""
    namespace = f"shop-{mesh}"
    own.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, manager="test")
    own.api.apply(service(namespace), manager="test")
    for version in ("v1", "v2"):
        own.api.apply(web(namespace, version), manager="test")
    own.api.wait(DEPLOYMENT, "web-v1", namespace, lambda _: bool(containers(own, namespace)), 20, "created")
    with pytest.raises(Rejected, match="does not serve"):
        plan(route(namespace), own, mesh=mesh)
    intents: tuple[Intent, ...] = (
        ControlPlane(),
        Injection(namespace=namespace),
        MutualTLS(mode="strict", namespace=namespace),
        route(namespace),
        DestinationPolicy(namespace=namespace, host="web", outlier_detection=OutlierDetection()),
    )
    changes = []
    for intent in intents:
        changes.append(apply(plan(intent, own, mesh=mesh), own))
        assert plan(intent, own, mesh=mesh).empty
    assert plan(route(namespace), own, mesh=mesh).empty
    require_edited_and_taken_back(f"{namespace}/web", own, mesh)
    assert all(SIDECARS[mesh] in names for names in containers(own, namespace))
    assert [one.code for one in check(own, mesh=mesh) if one.severity == "error"] == []
    results = [undo(change.id, own) for change in reversed(changes)]
    assert [result.kept for result in results[:4]] == [(), (), (), ()]
    assert "stays: it holds Secret" in results[4].kept[0]
    assert all(SIDECARS[mesh] not in names for names in containers(own, namespace))
    with pytest.raises(Rejected, match="does not serve"):
        plan(route(namespace), own, mesh=mesh)


def test_buckets_of_a_workload_that_others_own_are_annotated_and_taken_back() -> None:
    theirs = web("default")
    theirs["spec"]["replicas"] = 0
    theirs["spec"]["template"]["metadata"]["annotations"] = {"team.example/owner": "web"}
    step = annotated(theirs, {"sidecar.istio.io/statsHistogramBuckets": "{}"}, manager=BUCKETS_MANAGER)
    with running_sandbox() as sandbox:
        cluster = connect(kubeconfig=sandbox.kubeconfig)
        cluster.api.apply(theirs, manager="team")

        def annotations() -> dict[str, str]:
            found = cluster.api.get(DEPLOYMENT, "web-v1", "default")
            assert found
            return dict(found["spec"]["template"]["metadata"]["annotations"])

        planned = plan_steps((step,), cluster, Operation("apply", "istio"), what="Latency buckets")
        change = apply(planned, cluster)
        assert annotations() == {"team.example/owner": "web", "sidecar.istio.io/statsHistogramBuckets": "{}"}
        assert plan_steps((step,), cluster, Operation("apply", "istio"), what="Latency buckets").empty
        undo(change.id, cluster)
        assert annotations() == {"team.example/owner": "web"}
