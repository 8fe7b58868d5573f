"""Traffic is as it was after an experiment, whoever ends it: its user, its process' death, or someone else.

It uses the toy mesh, whose routes are objects of a kind of its own, and measures nothing. Takes 10 s, because
it starts a sandbox without a shop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.errors import ManualActionRequired, NoData
from meshkit.facts import Kind
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.traffic import Route, Version
from meshkit.kube import manifests
from meshkit.kube.kinds import NAMESPACE, SERVICE
from meshkit.meshes import registry
from meshkit.operations.change import apply, history, plan
from meshkit.operations.experiments.experiment import Experiment
from meshkit.operations.experiments.settings import ExperimentLimits
from meshkit.operations.experiments.taking_back import CHANGE, open_experiments, stop_experiments
from meshkit.operations.undo import undo
from meshkit.testing import running_sandbox
from tests.toy_mesh.mesh import TOY
from tests.toy_mesh.planner import ROUTE

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
LIMITS = ExperimentLimits(most_percent={"v2": 100})


class Silent:
    """An observer without data."""

    def counters(self, *_: Any) -> Any:
        raise NoData("Nothing is measured here.", remedy="")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_sandbox() as sandbox:
        yield connect(kubeconfig=sandbox.kubeconfig)


@pytest.fixture
def route(
    cluster: Cluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Route]:
    """A route of the toy mesh that sends everything to v1, in a namespace of the test's own."""
    namespace = request.node.name.replace("_", "-")[:50].strip("-")
    cluster.api.apply(manifests.obj(NAMESPACE, namespace), manager="test")
    monkeypatch.setitem(registry.MESHES, TOY.name, TOY)
    intent = ControlPlane(namespace=namespace, charts="published", replicas=1, zones=1)
    installed = apply(plan(intent, cluster, mesh="toy"), cluster)
    spec = {"selector": {"app": "web"}, "ports": [{"port": 8080}]}
    cluster.api.apply(manifests.obj(SERVICE, "web", namespace, spec=spec), manager="test")
    cluster.api.wait(SERVICE_ACCOUNT, "default", namespace, bool, 30.0, "there")
    for version in ("v1", "v2"):
        labels = {"app": "web", "version": version}
        meta = {"name": f"web-{version}", "namespace": namespace, "labels": labels}
        containers = [{"name": "web", "image": "example/web:1"}]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}}
        cluster.api.apply(pod, manager="test")
    versions = (Version(name="v1"), Version(name="v2"))
    route = Route(
        namespace=namespace, service="web", port=8080, versions=versions, split={"v1": 100, "v2": 0}
    )
    spec = {"service": "web", "rules": [{"backends": [{"version": "v1", "weight": 100}]}]}
    cluster.api.apply(manifests.obj(ROUTE, "web", namespace, spec=spec), manager="meshkit")
    yield route
    undo(installed.id, cluster)


def experiment(route: Route, cluster: Cluster) -> Experiment:
    return Experiment(route, cluster, mesh="toy", limits=LIMITS, observer=Silent())


def weights(cluster: Cluster, route: Route) -> dict[str, int]:
    found = cluster.api.get(ROUTE, "web", route.namespace)
    assert found is not None
    return {each["version"]: each["weight"] for each in found["spec"]["rules"][0]["backends"]}


def shared(running: Experiment, percent: float) -> None:
    running.set(split={"v1": 100 - percent, "v2": percent})


def fail_within(running: Experiment, route: Route) -> None:
    shared(running, 10)
    shared(running, 30)
    assert weights(running.cluster, route) == {"v1": 70, "v2": 30}
    raise ZeroDivisionError


def test_an_error_inside_leaves_everything_as_it_was(cluster: Cluster, route: Route) -> None:
    running = experiment(route, cluster)
    with pytest.raises(ZeroDivisionError), running:
        fail_within(running, route)
    assert weights(cluster, route) == {"v1": 100}
    mine = [each for each in history(cluster) if each.operation.facts.get("run") == running.id]
    assert [(each.operation.name, each.state) for each in mine] == [(CHANGE, "undone")] * 2


def test_someone_else_stops_it_by_its_id_or_by_undo(cluster: Cluster, route: Route) -> None:
    for stop in (lambda id: stop_experiments(cluster, id), lambda id: undo(id, cluster)):
        running = experiment(route, cluster)
        shared(running, 10)
        stop(running.id)
        assert weights(cluster, route) == {"v1": 100}
        assert running.look() == ()
        assert (running.over or "").startswith("stopped by ")


def test_the_next_takes_back_what_a_dead_process_left(cluster: Cluster, route: Route) -> None:
    dead = experiment(route, cluster)
    shared(dead, 10)
    dead._life.close()  # as 30 s after its death
    with experiment(route, cluster):
        assert weights(cluster, route) == {"v1": 100}
    dead.look()


def test_what_others_changed_since_is_left_to_them(cluster: Cluster, route: Route) -> None:
    running = experiment(route, cluster)
    shared(running, 10)
    theirs = [{"op": "replace", "path": "/spec/rules/0/backends/0/weight", "value": 60}]
    cluster.api.json_patch(ROUTE, "web", route.namespace, theirs, manager="ana")
    with pytest.raises(ManualActionRequired, match="Changed since by others"):
        running.close()
    assert weights(cluster, route)["v1"] == 60
    target = f"{route.namespace}/web"
    assert [each.id for each in open_experiments(cluster, target)] == [running.id]
    mine = [{"op": "replace", "path": "/spec/rules/0/backends/0/weight", "value": 90}]
    cluster.api.json_patch(ROUTE, "web", route.namespace, mine, manager="meshkit")
    running.close()
    assert weights(cluster, route) == {"v1": 100}
