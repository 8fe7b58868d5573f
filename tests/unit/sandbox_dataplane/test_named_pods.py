"""Pods that a headless Service names are addressed one by one, with the Service's routes and policy."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.named_pods import with_named_pods
from meshkit.meshes.model.outbound import Outbound
from meshkit.meshes.model.registry import Registry
from meshkit.sandbox.control_planes.registry import DATA_PLANES
from meshkit.sandbox.dataplane import validation
from meshkit.sandbox.dataplane.delivery import Desired


def pod(name: str, address: str) -> dict[str, Any]:
    container = {"name": "web", "ports": [{"containerPort": 8080}]}
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "kv"}, "uid": name},
        "spec": {"hostname": name, "subdomain": "kv", "containers": [container]},
        "status": {"podIP": address, "phase": "Running"},
    }


def registry(cluster_ip: str = "None") -> Registry:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    service = {
        "metadata": {"name": "kv", "namespace": "shop", "uid": "kv"},
        "spec": {"clusterIP": cluster_ip, "selector": {"app": "kv"}, "ports": ports},
    }
    pods = [pod("kv-0", "127.9.0.1"), pod("kv-1", "127.9.0.2")]
    endpoints = [
        {
            "addresses": [each["status"]["podIP"]],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": each["metadata"]["name"]},
        }
        for each in pods
    ]
    piece = {
        "metadata": {
            "name": "kv-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "kv"},
        },
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080}],
    }  # fmt: skip
    rule = {
        "metadata": {"name": "kv", "namespace": "shop"},
        "spec": {"host": "kv", "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}}},
    }
    return Registry(
        {"services": [service], "pods": pods, "endpointslices": [piece],
         "destinationrules": [rule]}
    )  # fmt: skip


def to_istio(found: Registry, namespace: str = "shop") -> Outbound:
    return with_named_pods(istio.outbound(found, Caller(namespace)), found, namespace)


def test_each_pod_has_its_own_names_and_one_endpoint() -> None:
    outbound = to_istio(registry())
    first = next(host for host in outbound.hosts if "kv-0.kv:80" in host.domains)
    assert {"kv-0.kv.shop", "kv-0.kv.shop.svc.cluster.local:80"} <= set(first.domains)
    (backend,) = first.routes[0].backends
    clusters = {each.name: each for each in outbound.clusters}
    assert [each.address for each in clusters[backend.cluster or ""].endpoints] == ["127.9.0.1"]
    assert clusters[backend.cluster or ""].outlier is not None
    whole = clusters["outbound|80||kv.shop.svc.cluster.local"]
    assert [each.address for each in whole.endpoints] == ["127.9.0.1", "127.9.0.2"]


def test_a_short_name_means_a_pod_only_within_the_namespace() -> None:
    domains = {each for host in to_istio(registry(), "other").hosts for each in host.domains}
    assert "kv-0.kv.shop:80" in domains
    assert "kv-0.kv:80" not in domains


def test_a_service_with_an_address_names_no_pods() -> None:
    domains = {each for host in to_istio(registry("10.96.0.9")).hosts for each in host.domains}
    assert not any(each.startswith("kv-0") for each in domains)


@pytest.mark.parametrize("mesh", ["istio", "linkerd"])
def test_the_proxy_accepts_the_configuration(mesh: str, tmp_path: Path) -> None:
    found = registry()
    meaning: Any = {"istio": istio, "linkerd": linkerd}[mesh]
    outbound = meaning.outbound(found, meaning.caller_of(found, found.of("pods")[0]))
    desired = Desired(with_named_pods(outbound, found, "shop"), ())
    assert asyncio.run(validation.refusal(desired, DATA_PLANES[mesh].style)) is None
