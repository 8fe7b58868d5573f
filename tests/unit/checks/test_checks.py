"""Findings before a plan: the problems of an intent in this cluster, each with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.checks.planned import preflight, schema
from meshkit.facts import Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route, Version


def node(zone: str, runtime: str = "meshkit://1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": zone, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"nodeInfo": {"containerRuntimeVersion": runtime}},
    }


def service(port: int = 80) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ports": [{"port": port}]},
    }


def pod(version: str, **more: str) -> dict[str, Any]:
    labels = {"app": "web", "version": version}
    return {"kind": "Pod", "metadata": {"name": version, "namespace": "shop", "labels": labels, **more}}


def route(**split: float) -> Route:
    versions = (Version(name="v1"), Version(name="v2"))
    return Route(
        namespace="shop", service="web", port=80, versions=versions, split=split or {"v1": 90, "v2": 10}
    )


def virtual_service(name: str, host: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": "web"}}]}]},
    }


ZONES = (node("a"), node("b"), node("c"))
SHOP: tuple[Object, ...] = (service(), pod("v1"), pod("v2"))


@pytest.mark.parametrize(
    ("intent", "objects", "codes"),
    [
        (ControlPlane(), ZONES, []),
        (ControlPlane(), (node("a", "containerd://2.1"),), ["MK0101 error"]),
        (ControlPlane(), (), ["MK0101 error"]),
        (ControlPlane(), ZONES[:2], ["MK0102 error"]),
        (ControlPlane(zones=2), ZONES[:2], []),
        (ControlPlane(charts="published"), (node("a", "containerd://2.1"),), ["MK0102 error"]),
        (ControlPlane(replicas=2), ZONES, ["MK0103 warning"]),
        (ControlPlane(replicas=1, zones=1), ZONES, ["MK0105 warning"]),
        (Injection(namespace="shop"), (), ["MK0104 error"]),
        (MutualTLS(mode="strict", namespace="shop"), (), ["MK0104 error"]),
        (MutualTLS(mode="strict"), (), []),
        (route(), SHOP, []),
        (route(), (pod("v1"), pod("v2")), ["MK0201 error"]),
        (route(), (service(81), pod("v1"), pod("v2")), ["MK0202 error"]),
        (route(), (service(), pod("v1")), ["MK0203 error"]),
        (route(v1=100), (service(), pod("v1")), ["MK0203 warning"]),
        (route(), (service(), pod("v1"), pod("v2", deletionTimestamp="now")), ["MK0203 error"]),
        (route(), (*SHOP, virtual_service("web", "web")), []),
        (route(), (*SHOP, virtual_service("old", "web.shop.svc.cluster.local")), ["MK0204 error"]),
    ],
)
def test_findings(intent: Intent, objects: tuple[Object, ...], codes: list[str]) -> None:
    findings = preflight.check([intent], Snapshot(objects), "istio")
    assert [f"{finding.code} {finding.severity}" for finding in findings] == codes
    assert all(finding.remedy for finding in findings)


def test_two_routes_for_one_service_are_refused() -> None:
    findings = preflight.check([route(), route()], Snapshot(SHOP), "istio")
    assert [finding.code for finding in findings] == ["MK0205"]


DEFINITION = {
    "spec": {
        "versions": [
            {
                "name": "v1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["host"],
                                "properties": {
                                    "host": {"type": "string"},
                                    "mode": {"type": "string", "enum": ["A", "B"]},
                                    "weights": {"type": "array", "items": {"type": "integer"}},
                                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "port": {"x-kubernetes-int-or-string": True},
                                },
                            }
                        },
                    }
                },
            }
        ]
    }
}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"host": "web", "any": {"x": 1}, "labels": {"a": "b"}, "port": "http", "weights": [1]}, ()),
        ({}, ("spec.host: is missing",)),
        ({"host": 1}, ("spec.host: is not a string",)),
        ({"host": "web", "weights": [1, "2"]}, ("spec.weights[1]: is not an integer",)),
        ({"host": "web", "weights": [True]}, ("spec.weights[0]: is not an integer",)),
        ({"host": "web", "mode": "C"}, ("spec.mode: 'C' is not one of A, B",)),
        ({"host": "web", "labels": {"a": 1}}, ("spec.labels.a: is not a string",)),
        ({"host": "web", "hots": "web"}, ("spec.hots: is not a known field",)),
    ],
)
def test_schema(spec: dict[str, Any], found: tuple[str, ...]) -> None:
    assert (
        schema.problems({"apiVersion": "x/v1", "kind": "X", "metadata": {}, "spec": spec}, DEFINITION)
        == found
    )


def test_schema_of_a_version_that_is_not_served() -> None:
    obj = {"apiVersion": "x/v2", "kind": "X", "metadata": {}}
    assert schema.problems(obj, DEFINITION) == ("apiVersion: v2 is not served, only v1",)
