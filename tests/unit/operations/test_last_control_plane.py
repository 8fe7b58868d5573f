"""An undo that removes the last control plane is refused while pods run the mesh's sidecar."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshkit.cluster.connect import Cluster
from meshkit.cluster.undo import restorations
from meshkit.errors import BadInput, Forbidden
from meshkit.facts import Kind
from meshkit.operations.uninstall import require_control_plane_unused
from tests.unit.meshes.injected_objects import pod

COMPONENT = {"istio": {"app": "istiod"}, "linkerd": {"linkerd.io/control-plane-component": "destination"}}


def component(mesh: str, name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": f"{mesh}-system", "labels": COMPONENT[mesh]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta}


def cluster(*objects: dict[str, Any]) -> Cluster:
    def listed(kind: Kind, namespace: str | None = None, labels: str | None = None) -> list[dict[str, Any]]:
        found = [each for each in objects if each["kind"] == kind.kind]
        key = (labels or "").partition(" in ")[0]
        return [each for each in found if not key or key in (each["metadata"].get("labels") or {})]

    return Cluster("prod", "https://prod:6443", cast(Any, SimpleNamespace(list=listed)))


def undone(*deployments: dict[str, Any], prior: dict[str, Any] | None = None) -> Any:
    """The restorations of a change that created these Deployments, or changed them from ``prior``."""
    records = [
        {
            "event": "step",
            "index": index,
            "api_version": "apps/v1",
            "kind": "Deployment",
            "name": each["metadata"]["name"],
            "namespace": each["metadata"]["namespace"],
            "prior": prior,
            "after": "hash",
            "manager": "meshkit",
            "wait": None,
        }
        for index, each in enumerate(deployments)
    ]
    return restorations(cast(Any, None), [{"event": "begin", "salt": ""}, *records])


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_pods_would_lose_their_control_plane(mesh: str) -> None:
    one = component(mesh, "one")
    with pytest.raises(BadInput, match=r"still run its sidecar, in shop \(1\)\. Undo their injection first"):
        require_control_plane_unused(cluster(one, pod(1, f"{mesh}-proxy"), pod(2)), undone(one))


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_another_control_plane_earlier_content_or_no_sidecar_is_no_loss(mesh: str) -> None:
    one, other, user = component(mesh, "one"), component(mesh, "other"), pod(1, f"{mesh}-proxy")
    require_control_plane_unused(cluster(one, other, user), undone(one))
    require_control_plane_unused(cluster(one, user), undone(one, prior=one))
    require_control_plane_unused(cluster(one, pod(1)), undone(one))


def test_an_account_that_may_not_look_is_not_asked_for_more() -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise Forbidden("may not list Deployments.", remedy="", status=403)

    api: Any = SimpleNamespace(list=refuse)
    require_control_plane_unused(Cluster("prod", "https://prod", api), undone(component("istio", "one")))
