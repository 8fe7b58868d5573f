"""What single objects and fields mean for a request, as ``mk.explain`` tells it from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit.errors import BadInput
from meshkit.operations.explain import Explanation, explain
from meshkit.operations.health import check
from tests.unit.operations.explained import ISTIO, WORKLOADS, write


def istio(folder: Path, request: str, *more: str) -> Explanation:
    return explain(request, files=write(folder, WORKLOADS, ISTIO, *more), caller="shop/client")


MESH_CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "%s"}
"""


@pytest.mark.parametrize("domain", ["corp", "older", "cluster.local"])
@pytest.mark.parametrize(
    "rule",
    [
        "from: [{source: {principals: [%s/ns/shop/sa/client]}}]",
        "when: [{key: source.principal, values: [%s/ns/shop/sa/client]}]",
    ],
)
def test_a_principal_of_a_trust_domain_of_the_mesh_is_known(tmp_path: Path, domain: str, rule: str) -> None:
    allowed = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: client, namespace: shop}
spec: {rules: [{%s}]}
"""
    config = MESH_CONFIG % "{trustDomain: corp, trustDomainAliases: [older]}"
    found = istio(tmp_path, "web.shop:8080/", allowed % (rule % domain), config)
    assert found.failures == ()
    assert istio(tmp_path, "web.shop:8080/", allowed % (rule % "else"), config).failures


@pytest.mark.parametrize("text", ["outboundTrafficPolicy: REGISTRY_ONLY", "outbound: ["])
def test_a_mesh_config_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"data\.mesh"):
        istio(tmp_path, "web.shop:8080/", MESH_CONFIG % text)


def test_another_root_namespace_is_not_known(tmp_path: Path) -> None:
    found = istio(tmp_path, "web.shop:8080/", MESH_CONFIG % "rootNamespace: elsewhere")
    assert any("rootNamespace" in text for text in found.ways[0].not_known)


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec: {hosts: [api.example.com], ports: [{number: 80, name: http}], resolution: DNS}
"""


def test_a_port_of_a_service_entry_needs_no_protocol(tmp_path: Path) -> None:
    (way,) = istio(tmp_path, "api.example.com/", ENTRY).ways
    assert (way.rule, way.failures) == ("no route: Service api.example.com", ())


@pytest.mark.parametrize(
    ("backend", "place"),
    [
        (
            "{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 80}",
            "api.example.com:80",
        ),
        ("{group: inference.networking.k8s.io, kind: InferencePool, name: pool}", "an invalid backend"),
    ],
)
def test_a_backend_that_is_no_service_is_followed_or_not_known(
    tmp_path: Path, backend: str, place: str
) -> None:
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules: [{backendRefs: [%s]}]
"""
    old = WORKLOADS + "---\n" + ISTIO.partition("---\napiVersion: networking.istio.io/v1\nkind: VirtualS")[0]
    files = write(tmp_path, old, route % backend, ENTRY)
    (way,) = explain("web.shop:8080/", files=files, caller="shop/client").ways
    assert [each.place for each in way.destinations] == [place]
    assert way.not_known


def test_a_route_of_a_service_entry_is_not_known(tmp_path: Path) -> None:
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}]
  rules: [{backendRefs: [{name: web, port: 8080}]}]
"""
    (way,) = istio(tmp_path, "api.example.com/", ENTRY, route).ways
    assert any("HTTPRoute shop/api" in text for text in way.not_known)


def test_what_is_not_known_is_told_of_objects_of_any_namespace_that_name_the_host(tmp_path: Path) -> None:
    claims = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: infra}
spec:
  hosts: ["%s"]
  http: [{match: [{headers: {"@request.auth.claims.a": {exact: b}}}], route: [{destination: {host: x.y}}]}]
"""
    service = """
apiVersion: v1
kind: Service
metadata: {name: wide, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
"""
    named = claims % ("named", "web.shop.svc.cluster.local")
    wild = claims % ("wild", "*.shop.svc.cluster.local")
    for host, title in (("web", "VirtualService infra/named"), ("wide", "VirtualService infra/wild")):
        (way,) = istio(tmp_path, f"{host}.shop:8080/", named, wild, service).ways
        assert title in [text.partition(":")[0] for text in way.not_known]
    assert len(way.not_known) == 1


def test_a_named_port_may_have_another_number_in_each_pod(tmp_path: Path) -> None:
    canary = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop}
spec:
  template:
    metadata: {labels: {app: named}}
    spec: {containers: [{name: app, ports: [{name: web, containerPort: %s}]}]}
"""
    service = """
apiVersion: v1
kind: Service
metadata: {name: named, namespace: shop}
spec: {selector: {app: named}, ports: [{name: http, port: 80, targetPort: web}]}
"""
    more = (canary % ("one", 8080), canary % ("two", 9090), service)
    (way,) = istio(tmp_path, "named.shop/", *more).ways
    assert [each.endpoints for each in way.destinations] == [2]


def test_endpoints_without_a_selector_are_those_of_the_object_endpoints(tmp_path: Path) -> None:
    outside = """
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside, namespace: shop}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{name: http, port: 8000}]}]
"""
    (way,) = istio(tmp_path, "outside.shop/", outside).ways
    assert [(each.endpoints, each.failures) for each in way.destinations] == [(1, ())]


def test_a_mirror_without_a_share_needs_no_destination(tmp_path: Path) -> None:
    mirrored = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: old, namespace: shop}
spec:
  hosts: [old]
  http:
  - route: [{destination: {host: web}}]
    mirror: {host: web, subset: none}
    mirrorPercentage: {value: %s}
"""
    codes = [
        [each.code for each in check(files=write(tmp_path, WORKLOADS, ISTIO, mirrored % share))]
        for share in (0, 5)
    ]
    assert [("MK0207" in each) for each in codes] == [False, True]


SERVER = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web, namespace: shop, labels: {of: web}}
spec: {podSelector: {matchLabels: {app: web}}, port: 8080}
---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: {name: old, namespace: shop}
spec: {server: %s, client: %s}
"""
OWN = "shop/client"
OPEN_LINKERD = (
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}}"
)


def linkerd(folder: Path, *more: str, caller: str = OWN, workloads: str = WORKLOADS) -> Explanation:
    files = write(folder, workloads, OPEN_LINKERD, *more)
    return explain("web.shop:8080/", files=files, caller=caller, mesh="linkerd")


@pytest.mark.parametrize(
    ("server", "client", "let_in"),
    [
        ("{name: web}", "{unauthenticated: true}", {OWN, "shop/web", "legacy/old"}),
        ("{name: other}", "{unauthenticated: true}", set()),
        ("{selector: {matchLabels: {of: web}}}", "{meshTLS: {unauthenticatedTLS: true}}", {OWN, "shop/web"}),
        ("{name: web}", "{meshTLS: {serviceAccounts: [{name: client}]}}", {OWN}),
        (
            "{name: web}",
            "{meshTLS: {identities: ['*.shop.serviceaccount.identity.linkerd.cluster.local']}}",
            {OWN, "shop/web"},
        ),
        ("{name: web}", "{meshTLS: {}}", set()),
    ],
)
def test_a_server_authorization_lets_callers_in(
    tmp_path: Path, server: str, client: str, let_in: set[str]
) -> None:
    found = linkerd(tmp_path, SERVER % (server, client), caller="")
    callers = {caller for way in found.ways if not way.failures for caller in way.callers}
    assert (callers, [text for way in found.ways for text in way.not_known]) == (let_in, [])
    codes = {each.code for each in check(files=[tmp_path], mesh="linkerd")}
    assert ("MK1903" in codes) is (not let_in)


LIMITED = """
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: web}
  total: {requestsPerSecond: 100}
  identity: {requestsPerSecond: 20}
  overrides: [{requestsPerSecond: 50, clientRefs: [{kind: ServiceAccount, name: client}]}]
"""


@pytest.mark.parametrize(("caller", "rps"), [(OWN, 50), ("shop/web", 20), ("legacy/old", 20)])
def test_the_rate_limit_of_a_caller_is_told(tmp_path: Path, caller: str, rps: int) -> None:
    server = SERVER % ("{name: web}", "{unauthenticated: true}")
    told = str(linkerd(tmp_path, server, LIMITED, caller=caller))
    assert f"up to {rps} requests a second, then 429 (rate limit web)" in told
    assert "not known" not in told


def test_a_refused_connection_is_closed_and_has_no_status(tmp_path: Path) -> None:
    """A server's proxy answers requests; of a TCP port it sees none."""
    workloads = WORKLOADS.replace("{name: http, port: 8080}", "{name: tcp, port: 8080}")
    policy = ISTIO.replace("action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]", "action: ALLOW")
    found = explain("web.shop:8080/", files=write(tmp_path, workloads, policy), caller="shop/client")
    assert found.failures == ("the connection is closed: no policy allows it",)


@pytest.mark.parametrize("ports", ["8080", "25, 8000-8090"])
def test_linkerd_sends_no_mutual_tls_to_a_port_that_the_server_leaves_out(tmp_path: Path, ports: str) -> None:
    annotated = (
        f'labels: {{app: web, version: v1}}, annotations: {{config.linkerd.io/skip-inbound-ports: "{ports}"}}'
    )
    workloads = WORKLOADS.replace("labels: {app: web, version: v1}", annotated)
    (way,) = linkerd(tmp_path, workloads=workloads).ways
    assert [(e.tls, e.mode, e.answer) for d in way.destinations for e in d.entries] == [("plaintext", "", "")]


def test_a_call_to_a_port_that_the_caller_leaves_out_goes_past_its_proxy(tmp_path: Path) -> None:
    annotated = 'labels: {app: client}, annotations: {config.linkerd.io/skip-outbound-ports: "8000-8090"}'
    workloads = WORKLOADS.replace("labels: {app: client}", annotated)
    allowed = SERVER % ("{name: web}", "{meshTLS: {serviceAccounts: [{name: client}]}}")
    found = linkerd(tmp_path, allowed, workloads=workloads)
    assert found.failures == ("403: no policy allows it",)
    assert found.ways[0].rule == "no rule: the caller's proxy leaves out port 8080"


@pytest.mark.parametrize(
    ("ports", "reached"), [('"*"', True), ('"8080"', True), ('"9000"', False), ('""', False)]
)
def test_a_port_that_istio_does_not_capture_takes_no_mutual_tls(
    tmp_path: Path, ports: str, reached: bool
) -> None:
    labels = "labels: {app: web, version: v1}"
    annotated = f"{labels}, annotations: {{traffic.sidecar.istio.io/includeInboundPorts: {ports}}}"
    files = write(tmp_path, WORKLOADS.replace(labels, annotated), ISTIO)
    found = explain("web.shop:8080/", files=files, caller="shop/client")
    assert ("503: the server takes no mutual TLS" not in found.failures) is reached


def test_a_rollout_has_pods(tmp_path: Path) -> None:
    kind = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web"
    rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web"
    files = write(tmp_path, WORKLOADS.replace(kind, rollout), ISTIO)
    (way,) = explain("web.shop:8080/", files=files, caller="shop/client").ways
    assert [each.endpoints for each in way.destinations] == [2, 2]
