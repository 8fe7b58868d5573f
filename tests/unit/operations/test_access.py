"""Calls held against access rules: the proposal, what is essential, who was denied."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Snapshot
from meshkit.intent.security import Access, Caller
from meshkit.meshes import registry
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.essential import cut
from meshkit.meshes.explain.explainer import Explainer
from meshkit.meshes.metrics import UNKNOWN, Outcome, ServerCall
from meshkit.observe.server_calls import ServerCalls, calls_in
from meshkit.operations.access.enforcement import denied_callers, newly_refused
from meshkit.operations.access.matrix import matrix_of
from meshkit.operations.access.observed import ObservedServers, enforced
from meshkit.operations.access.trial import TrialReport, report_of
from meshkit.operations.effects import with_objects

MESHES = pytest.mark.parametrize("mesh", ["istio", "linkerd"])
SIDECAR = {"istio": "istio-proxy", "linkerd": "linkerd-proxy"}
CLIENT = Caller(namespace="shop", service_account="client")
PORTS = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81, "targetPort": 8081}]


def pod(mesh: str, **app: Any) -> dict[str, Any]:
    containers = [
        {"name": "app", "ports": [{"containerPort": 8080}, {"containerPort": 8081}], **app},
        {"name": SIDECAR[mesh]},
    ]
    meta = {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}}
    owner = {"ownerReferences": [{"kind": "StatefulSet", "name": "web"}]}
    status = {"podIP": "10.0.0.9", "hostIP": "10.1.0.1", "phase": "Running"}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, **owner}, "status": status}
    return {**made, "spec": {"containers": containers}}


def state(mesh: str, *more: dict[str, Any], **app: Any) -> Explainer:
    row = registry.mesh(mesh)
    spec = {"selector": {"app": "web"}, "ports": PORTS}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}
    seen = Snapshot((pod(mesh, **app), {**service, "spec": spec}, *more))
    return Explainer(Effective(seen, mesh, row.meaning, row.control_plane.home), row.not_evaluated)


def ruled(explainer: Explainer, **fields: Any) -> Explainer:
    row = registry.mesh(explainer.effective.mesh)
    rule = Access(**{"namespace": "shop", "service": "web", "callers": (CLIENT,), **fields})
    steps = row.planner.plan(rule, explainer.effective.snapshot)
    return with_objects(explainer, row, [step.object for step in steps])


def calls(*counted: tuple[str, int, Outcome, int], before: int = 0) -> ServerCalls:
    window = {ServerCall(who, "shop/web", "web", port, what): n for who, port, what, n in counted}
    return ServerCalls(30, 600, 2, 2, window, {call: n + before for call, n in window.items()})


@MESHES
def test_rules_follow_the_ports_where_their_callers_differ(mesh: str) -> None:
    row, servers = registry.mesh(mesh), ObservedServers(state(mesh), "shop")
    seen = calls(
        ("shop/client", 8080, "passed", 5), ("ops/admin", 8081, "passed", 1), (UNKNOWN, 8080, "passed", 2)
    )
    matrix = matrix_of(seen, servers, row)
    assert [(each.caller, each.service, each.port, each.in_window) for each in matrix.rows] == [
        ("shop/client", "web", 80, 5),
        (UNKNOWN, "web", 80, 2),
        ("ops/admin", "web", 81, 1),
    ]
    assert [(each.name, each.port, each.callers[0].namespace) for each in matrix.intents()] == [
        ("access-80", 80, "shop"),
        ("access-81", 81, "ops"),
    ]
    assert "Window 30 s" in str(matrix)
    assert "2 of 2 sidecars" in str(matrix)


@MESHES
def test_a_port_that_is_not_told_stays_untold(mesh: str) -> None:
    row, servers = registry.mesh(mesh), ObservedServers(state(mesh), "shop")
    matrix = matrix_of(calls(("shop/client", 0, "passed", 5)), servers, row)
    assert [each.port for each in matrix.rows] == [None]
    assert [each.port for each in matrix.intents()] == [None]


@MESHES
@pytest.mark.parametrize("mode", ["shadow", "enforce"])
def test_nothing_is_proposed_for_a_service_with_rules(mesh: str, mode: str) -> None:
    servers = ObservedServers(ruled(state(mesh), mode=mode), "shop")
    matrix = matrix_of(calls(("shop/client", 8080, "passed", 5)), servers, registry.mesh(mesh))
    assert matrix.ruled == {"web"}
    assert matrix.intents() == ()


def report_on(trial: Explainer, seen: ServerCalls) -> TrialReport:
    row = registry.mesh(trial.effective.mesh)
    now, then = (ObservedServers(each, "shop") for each in (trial, enforced(trial, row)))
    return report_of(seen, now, then, row, ["Rule shop/web"])


STRICT: dict[str, Any] = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "shop"},
    "spec": {"mtls": {"mode": "STRICT"}},
}


def test_a_call_in_plain_text_that_strict_mutual_tls_refuses_is_no_denial_of_a_rule() -> None:
    seen = calls(("shop/client", 8080, "passed", 7), (UNKNOWN, 8080, "passed", 0), before=56)
    for more, refused in ((), (UNKNOWN,)), ((STRICT,), ()):
        before = state("istio", *more)
        assert report_on(ruled(before, mode="shadow"), seen).refused == refused
        now, then = (ObservedServers(each, "shop") for each in (before, ruled(before)))
        assert tuple(caller for caller, _, _ in newly_refused(seen, now, then)) == refused


@MESHES
def test_would_be_denials_are_told_by_caller(mesh: str) -> None:
    row, trial = registry.mesh(mesh), ruled(state(mesh), mode="shadow")
    by_caller = row.metrics.server_calls is not None and row.metrics.server_calls.names_denied
    refused: Outcome = "would_be_denied" if by_caller else "passed"
    seen = calls(
        ("shop/client", 8080, "passed", 7), ("shop/other", 8080, refused, 3), (UNKNOWN, 8080, refused, 2)
    )
    report = report_on(trial, seen)
    assert report.refused == ("shop/other", UNKNOWN)
    assert report.passed == 7
    assert {each.how for each in report.denials} == {"counted" if by_caller else "derived"}


def test_what_depends_on_the_path_is_not_taken_for_a_denial() -> None:
    trial = ruled(state("istio"), mode="shadow", paths=("/a",))
    report = report_on(trial, calls(("shop/client", 8080, "passed", 7)))
    assert report.refused == ()
    assert [each.how for each in report.denials] == ["depends"]


PROBE = {"httpGet": {"path": "/live", "port": 8080}}
HOOK: dict[str, Any] = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "check"},
    "webhooks": [
        {"name": "check.shop", "clientConfig": {"service": {"namespace": "shop", "name": "web", "port": 81}}}
    ],
}


def essential_lost(explainer: Explainer, **fields: Any) -> list[str]:
    row = registry.mesh(explainer.effective.mesh)
    return [each.what for each, _ in cut(explainer, ruled(explainer, **fields), row, "shop")]


@MESHES
def test_a_webhook_behind_the_rule_would_be_cut(mesh: str) -> None:
    assert essential_lost(state(mesh, HOOK)) == ["webhook check.shop"]
    assert essential_lost(state(mesh, HOOK), mode="shadow") == []
    assert essential_lost(state(mesh)) == []


@MESHES
def test_a_scraped_port_of_the_service_would_be_cut_and_another_not(mesh: str) -> None:
    for port, lost in (("8081", ["scrape of metrics"]), ("9102", [])):
        explainer = state(mesh)
        (seen,) = explainer.effective.snapshot.of("Pod")
        marks = {"prometheus.io/scrape": "true", "prometheus.io/port": port}
        scraped = {**seen, "metadata": {**seen["metadata"], "annotations": marks}}
        assert essential_lost(with_objects(explainer, registry.mesh(mesh), [scraped])) == lost


@MESHES
def test_the_kubelets_lifecycle_hooks_and_the_probes_of_native_sidecars_would_be_cut(mesh: str) -> None:
    hooks = {"postStart": {"httpGet": {"path": "/warm", "port": 8080}}, "preStop": {"exec": {}}}
    assert essential_lost(state(mesh, lifecycle=hooks)) == ["postStart of app"]
    explainer = state("istio")
    (seen,) = explainer.effective.snapshot.of("Pod")
    helper = {"name": "helper", "restartPolicy": "Always", "startupProbe": PROBE}
    with_helper = {**seen, "spec": {**seen["spec"], "initContainers": [helper]}}
    explainer = with_objects(explainer, registry.mesh("istio"), [with_helper])
    assert essential_lost(explainer) == ["startupProbe of helper"]


def test_probes_pass_where_the_mesh_lets_them() -> None:
    assert essential_lost(state("linkerd", livenessProbe=PROBE)) == []
    assert essential_lost(state("istio", livenessProbe=PROBE)) == ["livenessProbe of app"]
    redirected = state("istio", livenessProbe=PROBE)
    (seen,) = redirected.effective.snapshot.of("Pod")
    seen["spec"]["containers"][1]["env"] = [{"name": "ISTIO_KUBE_APP_PROBERS", "value": "{}"}]  # type: ignore[index]
    assert essential_lost(redirected) == []


ISTIO_PAGE = """
istio_requests_total{reporter="destination",source_principal="spiffe://cluster.local/ns/shop/sa/client",destination_service_name="web",connection_security_policy="mutual_tls",response_code="200"} 9
istio_requests_total{reporter="destination",source_principal="spiffe://cluster.local/ns/shop/sa/other",destination_service_name="web",connection_security_policy="mutual_tls",response_code="403"} 4
istio_requests_total{reporter="source",source_workload="web",response_code="200"} 50
envoy_http_inbound_0_0_0_0_8080_rbac{authz_enforce_result="denied"} 4
envoy_http_inbound_0_0_0_0_8080_rbac{authz_enforce_result="allowed"} 9
envoy_http_inbound_0_0_0_0_8080_rbac{authz_dry_run_action="allow",authz_dry_run_result="denied"} 2
envoy_http_inbound_0_0_0_0_8080_rbac{authz_dry_run_action="allow",authz_dry_run_result="allowed"} 7
"""  # noqa: E501
LINKERD_PAGE = """
inbound_http_authz_allow_total{target_port="8080",srv_kind="server",route_name="default",authz_kind="authorizationpolicy",authz_name="web",tls="true",client_id="client.shop.serviceaccount.identity.linkerd.cluster.local"} 9
inbound_http_authz_allow_total{target_port="8080",srv_kind="server",authz_kind="default",authz_name="all-authenticated",tls="true",client_id="other.shop.serviceaccount.identity.linkerd.cluster.local"} 2
inbound_http_authz_allow_total{target_port="8080",srv_kind="default",authz_kind="default",authz_name="all-unauthenticated",tls="no_identity"} 3
inbound_http_authz_allow_total{target_port="8080",route_name="probe",authz_kind="default",authz_name="probe",tls="no_identity"} 30
inbound_http_authz_deny_total{target_port="8080",tls="true",client_id="other.shop.serviceaccount.identity.linkerd.cluster.local"} 4
"""  # noqa: E501


@pytest.mark.parametrize(
    ("mesh", "page", "expected"),
    [
        (
            "istio",
            ISTIO_PAGE,
            {("shop/client", 0, "passed"): 9, ("shop/other", 0, "forbidden"): 4, ("", 8080, "denied"): 4}
            | {("", 8080, "passed"): 9, ("", 8080, "would_be_denied"): 2},
        ),
        (
            "linkerd",
            LINKERD_PAGE,
            {("shop/client", 8080, "passed"): 9, ("shop/other", 8080, "would_be_denied"): 2}
            | {(UNKNOWN, 8080, "passed"): 3, ("shop/other", 8080, "denied"): 4},
        ),
    ],
)
def test_the_counters_of_servers_are_read(mesh: str, page: str, expected: dict[Any, int]) -> None:
    found = calls_in(page, registry.mesh(mesh).metrics.server_calls, pod(mesh))
    assert {(call.caller, call.port, call.outcome): n for call, n in found.items()} == expected


def test_who_was_denied_is_named_as_far_as_it_is_told() -> None:
    istio, linkerd = registry.mesh("istio"), registry.mesh("linkerd")
    told = calls(("shop/other", 8080, "denied", 4), ("shop/client", 8080, "passed", 9))
    assert denied_callers(told, linkerd) == [("shop/other", "shop/web", 4)]
    counted = calls(("", 8080, "denied", 4), ("shop/other", 0, "forbidden", 4))
    assert denied_callers(counted, istio) == [("shop/other", "shop/web", 4)]
    assert denied_callers(calls(("", 8080, "denied", 4)), istio) == [(UNKNOWN, "shop/web", 4)]
    own_answer = calls(("", 8080, "passed", 9), ("shop/other", 0, "forbidden", 4))
    assert denied_callers(own_answer, istio) == []  # the application's own 403
    assert denied_callers(calls(("shop/other", 0, "forbidden", 4)), istio) == [("shop/other", "shop/web", 4)]
    assert denied_callers(calls(("shop/other", 0, "forbidden", 4), before=9), istio) == []
