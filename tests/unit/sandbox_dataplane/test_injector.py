"""Who gets a sidecar, and what the patch adds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshkit.meshes.model.pods import DEFAULT_REVISION, obeys
from meshkit.sandbox.control_planes import injector
from meshkit.sandbox.control_planes.injector import Injector, Patch
from meshkit.sandbox.control_planes.istio.data_plane import DATA_PLANE
from meshkit.sandbox.control_planes.istio.injector import inject as istio
from meshkit.sandbox.control_planes.linkerd.injector import annotate
from meshkit.sandbox.control_planes.linkerd.injector import inject as linkerd


def pod(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    meta = {"generateName": "web-v1-6f-", "labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": meta, "spec": {"containers": [{"name": "app"}]}}


def namespace(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "shop", "annotations": annotations}}


def patch_for(
    mesh: str,
    made: dict[str, Any],
    where: dict[str, Any],
    version: str,
    *,
    revision: str = DEFAULT_REVISION,
) -> Patch:
    inject = {"istio": istio, "linkerd": linkerd}[mesh]
    return injector.patch_for(inject, made, where, Injector(version, revision))


INJECTED = {"linkerd.io/inject": "enabled"}


def test_istio_adds_a_native_sidecar_and_its_labels() -> None:
    patch = patch_for("istio", pod({"app": "web", "version": "v1"}), namespace(), "1.31.4")
    added = {entry["path"]: entry["value"] for entry in patch}
    (container,) = added["/spec/initContainers"]
    assert (container["name"], container["restartPolicy"]) == ("istio-proxy", "Always")
    assert container["image"] == "docker.io/istio/proxyv2:1.31.4"
    assert added["/metadata/labels/security.istio.io~1tlsMode"] == "istio"
    assert added["/metadata/labels/service.istio.io~1canonical-revision"] == "v1"


def test_a_pod_obeys_the_revision_that_injected_it() -> None:
    patch = patch_for("istio", pod({"app": "web"}), namespace(), "1.31.4", revision="1-31-4")
    (noted,) = (entry["value"] for entry in patch if entry["path"] == "/metadata/annotations")
    assert noted["istio.io/rev"] == "1-31-4"
    assert json.loads(noted["sidecar.istio.io/status"])["revision"] == "1-31-4"
    meshed = {
        "metadata": {"annotations": noted},
        "spec": {"containers": [{"name": "istio-proxy"}]},
    }
    assert obeys(meshed, DATA_PLANE.proxy, "1-31-4")
    assert not obeys(meshed, DATA_PLANE.proxy, "default")


@pytest.mark.parametrize(
    ("mesh", "refused", "where"),
    [
        ("istio", pod({"sidecar.istio.io/inject": "false"}), namespace()),
        ("istio", {**pod(), "spec": {"containers": [], "hostNetwork": True}}, namespace()),
        ("istio", {**pod(), "spec": {"containers": [{"name": "istio-proxy"}]}}, namespace()),
        ("linkerd", pod(), namespace()),
        ("linkerd", pod(annotations={"linkerd.io/inject": "disabled"}), namespace(**INJECTED)),
        ("linkerd", pod({"linkerd.io/inject": "enabled"}), namespace()),
    ],
)
def test_refused(mesh: str, refused: dict[str, Any], where: dict[str, Any]) -> None:
    assert patch_for(mesh, refused, where, "1") == []


def test_linkerd_copies_the_namespaces_settings_for_good() -> None:
    policy = "config.linkerd.io/default-inbound-policy"
    where = namespace(**INJECTED, **{policy: "all-authenticated"})
    patch = patch_for("linkerd", pod(), where, "edge-1")
    values = next(entry["value"] for entry in patch if entry["path"] == "/metadata/annotations")
    assert values[policy] == "all-authenticated"
    own = pod(annotations={policy: "deny"})
    paths = [entry["path"] for entry in patch_for("linkerd", own, where, "edge-1")]
    assert not any(path.endswith("default-inbound-policy") for path in paths)


OPAQUE = "config.linkerd.io/opaque-ports"


def service(*ports: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": "db", "annotations": annotations},
        "spec": {"ports": ports},
    }


@pytest.mark.parametrize(
    ("item", "where", "noted"),
    [
        (service({"port": 80, "targetPort": 8080}), {}, None),
        (service({"port": 3306, "targetPort": 3306}, {"port": 80, "targetPort": 80}), {}, "3306"),
        (service({"port": 5432}), {}, "5432"),
        (service({"port": 80, "targetPort": 5432}), {}, "80"),
        (service({"port": 3306, "targetPort": 80}), {}, None),
        (service({"port": 3306, "targetPort": "mysql"}), {}, None),
        (service({"port": 3306}), {OPAQUE: "9090"}, "9090"),
        (service({"port": 3306}), {OPAQUE: ""}, ""),
        (service({"port": 3306}, **{OPAQUE: "80"}), {OPAQUE: "9090"}, None),
    ],
)
def test_linkerd_notes_the_opaque_ports_of_services(
    item: dict[str, Any], where: dict[str, str], noted: str | None
) -> None:
    patch = injector.annotation_patch(annotate, item, namespace(**where), Injector("edge-1", ""))
    added: dict[str, str] = {}
    for entry in patch:
        added |= entry["value"] if isinstance(entry["value"], dict) else {OPAQUE: entry["value"]}
    assert added == ({} if noted is None else {OPAQUE: noted})


def test_the_charts_value_replaces_the_default_opaque_ports() -> None:
    by_chart = Injector("edge-1", "", values={"proxy": {"opaquePorts": "9000,9001"}})
    item = service({"port": 3306}, {"port": 80, "targetPort": 9001})
    assert annotate(item, namespace(), by_chart) == {OPAQUE: "80"}


def test_linkerd_notes_the_default_opaque_ports_of_pods() -> None:
    made = pod()
    made["spec"]["containers"][0]["ports"] = [{"containerPort": 8080}, {"containerPort": 5432}]
    patch = patch_for("linkerd", made, namespace(**INJECTED), "edge-1")
    values = next(entry["value"] for entry in patch if entry["path"] == "/metadata/annotations")
    assert values[OPAQUE] == "5432"
    where = namespace(**INJECTED, **{OPAQUE: "8080"})
    patch = patch_for("linkerd", made, where, "edge-1")
    values = next(entry["value"] for entry in patch if entry["path"] == "/metadata/annotations")
    assert values[OPAQUE] == "8080"


def test_linkerds_proxy_is_told_where_it_listens_and_who_it_is() -> None:
    made = pod()
    made["spec"]["containers"][0].update(
        ports=[{"name": "web", "containerPort": 8080}, {"containerPort": 9090}],
        readinessProbe={"httpGet": {"path": "/ready", "port": 8081}},
    )
    where = namespace(**INJECTED, **{OPAQUE: "web,25-27"})
    patch = injector.patch_for(linkerd, made, where, Injector("edge-1", "", "the roots"))
    (_, container) = next(entry["value"] for entry in patch if entry["path"] == "/spec/initContainers")
    given = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
    assert len(given) == len(container["env"])
    assert given["LINKERD2_PROXY_INBOUND_LISTEN_ADDR"] == "0.0.0.0:4143"
    assert given["LINKERD2_PROXY_INBOUND_PORTS"] == "8080,8081,9090"
    assert given["LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION"] == "8080,25-27"
    assert given["LINKERD2_PROXY_INBOUND_DEFAULT_POLICY"] == "all-unauthenticated"
    assert given["LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"] == "the roots"
    assert given["_pod_sa"] == {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}
    assert "LINKERD2_PROXY_INGRESS_MODE" not in given


def test_linkerds_init_container_is_in_front_of_its_proxy_and_of_the_pods_own() -> None:
    made = pod(annotations={"config.linkerd.io/skip-inbound-ports": "9000"})
    made["spec"] |= {"initContainers": [{"name": "own"}], "volumes": [{"name": "data"}]}
    patch = patch_for("linkerd", made, namespace(**INJECTED), "edge-1")
    first = [entry["value"] for entry in reversed(patch) if entry["path"] == "/spec/initContainers/0"]
    assert [each["name"] for each in first] == ["linkerd-init", "linkerd-proxy"]
    arguments = first[0]["args"]
    assert arguments[arguments.index("--inbound-ports-to-ignore") + 1] == "4190,4191,9000"
    assert arguments[arguments.index("--outbound-ports-to-ignore") + 1] == "4567,4568"
    (mount,) = first[0]["volumeMounts"]
    assert [e["value"]["name"] for e in patch if e["path"] == "/spec/volumes/0"] == [mount["name"]]


def test_the_charts_say_which_image_redirects_and_whether_a_cni_plugin_does() -> None:
    values = {"proxyInit": {"image": {"name": "hub/init", "version": "v3"}, "runAsUser": 0}}
    patch = injector.patch_for(linkerd, pod(), namespace(**INJECTED), Injector("edge-1", "", values=values))
    (setup, _) = next(entry["value"] for entry in patch if entry["path"] == "/spec/initContainers")
    assert setup["image"] == "hub/init:v3"
    assert setup["securityContext"]["runAsNonRoot"] is False
    by_plugin = Injector("edge-1", "", values={"cniEnabled": True})
    patch = injector.patch_for(linkerd, pod(), namespace(**INJECTED), by_plugin)
    (proxy,) = next(entry["value"] for entry in patch if entry["path"] == "/spec/initContainers")
    assert proxy["name"] == "linkerd-proxy"
    assert not [entry for entry in patch if entry["path"].startswith("/spec/volumes")]


@pytest.mark.parametrize(
    "written",
    [
        "built: 2026-01-01",
        "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]),
        "concurrency: [",
    ],
    ids=["date", "aliases", "no YAML"],
)
def test_no_proxy_config_of_a_pod_ends_the_injector(written: str) -> None:
    patch = patch_for("istio", pod(annotations={"proxy.istio.io/config": written}), namespace(), "1.31.4")
    (container,) = next(each["value"] for each in patch if each["path"] == "/spec/initContainers")
    assert len(container["env"][0]["value"]) < 100
