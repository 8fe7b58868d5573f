"""``check --to-ambient``: each object that stands in the way of a move to the ambient mode is named."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Snapshot
from meshkit.meshes.istio.checks.migration import run as migration
from meshkit.meshes.view import View
from meshkit.operations.health import check
from tests.unit.command_line import run

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "web:1"}]}
"""
WAYPOINT = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""
SERVED = SHOP.replace("{name: web, namespace: shop}\nspec: {selector", (
    "{name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}\nspec: {selector"
)) + "---" + WAYPOINT  # fmt: skip
RESTART = ("MK2223", "info", "Namespace shop")


def obj(kind: str, version: str, spec: str, namespace: str = "shop") -> str:
    meta = f"{{name: it, namespace: {namespace}}}"
    return f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {meta}\nspec: {spec}\n"


def found(folder: Path, *texts: str, to: str | bool = True) -> list[tuple[str, str, str]]:
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    findings = check(files=[folder], to_ambient=to, mesh="istio")
    assert all(each.message.endswith(".") and each.remedy for each in findings)
    return [(each.code, each.severity, each.object) for each in findings]


SECURITY, NETWORKING = "security.istio.io/v1", "networking.istio.io/v1"
GET = "{rules: [{to: [{operation: {methods: [GET]}}]}]}"
ROUTE = "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}"


@pytest.mark.parametrize(
    ("text", "code", "severity"),
    [
        (obj("AuthorizationPolicy", SECURITY, GET), "MK2201", "error"),
        (obj("AuthorizationPolicy", SECURITY, "{action: AUDIT, rules: [{}]}"), "MK2201", "error"),
        (obj("AuthorizationPolicy", SECURITY, GET, "istio-system"), "MK2201", "error"),
        (obj("VirtualService", NETWORKING, ROUTE), "MK2202", "error"),
        (
            obj("DestinationRule", NETWORKING, "{host: web, trafficPolicy: {outlierDetection: {}}}"),
            "MK2203",
            "warning",
        ),
        (
            obj("DestinationRule", NETWORKING, "{host: web, subsets: [{name: v1, labels: {version: v1}}]}"),
            "MK2204",
            "warning",
        ),
        (obj("EnvoyFilter", "networking.istio.io/v1alpha3", "{configPatches: []}"), "MK2205", "error"),
        (obj("WasmPlugin", "extensions.istio.io/v1alpha1", "{url: 'oci://plugin:1'}"), "MK2206", "error"),
        (obj("Sidecar", NETWORKING, "{egress: [{hosts: ['./*']}]}"), "MK2207", "warning"),
        (obj("PeerAuthentication", SECURITY, "{mtls: {mode: DISABLE}}"), "MK2208", "error"),
        (
            obj(
                "PeerAuthentication",
                SECURITY,
                "{selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}}",
            ),
            "MK2208",
            "error",
        ),
        (obj("RequestAuthentication", SECURITY, "{jwtRules: [{issuer: me}]}"), "MK2209", "error"),
        (
            obj(
                "Telemetry",
                "telemetry.istio.io/v1",
                "{selector: {matchLabels: {app: web}}, accessLogging: [{disabled: true}]}",
            ),
            "MK2210",
            "warning",
        ),
        (
            obj("WorkloadGroup", NETWORKING, "{template: {serviceAccount: vm}}"),
            "MK2224",
            "error",
        ),
        (
            obj(
                "NetworkPolicy",
                "networking.k8s.io/v1",
                "{podSelector: {}, ingress: [{ports: [{port: 8080, protocol: TCP}]}]}",
            ),
            "MK2226",
            "error",
        ),
    ],
)
def test_each_object_that_is_in_the_way_is_named(tmp_path: Path, text: str, code: str, severity: str) -> None:
    kind = yaml.safe_load(text)["kind"]
    namespace = yaml.safe_load(text)["metadata"]["namespace"]
    assert found(tmp_path, SHOP, text) == [(code, severity, f"{kind} {namespace}/it"), RESTART]


@pytest.mark.parametrize(
    "text",
    [
        obj("AuthorizationPolicy", SECURITY, "{rules: [{from: [{source: {namespaces: [shop]}}]}]}"),
        obj(
            "AuthorizationPolicy",
            SECURITY,
            "{targetRefs: [{kind: Service, name: web}], rules: [{to: [{operation: {methods: [GET]}}]}]}",
        ),
        obj("PeerAuthentication", SECURITY, "{mtls: {mode: STRICT}}"),
        obj("EnvoyFilter", "networking.istio.io/v1alpha3", "{configPatches: []}", "elsewhere"),
        obj(
            "EnvoyFilter",
            "networking.istio.io/v1alpha3",
            "{workloadSelector: {labels: {app: other}}, configPatches: []}",
        ),
        obj("VirtualService", NETWORKING, ROUTE.replace("hosts: [web]", "hosts: [web], gateways: [edge]")),
        obj("DestinationRule", NETWORKING, "{host: web, trafficPolicy: {outlierDetection: {}}}"),
        obj(
            "NetworkPolicy",
            "networking.k8s.io/v1",
            "{podSelector: {}, ingress: [{ports: [{port: 15000, endPort: 15010, protocol: TCP}]}]}",
        ),
    ],
)
def test_what_a_waypoint_or_ztunnel_follows_is_not_in_the_way(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, SERVED, text) == [RESTART]


def test_a_virtual_service_at_a_waypoint_is_a_warning(tmp_path: Path) -> None:
    seen = found(tmp_path, SERVED, obj("VirtualService", NETWORKING, ROUTE))
    assert seen == [("MK2202", "warning", "VirtualService shop/it"), RESTART]


def workload(template: str) -> str:
    spec = f"{{selector: {{matchLabels: {{app: job}}}}, template: {template}}}"
    return obj("Deployment", "apps/v1", spec)


@pytest.mark.parametrize(
    ("template", "codes"),
    [
        ("{metadata: {labels: {app: job}}, spec: {hostNetwork: true}}", [("MK2220", "info")]),
        (
            "{metadata: {labels: {app: job, sidecar.istio.io/inject: 'false'}}, spec: {}}",
            [("MK2221", "warning")],
        ),
        (
            "{metadata: {labels: {app: job, istio.io/dataplane-mode: none}}, spec: {}}",
            [("MK2221", "info")],
        ),
        (
            "{metadata: {labels: {app: job}, annotations: {traffic.sidecar.istio.io/kubevirtInterfaces: a}}}",
            [("MK2222", "warning")],
        ),
        (
            "{metadata: {labels: {app: job}, annotations: {sidecar.istio.io/proxyCPU: 1m}}}",
            [("MK2222", "info")],
        ),
        (
            "{metadata: {labels: {app: job}}, spec: {volumes: [{name: s, csi: {driver: csi.spiffe.io}}]}}",
            [("MK2225", "error")],
        ),
    ],
)
def test_workloads_that_need_a_decision_are_named(
    tmp_path: Path, template: str, codes: list[tuple[str, str]]
) -> None:
    seen = [row for row in found(tmp_path, SHOP, workload(template)) if row != RESTART]
    assert seen == [(code, severity, "Deployment shop/it") for code, severity in codes]


def istiod(**settings: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in settings.items()]
    template = {"spec": {"containers": [{"name": "discovery", "image": "istio/pilot:1.31.4", "env": env}]}}
    meta = {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}}
    return {"kind": "Deployment", "metadata": meta, "spec": {"template": template}}


def daemon_set(name: str, image: str) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": name, "image": image}]}}
    meta = {"name": name, "namespace": "istio-system"}
    return {"kind": "DaemonSet", "metadata": meta, "spec": {"template": template}}


def meshed(namespace: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "istio-proxy", "image": "proxyv2:1.31.4"}]}
    meta = {"name": "web-1", "namespace": namespace, "labels": {"app": "web"}}
    return {"kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": "Running"}}


def of_cluster(*objects: dict[str, Any]) -> list[str]:
    view = View(Snapshot(objects), "istio", dt.datetime(2026, 6, 1, tzinfo=dt.UTC))
    return sorted({each.code for each in migration.check(view, ("shop",))})


def test_a_cluster_is_asked_for_the_parts_of_the_mode() -> None:
    assert of_cluster(istiod(), meshed("shop")) == ["MK2223", "MK2230"]
    parts = (daemon_set("ztunnel", "istio/ztunnel:1"), daemon_set("istio-cni-node", "istio/install-cni:1"))
    assert of_cluster(istiod(PILOT_ENABLE_AMBIENT="true"), *parts, meshed("shop")) == ["MK2223"]


def test_callers_that_keep_their_sidecars_bypass_the_waypoint_that_is_needed() -> None:
    policy = yaml.safe_load(obj("AuthorizationPolicy", SECURITY, GET).removeprefix("---"))
    parts = (daemon_set("ztunnel", "istio/ztunnel:1"), daemon_set("istio-cni-node", "istio/install-cni:1"))
    plane = (istiod(PILOT_ENABLE_AMBIENT="true"), *parts)
    assert of_cluster(*plane, policy, meshed("shop"), meshed("billing")) == ["MK2201", "MK2223", "MK2227"]
    other = {"kind": "CustomResourceDefinition", "metadata": {"name": "httproutes"}}
    assert of_cluster(*plane, policy, other) == ["MK2201", "MK2231"]


def test_every_namespace_with_sidecars_is_checked_and_none_of_the_mode(tmp_path: Path) -> None:
    ambient = SHOP.replace("istio-injection: enabled", "istio.io/dataplane-mode: ambient")
    assert found(tmp_path, ambient, obj("VirtualService", NETWORKING, ROUTE)) == []
    assert found(tmp_path, to="shop") == [("MK2202", "error", "VirtualService shop/it")]


def test_what_cannot_be_checked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    with pytest.raises(UnknownName, match="'shp' is not known"):
        check(files=[tmp_path], to_ambient="shp")
    with pytest.raises(BadInput, match="Linkerd has no mode without sidecars"):
        check(files=[tmp_path], to_ambient=True, mesh="linkerd")
    with pytest.raises(BadInput, match="to_ambient"):
        check(files=[tmp_path], to_ambient=True, pre=True)


def test_the_command_line_takes_one_namespace_or_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP + obj("Sidecar", NETWORKING, "{egress: [{hosts: ['./*']}]}"))
    files = ["-f", str(tmp_path)]
    for asked in (["--to-ambient", "shop"], ["--to-ambient"]):
        assert run("check", *asked, *files, "--json") == 0
        assert [each["code"] for each in json.loads(capsys.readouterr().out)] == ["MK2207", "MK2223"]
    assert run("check", "--to-ambient", "--strict", *files) == 5
