"""What the planners make of an Exposure, and what its findings and effects say."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.checks.planned import preflight
from meshkit.checks.planned.schema import problems
from meshkit.cluster.executor import PlannedStep
from meshkit.errors import UnsupportedByMesh
from meshkit.facts import Object, Snapshot
from meshkit.intent.edges.exposure import Exposure
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.model.registry import Registry
from meshkit.meshes.routing import capabilities
from meshkit.operations.effects import effects_of
from tests.unit.meshes.meshed import http_route, service, sidecar, virtual_service
from tests.unit.operations.explained import ISTIO, WORKLOADS, Api, cluster, objects

HOST = "shop.example.com"
WEB = {"service": "web", "port": 8080}
SECRET = {"secret": "shop-tls"}
DEFINITIONS = {
    (each["spec"]["group"], each["spec"]["names"]["kind"]): each for each in registry.mesh("istio").crds()
}


def exposure(**fields: Any) -> Exposure:
    return Exposure(**{"namespace": "shop", "name": "public", "hosts": [HOST], "routes": [WEB], **fields})


def planned(**fields: Any) -> dict[str, dict[str, Any]]:
    """The objects of a plan by their titles."""
    steps: tuple[Step, ...] = registry.mesh("istio").planner.plan(exposure(**fields), Snapshot(()))
    for step in steps:
        assert problems(step.object, DEFINITIONS[step.kind.group, step.kind.kind]) == ()
    return {step.title: dict(step.object) for step in steps}


def said(*beside: Object, **fields: Any) -> list[tuple[str, str, str]]:
    seen = Snapshot((service("web", 8080), sidecar("istio"), *beside))
    findings = preflight.check((exposure(**fields),), seen, "istio")
    assert all(finding.remedy for finding in findings)
    return [(finding.code, finding.severity, finding.object) for finding in findings]


def test_the_missing_definitions_of_gateway_api_are_named() -> None:
    routes, gateways = (DEFINITIONS["gateway.networking.k8s.io", kind] for kind in ("HTTPRoute", "Gateway"))
    own = DEFINITIONS["networking.istio.io", "VirtualService"]
    seen = Snapshot((service("web", 8080), sidecar("istio"), own, routes))
    found = preflight.check((exposure(),), seen, "istio")
    assert [(each.code, each.object, each.message) for each in found if each.severity == "error"] == [
        (
            "MK0271",
            "exposure",
            "the cluster does not serve Gateway (gateway.networking.k8s.io/v1).",
        )
    ]
    assert ("MK0271", "error", "exposure") not in said(own, routes, gateways)


def test_a_gateway_shows_the_certificate_of_a_secret_and_sends_port_80_to_tls() -> None:
    found = planned(certificate=SECRET, port=8443)
    assert list(found) == [
        "Gateway shop/public",
        "HTTPRoute shop/public",
        "HTTPRoute shop/public-redirect",
    ]
    allowed = {"namespaces": {"from": "Same"}}
    reference = {"group": "", "kind": "Secret", "name": "shop-tls"}
    assert found["Gateway shop/public"]["spec"] == {
        "gatewayClassName": "istio",
        "listeners": [
            {
                "name": "https",
                "hostname": HOST,
                "port": 8443,
                "protocol": "HTTPS",
                "tls": {"mode": "Terminate", "certificateRefs": [reference]},
                "allowedRoutes": allowed,
            },
            {
                "name": "http",
                "hostname": HOST,
                "port": 80,
                "protocol": "HTTP",
                "allowedRoutes": allowed,
            },
        ],
    }
    redirect = found["HTTPRoute shop/public-redirect"]["spec"]
    assert redirect["parentRefs"][0]["sectionName"] == "http"
    assert redirect["rules"][0]["filters"][0]["requestRedirect"] == {
        "scheme": "https",
        "port": 8443,
        "statusCode": 301,
    }


def test_a_certificate_of_cert_manager_is_asked_for_by_an_annotation() -> None:
    found = planned(certificate={**SECRET, "issuer": "letsencrypt"})
    notes = {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert found["Gateway shop/public"]["metadata"]["annotations"] == notes
    found = planned(certificate={**SECRET, "issuer": "own", "issuer_kind": "Issuer"}, redirect=False)
    assert found["Gateway shop/public"]["metadata"]["annotations"] == {"cert-manager.io/issuer": "own"}
    assert "HTTPRoute shop/public-redirect" not in found


def test_each_host_has_a_listener_and_the_routes_are_bound_to_all() -> None:
    found = planned(hosts=[HOST, "*.example.org"], service="ClusterIP")
    gateway, route = found["Gateway shop/public"], found["HTTPRoute shop/public"]
    assert [(each["name"], each["hostname"]) for each in gateway["spec"]["listeners"]] == [
        ("http-1", HOST),
        ("http-2", "*.example.org"),
    ]
    assert gateway["metadata"]["annotations"] == {"networking.istio.io/service-type": "ClusterIP"}
    assert [each["sectionName"] for each in route["spec"]["parentRefs"]] == ["http-1", "http-2"]
    assert route["spec"]["hostnames"] == [HOST, "*.example.org"]


def test_paths_lead_to_services_and_shares_to_the_services_of_versions() -> None:
    split = {"service": "web", "port": 8080, "split": {"v1": 99.5, "v2": 0.5}}
    found = planned(routes=[split, {**WEB, "service": "api", "path": "/api/"}])
    rules = found["HTTPRoute shop/public"]["spec"]["rules"]
    assert [rule["matches"][0]["path"]["value"] for rule in rules] == ["/", "/api"]
    assert [[(each["name"], each["weight"]) for each in rule["backendRefs"]] for rule in rules] == [
        [("web-v1", 995), ("web-v2", 5)],
        [("api", 1)],
    ]


def test_linkerd_has_no_gateway_and_names_what_there_is() -> None:
    planner = registry.mesh("linkerd").planner
    with pytest.raises(UnsupportedByMesh) as refused:
        planner.plan(exposure(), Snapshot(()))
    assert refused.value.field == "exposure"
    assert "ingress controller" in str(refused.value.remedy)
    with pytest.raises(UnsupportedByMesh):
        planner.needs(exposure())


@pytest.mark.parametrize("mesh", list(registry.MESHES))
def test_limits_name_fields_of_an_exposure(mesh: str) -> None:
    known = {place for place, _ in capabilities.places(Exposure)}
    assert set(registry.mesh(mesh).planner.exposure_limits) <= known


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ({"service": "wbe", "port": 8080}, "exposure.routes[0].service"),
        ({"service": "web", "port": 80}, "exposure.routes[0].port"),
        ({**WEB, "split": {"v1": 100}}, "exposure.routes[0].split"),
    ],
)
def test_a_service_that_is_not_there_is_refused(route: dict[str, Any], field: str) -> None:
    assert said(routes=[route], certificate=SECRET)[0] == ("MK0247", "error", field)


def test_routes_of_the_mesh_do_not_hold_for_requests_from_outside() -> None:
    passed = ("MK0248", "warning", "exposure.routes[0].service")
    secret = ("MK0249", "info", "exposure.certificate")
    assert said(certificate=SECRET) == [secret]
    assert said(virtual_service("web", "web", []), certificate=SECRET) == [passed, secret]
    assert said(http_route("web", []), certificate=SECRET) == [passed, secret]
    shares = {**WEB, "split": {"v1": 100}}
    beside = (http_route("web", []), service("web-v1", 8080))
    assert said(*beside, certificate=SECRET, routes=[shares]) == [secret]


def test_requests_in_plain_text_are_warned_of() -> None:
    assert said() == [("MK0270", "warning", "exposure.certificate")]


def test_effects_say_that_meshkit_follows_no_gateway() -> None:
    held = objects("istio", WORKLOADS, ISTIO)
    steps = registry.mesh("istio").planner.plan(exposure(), Snapshot(()))
    created = [PlannedStep(step, "create", after=step.object) for step in steps]
    found = effects_of(created, cluster(Api(held), "istio"), "istio")
    assert found.changed == ()
    assert ["Gateway shop/public" in text and "sandbox" in text for text in found.not_seen] == [True]


def test_the_sandbox_tells_that_it_has_no_gateways() -> None:
    gateway = planned()["Gateway shop/public"]
    held = Registry({"gateways.gateway": [gateway]}, "istio-system")
    caller = istio.caller_of(held, sidecar("istio"))
    (problem,) = istio.outbound(held, caller).problems
    assert (problem.reason, problem.object["kind"]) == ("NotSupported", "Gateway")
