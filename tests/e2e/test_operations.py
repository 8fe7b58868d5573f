"""Changes are selected by the fields of the journal, not by its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from meshkit.cluster.connect import Cluster, connect
from meshkit.cluster.journal import NAMESPACE, Operation
from meshkit.errors import BadInput
from meshkit.facts import Kind
from meshkit.kube.steps import Step
from meshkit.operations.change import apply, plan_steps
from meshkit.operations.plan import Plan
from meshkit.operations.setup.guide import Setup
from meshkit.operations.undo import undo
from meshkit.operations.upgrade.rollback import back_changes
from meshkit.testing import running_sandbox

CONFIG_MAP = Kind("v1", "ConfigMap")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_sandbox() as sandbox:
        yield connect(kubeconfig=sandbox.kubeconfig)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:50].strip("-")
    cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="test")
    return str(name)


def planned(cluster: Cluster, namespace: str, mesh: str = "istio", **data: str) -> Plan:
    """A plan that writes a ConfigMap."""
    settings: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "data": data}
    settings["metadata"] = {"name": f"settings-{mesh}", "namespace": namespace}
    return plan_steps([Step(settings)], cluster, Operation("apply", mesh), what="Route")


def test_a_change_that_only_speaks_of_an_upgrade_is_none(cluster: Cluster, namespace: str) -> None:
    apply(planned(cluster, namespace, price="2"), cluster, why="upgrade to the new price list")
    with pytest.raises(BadInput, match="the journal contains no upgrade"):
        back_changes(cluster)


def test_a_stage_of_one_mesh_is_not_undone_as_that_of_another(cluster: Cluster, namespace: str) -> None:
    istio, linkerd = (Setup(cluster, mesh, namespace) for mesh in ("istio", "linkerd"))
    made = istio.apply("control-plane", planned(cluster, namespace, a="1"))
    assert linkerd.undoable("control-plane") == ""
    with pytest.raises(BadInput, match="the journal contains no change of this stage"):
        linkerd.undo("control-plane")
    assert istio.undoable("control-plane") == made.id
    istio.undo("control-plane")
    assert cluster.api.get(CONFIG_MAP, "settings-istio", namespace) is None


def test_a_change_recorded_without_its_operation_is_undone_by_its_id_only(
    cluster: Cluster, namespace: str
) -> None:
    setup = Setup(cluster, "istio", namespace)
    made = setup.apply("injection", planned(cluster, namespace, a="1"))
    part = cluster.api.list(CONFIG_MAP, NAMESPACE, f"meshkit.dev/change={made.id}")[0]
    first = json.loads(part["data"]["000000"])
    older = {name: first[name] for name in ("event", "at", "who", "what", "why", "salt")}
    patch = {"data": {"000000": json.dumps(older)}}
    cluster.api.merge_patch(CONFIG_MAP, part["metadata"]["name"], NAMESPACE, patch)

    with pytest.raises(BadInput, match=rf"do not record their operation \({made.id}"):
        setup.undo("injection")
    undo(made.id, cluster)
    assert cluster.api.get(CONFIG_MAP, "settings-istio", namespace) is None
