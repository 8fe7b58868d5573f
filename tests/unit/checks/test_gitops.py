"""What Argo CD or Flux would take back is found, with the tool's setting as YAML in the remedy."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from meshkit.checks import gitops
from meshkit.checks.health import findings
from meshkit.facts import Finding, Snapshot
from meshkit.intent.release import Release
from meshkit.meshes.istio.planner import PLANNER
from meshkit.meshes.view import View
from tests.unit.checks.meshes import NOW, istio, shop

ROUTE_FIELDS = {"f:spec": {"f:hosts": {}, "f:http": {}}}
ARGO = {"argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:shop/web"}
KUSTOMIZE = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}
HELM = {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "shop"}


def entry(manager: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"manager": manager, "operation": "Apply", "fieldsV1": fields}


def route(*entries: dict[str, Any], labels: Any = None, annotations: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "labels": labels or {},
            "annotations": annotations or {},
            "managedFields": list(entries),
        },
        "spec": {"hosts": ["web"], "http": []},
    }


def found(*objects: dict[str, Any]) -> list[Finding]:
    return list(gitops.check(View(Snapshot(objects), "istio", NOW)))


def setting(finding: Finding) -> Any:
    """The tool's setting, which stands in the remedy as YAML on one line."""
    text = re.search(r"\{spec: .*\}", finding.remedy)
    assert text, finding.remedy
    return yaml.safe_load(text[0])["spec"]


def test_fields_that_both_own_are_found_with_argo_cds_setting() -> None:
    both = route(entry("meshkit", ROUTE_FIELDS), entry("argocd-controller", ROUTE_FIELDS), annotations=ARGO)
    (one,) = found(both)
    assert (one.code, one.severity, one.object) == ("MK2401", "warning", "VirtualService shop/web")
    assert (
        "Argo CD (Application shop) applies it from Git, and meshkit writes /spec/hosts, /spec/http."
        in one.message
    )
    assert setting(one) == {
        "ignoreDifferences": [
            {
                "group": "networking.istio.io",
                "kind": "VirtualService",
                "namespace": "shop",
                "name": "web",
                "managedFieldsManagers": ["meshkit", "meshkit-release"],
            }
        ],
        "syncPolicy": {"syncOptions": ["RespectIgnoreDifferences=true"]},
    }


def test_with_flux_the_paths_are_ignored() -> None:
    owned = (entry("meshkit", ROUTE_FIELDS), entry("kustomize-controller", {"f:spec": {"f:http": {}}}))
    (one,) = found(route(*owned, labels=KUSTOMIZE))
    target = {"kind": "VirtualService", "namespace": "shop", "name": "web"}
    assert setting(one) == {"ignore": [{"paths": ["/spec/http"], "target": target}]}
    assert "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent" in one.remedy
    (two,) = found(route(entry("meshkit", ROUTE_FIELDS), entry("helm-controller", ROUTE_FIELDS), labels=HELM))
    assert two.severity == "info"
    assert setting(two)["driftDetection"]["ignore"][0]["paths"] == ["/spec/hosts", "/spec/http"]


@pytest.mark.parametrize(
    "obj",
    [
        route(entry("meshkit", ROUTE_FIELDS)),
        route(entry("argocd-controller", ROUTE_FIELDS), annotations=ARGO),
        route(
            entry("argocd-controller", ROUTE_FIELDS),
            entry("meshkit-injection", {"f:metadata": {"f:labels": {"f:a": {}}}}),
            annotations=ARGO,
        ),
        route(
            entry("meshkit", ROUTE_FIELDS),
            entry("kustomize-controller", ROUTE_FIELDS),
            labels={**KUSTOMIZE, "kustomize.toolkit.fluxcd.io/ssa": "Ignore"},
        ),
    ],
)
def test_what_one_of_them_owns_alone_is_no_finding(obj: dict[str, Any]) -> None:
    assert found(obj) == []


def test_where_the_tools_fields_are_not_known_those_of_a_whole_object_are_told() -> None:
    (one,) = found(route(entry("meshkit", ROUTE_FIELDS), annotations=ARGO))
    assert "/spec/http" in one.message
    assert found(route(entry("meshkit-restart", ROUTE_FIELDS), annotations=ARGO)) == []


def webhook(**meta: Any) -> dict[str, Any]:
    written = {
        "f:webhooks": {'k:{"name":"a"}': {"f:failurePolicy": {}, "f:clientConfig": {"f:caBundle": {}}}}
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": "istio-validator",
            "managedFields": [entry("pilot-discovery", written)],
            **meta,
        },
        "webhooks": [{"name": "a", "clientConfig": {}}],
    }


def test_webhooks_that_the_control_plane_writes_are_found() -> None:
    tracked = "mesh:admissionregistration.k8s.io/ValidatingWebhookConfiguration:/istio-validator"
    (one,) = found(webhook(annotations={"argocd.argoproj.io/tracking-id": tracked}))
    assert (one.code, one.object) == ("MK2403", "ValidatingWebhookConfiguration istio-validator")
    assert "(pilot-discovery) writes caBundle and failurePolicy of its webhooks" in one.message
    (rule,) = setting(one)["ignoreDifferences"]
    assert rule["managedFieldsManagers"] == ["pilot-discovery"]
    (two,) = found(webhook(labels=KUSTOMIZE))
    paths = ["/webhooks/0/clientConfig/caBundle", "/webhooks/0/failurePolicy"]
    assert setting(two)["ignore"][0]["paths"] == paths
    assert found(webhook()) == []


def test_a_release_is_told_which_weights_to_ignore() -> None:
    release = Release(name="r", namespace="shop", service="web", port=8080, stable="v1", canary="v2")
    at = PLANNER.weighted_route(release)
    (one,) = gitops.of_release(route(annotations=ARGO), at)
    assert one.code == "MK2402"
    (rule,) = setting(one)["ignoreDifferences"]
    assert rule["jqPathExpressions"] == [".spec.http[].route[].weight"]
    assert "Write the new weights to Git after the promotion." in one.remedy
    (two,) = gitops.of_release(route(labels=KUSTOMIZE), at)
    assert setting(two)["ignore"][0]["paths"] == ["/spec/http"]
    assert list(gitops.of_release(route(), at)) == []


def test_a_change_that_takes_fields_from_a_tool_is_told() -> None:
    (one,) = gitops.of_change(route(annotations=ARGO), {"argocd-controller"})
    assert (one.code, "Change it in Git instead" in one.remedy) == ("MK2401", True)
    assert list(gitops.of_change(route(annotations=ARGO), {"team"})) == []
    assert list(gitops.of_change(route(), {"argocd-controller"})) == []


def test_the_check_of_a_mesh_has_them() -> None:
    both = route(entry("meshkit", ROUTE_FIELDS), entry("argocd-controller", ROUTE_FIELDS), annotations=ARGO)
    view = View(Snapshot((*istio(), *shop("istio"), both)), "istio", NOW)
    assert "MK2401" in {each.code for each in findings(view)}
