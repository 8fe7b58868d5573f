"""The effective configuration of a Snapshot's pods."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Kind, Snapshot
from meshkit.meshes import registry
from meshkit.meshes.effective import Effective
from meshkit.meshes.model.registry import Registry, resource_names

SIDECAR = {"istio": "istio-proxy", "linkerd": "linkerd-proxy"}


def pod(name: str, mesh: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app"}, {"name": SIDECAR[mesh]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}]},
}


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_pods_that_are_equal_to_a_mesh_share_one_configuration(mesh: str) -> None:
    found = registry.mesh(mesh)
    objects = (SERVICE, pod("a", mesh), pod("b", mesh))
    effective = Effective(Snapshot(objects), mesh, found.meaning, found.control_plane.home)
    ((caller, pods),) = effective.callers.items()
    assert [each["metadata"]["name"] for each in pods] == ["a", "b"]
    outbound = effective.outbound(caller)
    assert outbound is effective.outbound(caller)
    assert ("web.shop.svc.cluster.local", 8080) in {(host.service, host.port) for host in outbound.hosts}


def test_an_object_counts_by_its_group_and_kind() -> None:
    kinds = {
        "httproutes": Kind("gateway.networking.k8s.io/v1", "HTTPRoute"),
        "httproutes.policy": Kind("policy.linkerd.io/v1beta3", "HTTPRoute"),
        "configmaps": Kind("v1", "ConfigMap"),
    }
    assert resource_names(kinds) == (
        "httproutes.gateway.networking.k8s.io",
        "httproutes.v1beta3.policy.linkerd.io",
        "configmaps",
    )
    objects = [
        {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        for version, kind, name, namespace in (
            ("gateway.networking.k8s.io/v1beta1", "HTTPRoute", "gateway", "shop"),
            ("policy.linkerd.io/v1beta3", "HTTPRoute", "policy", "shop"),
            ("v1", "ConfigMap", "mesh", "linkerd"),
            ("v1", "ConfigMap", "settings", "shop"),
            ("v1", "Secret", "login", "shop"),
        )
    ]
    indexed = Registry.reading(objects, kinds, "linkerd")
    names = {resource: [each["metadata"]["name"] for each in indexed.of(resource)] for resource in kinds}
    assert names == {"httproutes": ["gateway"], "httproutes.policy": ["policy"], "configmaps": ["mesh"]}
