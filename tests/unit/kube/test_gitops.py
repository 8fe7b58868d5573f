"""Objects that Argo CD or Flux applies are recognized by what these tools write to them."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.kube.gitops import declared, owner_of, pointers

TRACKED = {"argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:shop/web"}
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
HELM = {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "shop"}


def route(
    labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, manager: str = "team"
) -> dict[str, Any]:
    fields = {"f:spec": {"f:http": {}}, "f:metadata": {"f:labels": {"f:a/b": {}}}}
    entries = [
        {"manager": manager, "operation": "Apply", "fieldsV1": fields},
        {"manager": manager, "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
    ]
    meta = {"name": "web", "namespace": "shop", "labels": labels or {}, "annotations": annotations or {}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {**meta, "managedFields": entries},
    }


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (route(annotations=TRACKED), "Argo CD (Application shop)"),
        (
            route({"app.kubernetes.io/instance": "shop"}, manager="argocd-controller"),
            "Argo CD (Application shop)",
        ),
        (route(manager="argocd-controller"), "Argo CD"),
        (route(FLUX), "Flux (Kustomization flux-system/apps)"),
        (route(HELM), "Flux (HelmRelease shop/shop)"),
        (route(manager="kustomize-controller"), "Flux"),
    ],
)
def test_a_tool_is_told_by_its_marks(obj: dict[str, Any], told: str) -> None:
    assert str(owner_of(obj)) == told


@pytest.mark.parametrize(
    "obj",
    [
        route(),
        route({"app.kubernetes.io/instance": "shop"}),  # charts set it for themselves
        route(annotations={"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}),  # copied
        route({**FLUX, "kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}),
        route(FLUX, {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}),
    ],
)
def test_others_objects_and_those_that_a_tool_leaves_alone_have_no_owner(obj: dict[str, Any]) -> None:
    assert owner_of(obj) is None


def test_declared_fields_are_those_of_the_tools_manager_without_status() -> None:
    obj = route(annotations=TRACKED, manager="argocd-controller")
    owner = owner_of(obj)
    assert owner is not None
    assert pointers(declared(obj, owner)) == ("/metadata/labels/a~1b", "/spec/http")
    assert declared(route(annotations=TRACKED), owner) == frozenset()


def test_an_item_of_a_list_is_named_by_the_list() -> None:
    paths = [("f:webhooks", 'k:{"name":"a"}', "f:failurePolicy"), ("f:webhooks", ".")]
    assert pointers(paths) == ("/webhooks",)
