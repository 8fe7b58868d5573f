"""What Helm needs for the objects of charts: in their own namespaces, and of kinds that one chart defines."""

from __future__ import annotations

from typing import Any, cast

from meshkit.cluster.api import Api, Resource
from meshkit.cluster.rights import Right, of_charts
from meshkit.facts import Kind

SERVED = {
    Kind("v1", "Service"): Resource("services", True),
    Kind("apps/v1", "Deployment"): Resource("deployments", True),
    Kind("rbac.authorization.k8s.io/v1", "ClusterRole"): Resource("clusterroles", False),
    Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"): Resource("customresourcedefinitions", False),
}


class FakeApi:
    """A server that serves the kinds above."""

    def resource(self, kind: Kind) -> Resource | None:
        return SERVED.get(kind)


def asked(*charts: tuple[str, list[dict[str, Any]]]) -> set[Right]:
    return of_charts(cast(Api, FakeApi()), charts)


def obj(api_version: str, kind: str, namespace: str = "", **body: Any) -> dict[str, Any]:
    meta = {"name": "one", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}


def definition(scope: str) -> dict[str, Any]:
    names = {"kind": "Telemetry", "plural": "telemetries"}
    spec = {"group": "telemetry.istio.io", "scope": scope, "names": names, "versions": [{"name": "v1"}]}
    return obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec=spec)


def places(rights: set[Right], resource: str) -> set[str | None]:
    return {right.namespace for right in rights if right.resource == resource and right.verb == "patch"}


def test_an_object_is_asked_for_where_it_goes() -> None:
    role = obj("rbac.authorization.k8s.io/v1", "ClusterRole", "istio-system")
    found = asked(("istio-system", [obj("v1", "Service"), obj("v1", "Service", "kube-system"), role]))
    assert places(found, "services") == {"istio-system", "kube-system"}
    assert places(found, "clusterroles") == {None}


def test_helms_records_are_asked_for_in_the_namespace_of_the_release() -> None:
    found = asked(("istio-system", []), ("ingress", []))
    assert {(right.verb, right.namespace) for right in found if right.resource == "secrets"} == {
        (verb, home)
        for verb in ("get", "list", "create", "update", "delete")
        for home in ("istio-system", "ingress")
    }


def test_a_kind_that_an_earlier_chart_defines_is_asked_for_before_it_is_served() -> None:
    telemetry = obj("telemetry.istio.io/v1", "Telemetry")
    for scope, where in (("Namespaced", "istio-system"), ("Cluster", None)):
        found = asked(("base", [definition(scope)]), ("istio-system", [telemetry]))
        assert places(found, "telemetries") == {where}


def test_a_kind_that_nobody_knows_is_left_to_the_server() -> None:
    assert asked(("a", [obj("example.com/v1", "Unheard")])) == asked(("a", []))


def test_a_deployment_is_waited_for_by_its_replica_sets() -> None:
    found = asked(("a", [obj("apps/v1", "Deployment")]))
    assert {Right("list", "apps", "replicasets", "a"), Right("watch", "apps", "deployments", "a")} <= found
