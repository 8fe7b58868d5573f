"""Which objects go with a mesh, in which order, and which do not."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.errors import BadInput
from meshkit.facts import Snapshot
from meshkit.meshes.removal import remaining_users, removal, sidecarless, unknown_writings

HOME = "istio-system"


def obj(
    kind: str, name: str, namespace: str | None = HOME, *, by: str = "meshkit", **body: Any
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "managedFields": [{"manager": by}]}
    if namespace:
        meta["namespace"] = namespace
    meta |= body.pop("metadata", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **body}


def release(name: str, chart: str, namespace: str = HOME, about: str = "istio") -> dict[str, Any]:
    return obj("Release", name, namespace, spec={"chart": {"name": chart, "keywords": [about]}})


def of_helm(name: str) -> dict[str, Any]:
    notes = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": HOME}
    return {"annotations": notes}


def hook(name: str, namespace: str = HOME) -> dict[str, Any]:
    webhooks = [{"name": "x", "clientConfig": {"service": {"name": "istiod", "namespace": namespace}}}]
    return obj("MutatingWebhookConfiguration", name, None, webhooks=webhooks)


def definition(name: str, group: str) -> dict[str, Any]:
    return obj("CustomResourceDefinition", name, None, spec={"group": group})


def pod(namespace: str, container: str = "istio-proxy") -> dict[str, Any]:
    return obj("Pod", "web-1", namespace, spec={"containers": [{"name": container}]})


def gone(*objects: dict[str, Any], definitions: bool = False) -> list[str]:
    return [step.title for step in removal(Snapshot(objects), "istio", HOME, definitions=definitions)]


def test_webhooks_go_first_then_workloads_then_what_they_write_then_the_namespace() -> None:
    found = gone(
        obj("Namespace", HOME, None),
        obj("ServiceAccount", "istiod"),
        obj("Secret", "istio-ca-secret", by="pilot-discovery"),
        obj("Deployment", "istiod"),
        hook("istio-sidecar-injector"),
    )
    assert [title.split()[0] for title in found] == [
        "MutatingWebhookConfiguration",
        "Deployment",
        "Secret",
        "ServiceAccount",
        "Namespace",
    ]


def test_what_others_made_stays() -> None:
    assert not gone(
        hook("cert-manager", "cert-manager"),
        obj("Deployment", "kiali", by="helm"),
        obj("ConfigMap", "settings", "shop", by="kubectl"),
        obj("Namespace", "shop", None),
        definition("x.example.com", "example.com"),
        definition("x.notistio.io", "notistio.io"),
        definition("virtualservices.networking.istio.io", "networking.istio.io"),
    )


def test_definitions_go_when_asked_for_and_last() -> None:
    of_istio = definition("virtualservices.networking.istio.io", "networking.istio.io")
    assert gone(of_istio, obj("Namespace", HOME, None), definitions=True)[-1].startswith("CustomResource")


def test_releases_go_from_the_gateway_to_the_base_and_take_their_objects() -> None:
    found = gone(
        release("istio-base", "base"),
        release("other-base", "base", about="unrelated"),
        release("istiod", "istiod"),
        release("ingress", "gateway", "istio-ingress"),
        {**hook("istio-sidecar-injector"), "metadata": {"name": "h", **of_helm("istiod")}},
        obj("Deployment", "istiod", metadata=of_helm("istiod"), by="helm"),
    )
    assert found == [
        "Release istio-ingress/ingress",
        "Release istio-system/istiod",
        "Release istio-system/istio-base",
    ]


def test_the_release_of_linkerds_definitions_goes_only_with_them() -> None:
    crds = release("linkerd-crds", "linkerd-crds", "linkerd", about="linkerd")
    assert not removal(Snapshot((crds,)), "linkerd", "linkerd", definitions=False)
    assert removal(Snapshot((crds,)), "linkerd", "linkerd", definitions=True)


def test_a_control_plane_of_another_installer_is_refused() -> None:
    other = obj("Deployment", "istiod", by="istio-operator", metadata={"labels": {"app": "istiod"}})
    with pytest.raises(BadInput, match="installed neither by meshkit nor by Helm"):
        gone(other)


def test_roots_stay_where_sidecars_have_them_mounted() -> None:
    roots = [obj("ConfigMap", "istio-ca-root-cert", name, by="istiod") for name in ("shop", "idle")]
    assert gone(*roots, pod("shop")) == ["ConfigMap idle/istio-ca-root-cert"]


def test_what_the_control_plane_renews_goes_in_whatever_state_it_then_is() -> None:
    found = removal(
        Snapshot(
            (
                obj("ConfigMap", "istio-leader", by="pilot-discovery"),
                obj("ConfigMap", "istio-ip-autoallocate", by="pilot-discovery"),
                obj("ConfigMap", "istio-ca-crl", by="pilot-discovery"),
                obj("ConfigMap", "istio-ca-crl", "shop", by="pilot-discovery"),
                obj("ConfigMap", "istio"),
            )
        ),
        "istio",
        HOME,
        definitions=False,
    )
    assert {step.title: step.renewed for step in found} == {
        "ConfigMap istio-system/istio-leader": True,
        "ConfigMap istio-system/istio-ip-autoallocate": True,
        "ConfigMap istio-system/istio-ca-crl": True,
        "ConfigMap shop/istio-ca-crl": True,
        "ConfigMap istio-system/istio": False,
    }


def test_what_the_control_plane_wrote_and_meshkit_does_not_know_is_listed() -> None:
    new = [obj("ConfigMap", "istio-news", name, by="pilot-discovery") for name in (HOME, "shop")]
    known = obj("ConfigMap", "istio-leader", by="pilot-discovery")
    lease = obj("Lease", "istio-status-leader", by="pilot-discovery")
    found = list(
        unknown_writings(Snapshot((*new, known, lease, obj("ConfigMap", "x", by="kubectl"))), "istio", HOME)
    )
    assert [(one.code, one.object) for one in found] == [("MK0316", "ConfigMap istio-system/istio-news")]
    assert "There is one in 2 namespaces." in found[0].message


def test_who_still_needs_the_mesh_is_named() -> None:
    asking = obj("Namespace", "blog", None, metadata={"labels": {"istio-injection": "enabled"}})
    found = remaining_users(Snapshot((pod("shop"), pod("plain", "web"), asking)), "istio", {HOME})
    assert [(one.code, one.object) for one in found] == [
        ("MK0312", "Namespace shop"),
        ("MK0313", "Namespace blog"),
    ]


def test_pods_of_the_ambient_mode_still_need_the_mesh() -> None:
    labels = {"labels": {"istio.io/dataplane-mode": "ambient"}}
    seen = Snapshot((obj("Namespace", "shop", None, metadata=labels), pod("shop", "web")))
    assert sidecarless(seen, "istio", {HOME}) == {"shop": 1}
    (found,) = remaining_users(seen, "istio", {HOME})
    assert (found.code, found.object) == ("MK0312", "Namespace shop")


def test_the_release_of_ztunnel_goes_before_the_control_plane() -> None:
    assert gone(release("istiod", "istiod"), release("ztunnel", "ztunnel"))[:2] == [
        f"Release {HOME}/ztunnel",
        f"Release {HOME}/istiod",
    ]
