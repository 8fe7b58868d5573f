"""The protocol of a port, as each mesh decides it, and who may connect to a TCP port."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.meshes.istio.meaning import authorization as istio_authorization
from meshkit.meshes.istio.meaning import hosts
from meshkit.meshes.istio.meaning import sidecar as istio
from meshkit.meshes.istio.meaning.visibility import Caller
from meshkit.meshes.linkerd.meaning import protocols
from meshkit.meshes.linkerd.meaning import sidecar as linkerd
from meshkit.meshes.model.inbound import Condition, Inbound, Rule
from meshkit.meshes.model.outbound import Backend, Problem, StringMatch, VirtualHost
from meshkit.meshes.model.registry import Registry

Object = dict[str, Any]
OPAQUE = "config.linkerd.io/opaque-ports"


def port(number: int = 9090, **fields: Any) -> Object:
    return {"port": number, **fields}


def meta(name: str, **fields: Any) -> Object:
    return {"name": name, "namespace": "shop", "uid": name, "generation": 1, **fields}


def service(*ports: Object, name: str = "api", **annotations: str) -> Object:
    notes = {key.replace("_", "-"): value for key, value in annotations.items()}
    listed = ports or (port(8080, name="http", targetPort=8080), port(name="tcp-admin", targetPort="admin"))
    return {
        "metadata": meta(name, annotations={f"config.linkerd.io/{key}": v for key, v in notes.items()}),
        "spec": {"selector": {"app": "api"}, "clusterIP": "10.96.0.9", "ports": list(listed)},
    }


def pod(proxy: str = "istio-proxy", **annotations: str) -> Object:
    ports = [{"containerPort": 8080, "name": "http"}, {"containerPort": 9000, "name": "admin"}]
    notes = {f"config.linkerd.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "metadata": meta("api-0", labels={"app": "api"}, annotations=notes),
        "spec": {"containers": [{"name": "app", "ports": ports}, {"name": proxy}]},
        "status": {"podIP": "127.9.0.1"},
    }


@pytest.mark.parametrize(
    ("written", "protocol"),
    [
        (port(name="http"), "http"),
        (port(name="http-web"), "http"),
        (port(name="HTTP2-x"), "http2"),
        (port(name="grpc"), "grpc"),
        (port(name="grpc-web"), "grpc-web"),
        (port(name="grpc-web-x"), "grpc-web"),
        (port(name="grpc-webby"), "grpc-web"),
        (port(name="https-x"), "https"),
        (port(name="tls"), "tls"),
        (port(name="tcp-admin"), "tcp"),
        (port(name="mongo"), "mongo"),
        (port(name="mysql-main"), "mysql"),
        (port(name="redis"), "redis"),
        (port(), ""),
        (port(name="web"), ""),
        (port(name="httpx"), ""),
        (port(3306, name="db"), "tcp"),
        (port(53), "tcp"),
        (port(25, name="http"), "http"),
        (port(name="http", appProtocol="tcp"), "tcp"),
        (port(name="tcp", appProtocol="http-x"), "http"),
        (port(name="tcp", appProtocol="unknown"), ""),
        (port(name="tcp", appProtocol="kubernetes.io/h2c"), "http2"),
        (port(name="tcp", appProtocol="kubernetes.io/ws"), "http"),
        (port(name="http", appProtocol="kubernetes.io/wss"), "https"),
        (port(name="http", protocol="UDP"), "udp"),
    ],
)
def test_istio_takes_the_app_protocol_before_the_prefix_of_the_name(written: Object, protocol: str) -> None:
    assert hosts.protocol_of(written) == protocol


@pytest.mark.parametrize("protocol", ["tcp", "tls", "https", "mongo", "mysql", "redis"])
def test_istio_does_not_read_the_requests_of_these_protocols(protocol: str) -> None:
    (host,) = (h for h in istio_hosts(service(port(name=protocol))) if h.port == 9090)
    assert host.protocol == "tcp"


def test_istio_serves_no_port_of_udp() -> None:
    ports = port(53, name="dns", protocol="UDP"), port(53, name="dns-tcp", protocol="TCP")
    served = [(host.port, host.protocol) for host in istio_hosts(service(*ports)) if host.port]
    assert served == [(53, "tcp")]


@pytest.mark.parametrize("protocol", ["", "unknown", "http", "http2", "grpc", "grpc-web"])
def test_the_sandbox_reads_http_where_istio_does_or_detects(protocol: str) -> None:
    (host,) = (h for h in istio_hosts(service(port(name=protocol))) if h.port == 9090)
    assert host.protocol == "http"


@pytest.mark.parametrize(
    ("written", "opaque_ports", "protocol"),
    [
        (port(), None, "http"),
        (port(3306), None, "tcp"),
        (port(25), None, "tcp"),
        (port(3306), "9090", "http"),
        (port(3306, name="http"), None, "tcp"),
        (port(), "9090", "tcp"),
        (port(), "80, 9000-9100", "tcp"),
        (port(), "9091", "http"),
        (port(), "", "http"),
        (port(name="web"), "web", "tcp"),
        (port(name="web"), "admin", "http"),
        (port(3306, appProtocol="http"), None, "tcp"),
        (port(3306, appProtocol="kubernetes.io/h2c"), None, "tcp"),
        (port(3306, appProtocol="http"), "", "http"),
        (port(appProtocol="HTTP"), "9090", "tcp"),
        (port(appProtocol="HTTP"), "9091", "http"),
        (port(appProtocol="linkerd.io/opaque"), None, "tcp"),
        (port(appProtocol="linkerd.io/tcp"), None, "tcp"),
        (port(appProtocol="grpc"), None, "tcp"),
    ],
)
def test_linkerd_takes_opaque_ports_and_other_protocols_for_tcp(
    written: Object, opaque_ports: str | None, protocol: str
) -> None:
    notes = {} if opaque_ports is None else {"opaque_ports": opaque_ports}
    assert protocols.of_service(service(written, **notes), written) == protocol


@pytest.mark.parametrize(
    ("proxy_protocol", "opaque_ports", "protocol"),
    [
        (None, None, "http"),
        (None, "9000", "tcp"),
        (None, "admin", "tcp"),
        (None, "9001", "http"),
        ("unknown", "9000", "http"),
        ("HTTP/1", "9000", "http"),
        ("opaque", None, "tcp"),
        ("TLS", None, "tcp"),
    ],
)
def test_a_server_of_linkerd_rules_the_protocol_of_its_port(
    proxy_protocol: str | None, opaque_ports: str | None, protocol: str
) -> None:
    notes = {} if opaque_ports is None else {"opaque_ports": opaque_ports}
    servers = [server(proxy_protocol)] if proxy_protocol else []
    inbound = linkerd.inbound(Registry({"servers.policy": servers}), pod("linkerd-proxy", **notes))
    assert {each.port: each.protocol for each in inbound} == {8080: "http", 9000: protocol}


def istio_hosts(*services: Object, **objects: list[Object]) -> tuple[VirtualHost, ...]:
    return istio.outbound(Registry({"services": list(services), **objects}), Caller("shop")).hosts


def istio_problems(**objects: list[Object]) -> list[Problem]:
    registry = Registry({"services": [service()], "pods": [pod()], **objects})
    return list(istio.outbound(registry, Caller("shop")).problems)


def of_port(inbound: tuple[Inbound, ...], number: int) -> Inbound:
    return next(each for each in inbound if each.port == number)


def test_a_pod_of_istio_has_the_protocol_of_the_oldest_service_that_leads_to_its_port() -> None:
    def protocol(*services: Object) -> str:
        return of_port(istio.inbound(Registry({"services": list(services)}), pod()), 9000).protocol

    http = service(port(80, name="http", targetPort=9000), name="http")
    http["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    tcp = service()
    tcp["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    other = service(port(9000, name="tcp"), name="other")
    other["spec"]["selector"] = {"app": "other"}
    assert protocol() == protocol(other) == protocol(http) == "http"
    assert protocol(tcp) == protocol(http, tcp) == "tcp"
    tcp["metadata"]["creationTimestamp"] = "2026-01-03T00:00:00Z"
    assert protocol(http, tcp) == "http"


def policy(action: str, *rules: Object) -> Object:
    spec = {"selector": {"matchLabels": {"app": "api"}}, "action": action, "rules": list(rules)}
    return {"metadata": meta("p"), "spec": spec}


def to(**operation: Any) -> Object:
    return {"to": [{"operation": operation}]}


CALLER = Condition("identity", (StringMatch("regex", ".*/ns/bad/.*"),))
AT_9000 = Condition("port", (StringMatch("exact", "9000"),))
FROM = {"from": [{"source": {"namespaces": ["bad"], "requestPrincipals": ["*"]}}]}


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        (to(paths=["/internal/*"]), Rule()),
        (to(methods=["GET"], hosts=["x"], notPaths=["/"]), Rule()),
        (to(paths=["/a"], ports=["9000"]), Rule(operations=((AT_9000,),))),
        (FROM, Rule(sources=((CALLER,),))),
        ({"when": [{"key": "request.headers[x]", "values": ["1"]}]}, Rule()),
        ({"when": [{"key": "request.auth.claims[x]", "notValues": ["1"]}]}, Rule()),
        ({"when": [{"key": "source.namespace", "values": ["bad"]}]}, Rule(when=(CALLER,))),
    ],
)
def test_on_a_tcp_port_a_deny_of_istio_holds_without_its_http_fields(rule: Object, read: Rule) -> None:
    registry = Registry({"services": [service()], "authorizationpolicies": [policy("DENY", rule)]})
    (route,) = of_port(istio.inbound(registry, pod()), 9000).routes
    assert [each.rules for each in route.authorization.deny] == [(read,)]


def test_on_a_tcp_port_an_allow_of_istio_with_http_fields_never_holds() -> None:
    rules = (to(paths=["/a"]), {**FROM, **to(ports=["9000"])}, {"to": [{"operation": {"ports": ["9000"]}}]})
    registry = Registry({"services": [service()], "authorizationpolicies": [policy("ALLOW", *rules)]})
    (route,) = of_port(istio.inbound(registry, pod()), 9000).routes
    assert route.authorization.allow
    assert [each.rules for each in route.authorization.allow] == [(Rule(operations=((AT_9000,),)),)]


def test_on_an_http_port_the_http_fields_of_a_deny_hold() -> None:
    denied = policy("DENY", to(paths=["/internal/*"]))
    registry = Registry({"services": [service()], "authorizationpolicies": [denied]})
    (route,) = of_port(istio.inbound(registry, pod()), 8080).routes
    (rule,) = route.authorization.deny[0].rules
    assert [condition.subject for condition in rule.operations[0]] == ["path"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (policy("DENY", to(paths=["/internal/*"])), "refuses every connection"),
        (policy("DENY", {**FROM, **to(methods=["GET"])}), "holds without"),
        (policy("ALLOW", to(paths=["/a"])), "lets nobody in"),
        (policy("DENY", to(paths=["/a"], ports=["8080"])), None),
        (policy("DENY", to(paths=["/a"], notPorts=["9000"])), None),
        (policy("DENY", to(paths=["/a"], ports=["9000"])), "refuses every connection"),
        (policy("ALLOW", to(paths=["/a"], ports=["8080"])), None),
        (policy("DENY", to(ports=["9000"])), None),
        (policy("AUDIT", to(paths=["/a"])), None),
    ],
)
def test_http_fields_that_reach_a_tcp_port_are_told(item: Object, said: str | None) -> None:
    found = [p for p in istio_problems(authorizationpolicies=[item]) if p.reason == "HttpFieldsOnTcpPort"]
    if said is None:
        assert not found
    else:
        (problem,) = found
        assert said in problem.message
        assert "port 9000" in problem.message
        assert "api-0" not in problem.message


def test_http_fields_without_a_tcp_port_in_reach_are_not_told() -> None:
    elsewhere = policy("DENY", to(paths=["/a"]))
    elsewhere["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    assert not istio_problems(authorizationpolicies=[elsewhere])
    http = Registry(
        {
            "services": [service(port(name="http"))],
            "pods": [pod()],
            "authorizationpolicies": [policy("DENY", to(paths=["/a"]))],
        }
    )
    assert not istio_authorization.problems(http)


def virtual_service(*http: Object) -> Object:
    return {"metadata": meta("api"), "spec": {"hosts": ["api"], "http": list(http)}}


def test_http_rules_do_not_hold_on_a_tcp_port_of_istio() -> None:
    item = virtual_service(
        {"fault": {"abort": {"httpStatus": 500}}, "route": [{"destination": {"host": "api"}}]}
    )
    routes = {host.port: host.routes for host in istio_hosts(service(), virtualservices=[item])}
    assert routes[8080][0].owner == "shop/api"
    (only,) = routes[9090]
    assert (only.owner, only.retry, only.timeout_s) == ("", None, None)
    assert only.backends == (Backend("outbound|9090||api.shop.svc.cluster.local", 1),)


@pytest.mark.parametrize(
    ("match", "told"), [([], False), ([{"port": 9090}], True), ([{"port": 8080}], False)]
)
def test_http_rules_for_a_tcp_port_are_told(match: list[Object], told: bool) -> None:
    item = virtual_service(
        {"match": match, "route": [{"destination": {"host": "api", "port": {"number": 8080}}}]}
    )
    found = [p for p in istio_problems(virtualservices=[item]) if p.reason == "HttpRouteOnTcpPort"]
    assert [p.object["metadata"]["name"] for p in found] == (["api"] if told else [])


def test_http_rules_for_a_host_of_tcp_ports_alone_are_told() -> None:
    item = virtual_service({"route": [{"destination": {"host": "api"}}]})
    objects = {"services": [service(port(name="tcp"))], "virtualservices": [item]}
    found = istio.outbound(Registry(objects), Caller("shop")).problems
    assert [(p.reason, "9090" in p.message) for p in found] == [("HttpRouteOnTcpPort", True)]


def http_route(**parent: Any) -> Object:
    rule = {"backendRefs": [{"name": "api", "port": 8080}]}
    parents = [{"group": "", "kind": "Service", "name": "api", **parent}]
    return {"metadata": meta("route"), "spec": {"parentRefs": parents, "rules": [rule]}}


@pytest.mark.parametrize(("parent", "told"), [({"port": 9090}, True), ({"port": 8080}, False), ({}, False)])
def test_an_httproute_on_a_tcp_port_of_istio_is_told(parent: Object, told: bool) -> None:
    found = [p for p in istio_problems(httproutes=[http_route(**parent)]) if p.reason == "HttpRouteOnTcpPort"]
    assert len(found) == told


def test_on_an_opaque_port_of_linkerd_no_route_holds() -> None:
    objects = {"services": [service(opaque_ports="9090")], "httproutes": [http_route(port=9090)]}
    outbound = linkerd.outbound(Registry(objects), "shop")
    assert [(host.port, host.protocol) for host in outbound.hosts] == [(8080, "http"), (9090, "tcp")]
    (only,) = outbound.hosts[1].routes
    assert (only.owner, only.timeout_s) == ("", None)
    assert ["9090" in p.message for p in outbound.problems if p.reason == "OpaquePort"] == [True]


def server(protocol: str = "opaque", port: int | str = "admin") -> Object:
    spec = {"podSelector": {"matchLabels": {"app": "api"}}, "port": port, "proxyProtocol": protocol}
    return {"metadata": meta("admin"), "spec": spec}


def allowing(kind: str, name: str) -> Object:
    refs = [{"kind": "ServiceAccount", "name": f"of-{kind}".lower()}]
    target = {"group": "policy.linkerd.io" if kind == "Server" else "", "kind": kind, "name": name}
    spec = {"targetRef": target, "requiredAuthenticationRefs": refs}
    return {"metadata": meta(f"{kind}-{name}".lower()), "spec": spec}


def test_an_opaque_server_of_linkerd_takes_policies_of_itself_and_its_namespace_alone() -> None:
    parents = [{"group": "policy.linkerd.io", "kind": "Server", "name": "admin"}]
    route = {"metadata": meta("route"), "spec": {"parentRefs": parents, "rules": [{}]}}
    objects = {
        "servers.policy": [server()],
        "httproutes": [route],
        "authorizationpolicies.policy": [
            *(allowing("Server", "admin"), allowing("Namespace", "shop"), allowing("HTTPRoute", "route")),
        ],
    }
    registry = Registry(objects)
    inbound = of_port(linkerd.inbound(registry, pod("linkerd-proxy")), 9000)
    (only,) = inbound.routes
    assert [each.name.rpartition("/")[2] for each in only.authorization.allow or ()] == [
        *("namespace-shop", "server-admin"),
    ]
    problems = linkerd.outbound(registry, "shop").problems
    assert [p.object["metadata"]["name"] for p in problems if p.reason == "OpaquePort"] == ["route"]
