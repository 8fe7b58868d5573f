"""Where a part of the cluster may not be read, only what the rest proves is found."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import pytest
import yaml

from meshkit.checks.partial import findings_of_some
from meshkit.cluster.connect import Cluster
from meshkit.errors import Forbidden, UnknownName
from meshkit.facts import Kind, Snapshot
from meshkit.meshes.view import View
from meshkit.operations.health import check
from tests.unit.meshes.meshed import service, sidecar, virtual_service

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ELSEWHERE = {"host": "ledger.billing.svc.cluster.local"}


def found(*unread: str, objects: tuple[Any, ...] = ()) -> set[str]:
    route = virtual_service("web", "web", [{"route": [{"destination": ELSEWHERE}]}])
    listed = (service("web", 8080), sidecar("istio"), route, *objects)
    seen = View(Snapshot(listed, unread), "istio", NOW)
    return {each.code for each in findings_of_some(seen, ("shop",))}


def test_a_host_of_a_namespace_that_was_not_read_may_exist() -> None:
    assert found("Service outside shop", "Pod outside shop") == {"MK1409"}


def test_a_host_that_no_service_of_the_cluster_has_does_not_exist() -> None:
    assert found("Pod outside shop", "Node") == {"MK1409", "MK0220"}


def nowhere() -> dict[str, Any]:
    made = service("metrics", 9100)
    made["spec"] = {
        "selector": {"app": "client"},
        "ports": [{"name": "http", "port": 9100, "targetPort": "m"}],
    }
    return made


@pytest.mark.parametrize(("pods", "codes"), [("Pod outside shop", {"MK0904"}), ("Pod", set())])
def test_a_missing_port_is_proven_by_the_pods_of_the_namespace(pods: str, codes: set[str]) -> None:
    client = sidecar("istio")
    client["metadata"]["labels"] = {"app": "client"}
    assert found("Service outside shop", pods, objects=(nowhere(), client)) == {"MK1409", *codes}


AMBIENT = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  labels: {istio.io/use-waypoint: shared, istio.io/use-waypoint-namespace: edge}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a, containers: [{name: web, image: "gcr.io/istio-release/app:1"}]}
status: {phase: Running}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: at-waypoint, namespace: shop}
spec: {targetRefs: [{kind: Service, group: "", name: web}], rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web, port: {number: 8080}}}]}]}
"""
OF_AMBIENT = tuple(yaml.safe_load_all(AMBIENT))


def test_what_the_ambient_mode_ignores_is_proven_inside_and_a_waypoint_of_elsewhere_may_exist() -> None:
    everywhere = View(Snapshot(OF_AMBIENT, ("Node",)), "istio", NOW)
    inside = {"MK1208", "MK2101", "MK2104", "MK2106"}
    of_waypoints = {"MK2102", "MK2103", "MK2105"}
    assert {each.code for each in findings_of_some(everywhere, ("shop",))} >= inside | of_waypoints
    assert found("Gateway outside shop", objects=OF_AMBIENT) & {*inside, *of_waypoints} == inside


class Api:
    """Answers lists of one namespace, and of the whole cluster only for kinds that are in no namespace."""

    def list(self, kind: Kind, namespace: str | None = None, labels: str | None = None) -> list[Any]:
        if namespace != "shop" and kind.kind != "Namespace":
            raise Forbidden("may not list these.", remedy="Ask for the right.", status=403)
        return [item for item in OF_AMBIENT if item["kind"] == kind.kind]


def test_a_move_names_what_was_not_read_and_holds_whatever_exists_there() -> None:
    cluster = Cluster("prod", "https://prod:6443", cast(Any, Api()))
    codes = {each.code for each in check(cluster, mesh="istio", namespaces=["shop"], to_ambient="shop")}
    assert codes == {"MK1409", "MK2201"}


@pytest.mark.parametrize("namespaces", [["legacy"], ["shop", "legacy"]])
def test_a_namespace_that_cannot_be_read_is_an_error_and_not_a_check_without_findings(
    namespaces: list[str],
) -> None:
    class WithLegacy(Api):
        def list(self, kind: Kind, namespace: str | None = None, labels: str | None = None) -> list[Any]:
            legacy = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "legacy"}}]
            return [*super().list(kind, namespace, labels), *(legacy if kind.kind == "Namespace" else ())]

    cluster = Cluster("prod", "https://prod:6443", cast(Any, WithLegacy()))
    with pytest.raises(Forbidden, match="namespace legacy"):
        check(cluster, mesh="istio", namespaces=namespaces)


@pytest.mark.parametrize("to_ambient", ["shop", False])
def test_a_namespace_that_does_not_exist_is_an_error_and_not_a_healthy_one(to_ambient: str | bool) -> None:
    cluster = Cluster("prod", "https://prod:6443", cast(Any, Api()))
    with pytest.raises(UnknownName, match=r"namespace: 'shp' is not known\. Did you mean 'shop'"):
        check(cluster, mesh="istio", namespaces=["shp"], to_ambient=to_ambient)
