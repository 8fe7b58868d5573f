"""Workloads without a sidecar: running ones only, without control planes and terminating pods."""

from __future__ import annotations

from typing import Any

from meshkit.observe.unmeshed_workloads import control_plane_of, unmeshed_workloads


def pod(name: str, *, image: str = "web:1", sidecar: str = "", phase: str = "Running", **meta: Any) -> Any:
    containers = [{"name": "main", "image": image}]
    if sidecar:
        containers.append({"name": sidecar, "image": "proxy:1"})
    owner = {"kind": "StatefulSet", "name": name}
    metadata = {"name": f"{name}-0", "namespace": "shop", "ownerReferences": [owner]} | meta
    return {"metadata": metadata, "spec": {"containers": containers}, "status": {"phase": phase}}


BATCH, ISTIO, LINKERD = pod("batch"), pod("web", sidecar="istio-proxy"), pod("api", sidecar="linkerd-proxy")


def test_a_sidecar_of_the_other_mesh_does_not_count() -> None:
    pods = [BATCH, ISTIO, LINKERD]
    assert unmeshed_workloads(pods) == ["shop/batch"]
    assert unmeshed_workloads(pods, "istio") == ["shop/api", "shop/batch"]


def test_no_control_plane_of_either_mesh_is_one() -> None:
    istiod = pod("istiod", image="hub/istio/pilot:1.31", namespace="istio-system")
    identity = pod("identity", labels={"linkerd.io/control-plane-component": "identity"}, namespace="linkerd")
    assert (control_plane_of(istiod), control_plane_of(identity)) == ("istio", "linkerd")
    assert control_plane_of(BATCH) == ""
    assert unmeshed_workloads([istiod, identity], "istio") == []


def test_one_that_has_ended_or_is_leaving_is_none() -> None:
    leaving = pod("old", deletionTimestamp="2026-01-01T00:00:00Z")
    assert (
        unmeshed_workloads([pod("job", phase="Succeeded"), leaving, pod("dns", namespace="kube-system")])
        == []
    )


def test_pods_of_the_ambient_mode_and_the_programs_on_nodes_are_not_outside() -> None:
    mode, captured = {"istio.io/dataplane-mode": "ambient"}, {"ambient.istio.io/redirection": "enabled"}
    shop = {"kind": "Namespace", "metadata": {"name": "shop", "labels": mode}}
    out = pod("out", labels={"istio.io/dataplane-mode": "none"})
    pods = [BATCH, out, pod("ztunnel", image="docker.io/istio/ztunnel:1.31.4", namespace="istio-system")]
    assert unmeshed_workloads(pods, "istio", [shop]) == ["shop/out"]
    assert unmeshed_workloads([pod("own", labels=mode), pod("seen", annotations=captured)], "istio") == []
