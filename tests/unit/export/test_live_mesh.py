"""The mesh's objects of a cluster as YAML: only what a person declares, and no Secret."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshkit.errors import Forbidden, UnknownName
from meshkit.meshes import registry
from meshkit.operations.export.live_mesh import MeshExport, export_mesh
from tests.unit.operations.explained import ISTIO, LINKERD, WORKLOADS, Api, cluster, objects

SERVER_FIELDS = {
    "uid": "1-2-3",
    "resourceVersion": "17",
    "generation": 3,
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "managedFields": [{"manager": "team", "operation": "Apply", "fieldsV1": {"f:spec": {}}}],
    "selfLink": "/x",
}
NOTES = {
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
    "argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:shop/web",
    "team": "web",
}
MORE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: shop-tls}
    hosts: [a]
---
apiVersion: v1
kind: Secret
metadata: {name: shop-tls, namespace: shop}
data: {tls.key: aHVudGVyMg==}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop, managedFields: [{manager: pilot-discovery, fieldsV1: {}}]}
spec: {address: 10.0.0.1}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: made, namespace: shop, ownerReferences: [{kind: Canary, name: web}]}
spec: {parentRefs: [{group: "", kind: Service, name: web}]}
"""


def served(there: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects as a server returns them."""
    for each in there:
        each["metadata"] = {**SERVER_FIELDS, "annotations": dict(NOTES), **each["metadata"]}
        each["status"] = {"conditions": []}
    return there


def export(mesh: str, *texts: str, namespaces: tuple[str, ...] = (), api: Api | None = None) -> MeshExport:
    return export_mesh(cluster(api or Api(served(objects(mesh, *texts))), mesh), namespaces)


def documents(found: MeshExport) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(found.yaml) if each]


def test_only_what_a_person_declares_is_written() -> None:
    found = documents(export("istio", WORKLOADS, ISTIO))
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [
        ("Namespace", "shop"),
        ("AuthorizationPolicy", "no-admin"),
        ("DestinationRule", "web"),
        ("PeerAuthentication", "default"),
        ("VirtualService", "web"),
    ]
    written = next(yaml.safe_load_all(ISTIO.split("---\n")[2]))
    route = found[-1]
    assert route["spec"] == written["spec"]
    assert route["metadata"] == {"name": "web", "namespace": "shop", "annotations": {"team": "web"}}
    assert list(route) == ["apiVersion", "kind", "metadata", "spec"]


def test_a_namespace_has_what_the_mesh_reads_and_nothing_else() -> None:
    found = documents(
        export(
            "linkerd",
            WORKLOADS,
            LINKERD.replace("metadata: {name: shop,", "metadata: {name: shop, labels: {team: a},"),
        )
    )
    assert found[0] == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "annotations": {"linkerd.io/inject": "enabled"}},
    }


def test_secrets_and_objects_of_controllers_are_left_out_and_named() -> None:
    found = export("istio", WORKLOADS, ISTIO, MORE)
    assert "aHVudGVyMg" not in found.yaml
    assert all(each["kind"] not in ("Secret", "WorkloadEntry", "HTTPRoute") for each in documents(found))
    told = "\n".join(found.left_out)
    assert "Secret shop-tls, to which Gateway shop/edge refers" in told
    assert "WorkloadEntry shop/vm, which the control plane writes." in told
    assert "HTTPRoute shop/made, which Canary web owns." in told
    assert all(f"# left out: {text}" in found.yaml for text in found.left_out)


def test_an_object_of_a_gitops_tool_is_told() -> None:
    text = export("istio", WORKLOADS, ISTIO).yaml
    assert (
        "# Argo CD (Application shop) applies it from Git already.\napiVersion: networking.istio.io" in text
    )


def test_namespaces_can_be_chosen_and_must_exist() -> None:
    found = export("istio", WORKLOADS, ISTIO, ISTIO.replace("shop", "other"), namespaces=("other",))
    assert found.objects[0]["metadata"]["name"] == "other"
    assert {each["metadata"].get("namespace") for each in found.objects} == {None, "other"}
    with pytest.raises(UnknownName, match="shpo"):
        export("istio", WORKLOADS, ISTIO, namespaces=("shpo",))


def test_what_may_not_be_read_is_named() -> None:
    api = Api(served(objects("istio", WORKLOADS, ISTIO)), refused=("AuthorizationPolicy",))
    found = export("istio", api=api)
    assert found.not_read == ("AuthorizationPolicy",)
    assert "# not read: AuthorizationPolicy" in found.yaml
    assert found.as_record()["not_read"] == ["AuthorizationPolicy"]


def test_an_account_that_may_read_nothing_gets_no_empty_export() -> None:
    every = {str(each["kind"]) for each in objects("istio", WORKLOADS, ISTIO)}
    kinds = {kind.kind for kind in registry.mesh("istio").own_kinds}
    api = Api(served(objects("istio", WORKLOADS, ISTIO)), refused=tuple(every | kinds))
    with pytest.raises(Forbidden, match="nothing was read"):
        export("istio", api=api)
