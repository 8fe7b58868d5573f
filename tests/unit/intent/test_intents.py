"""Intents refuse invalid values, naming the field and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshkit.errors import BadInput, UnknownName
from meshkit.intent.balancing import LoadBalancing, OutlierDetection
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.egress import Egress
from meshkit.intent.edges.exposure import Exposure
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.release import Margins, Release
from meshkit.intent.rules import Fault
from meshkit.intent.security import Access, Caller, MutualTLS
from meshkit.intent.traffic import HeaderMatch, Route, Version

WRONG: Any = "on"
FAILOVER = "destination_policy.load_balancing.failover"


def route(**fields: Any) -> Route:
    given: dict[str, Any] = {
        "namespace": "shop",
        "service": "web",
        "port": 8080,
        "versions": (Version(name="v1"), Version(name="v2")),
        "split": {"v1": 90, "v2": 10},
    }
    return Route(**{**given, **fields})


def policy(host: str, **fields: Any) -> DestinationPolicy:
    return DestinationPolicy(namespace="shop", host=host, **fields)


def egress(**fields: Any) -> Egress:
    ports = ({"number": 80, "protocol": "http"},)
    given = {"namespace": "shop", "name": "payments", "hosts": ("a.example",), "ports": ports}
    return Egress(**{**given, **fields})


def exposure(**fields: Any) -> Exposure:
    routes = ({"service": "web", "port": 8080},)
    given = {"namespace": "shop", "name": "public", "hosts": ("shop.example.com",), "routes": routes}
    return Exposure(**{**given, **fields})


def access(**fields: Any) -> Access:
    callers = (Caller(namespace="shop", service_account="client"),)
    return Access(**{"namespace": "shop", "service": "web", "callers": callers, **fields})


def release(**fields: Any) -> Release:
    given: dict[str, Any] = {
        "name": "web-v2",
        "namespace": "shop",
        "service": "web",
        "port": 8080,
        "stable": "v1",
        "canary": "v2",
    }
    return Release(**{**given, **fields})


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: route(split={"v1": 90, "v2": 20}), "route.split"),
        (lambda: route(split={"v1": 90, "v3": 10}), "route.split.v3"),
        (lambda: route(split={"v1": 99.95, "v2": 0.05}), "route.split.v1"),
        (lambda: ControlPlane(revision="1.31"), "control_plane.revision"),
        (lambda: ControlPlane(revision="default"), "control_plane.revision"),
        (lambda: ControlPlane(tags=("prod", "prod")), "control_plane.tags[1]"),
        (lambda: ControlPlane(revision="a", tags=("a",)), "control_plane.tags[0]"),
        (lambda: ControlPlane(tags=("default",)), "control_plane.tags[0]"),
        (lambda: route(port=0), "route.port"),
        (lambda: route(port="http"), "route.port"),
        (lambda: route(namespace="Shop"), "route.namespace"),
        (lambda: route(versions=()), "route.versions"),
        (lambda: route(versions=(Version(name="v1"), Version(name="v1"))), "route.versions"),
        (lambda: route(versions=[{"name": "v_1"}]), "route.versions[0].name"),
        (lambda: route(timeout_s=0), "route.timeout_s"),
        (
            lambda: route(matches=(HeaderMatch(header="x-beta", value="1", version="v3"),)),
            "route.matches[0].version",
        ),
        (lambda: LoadBalancing(), "load_balancing"),
        (lambda: LoadBalancing(algorithm="random", hash_header="x-user"), "load_balancing"),
        (lambda: LoadBalancing(algorithm="random", warm_up_s=1), "load_balancing.warm_up_s"),
        (lambda: LoadBalancing(hash_source=False), "load_balancing.hash_source"),
        (lambda: LoadBalancing(distribute={"a": {"a": 50}}), "load_balancing.distribute.a"),
        (lambda: LoadBalancing(failover={"a": "b"}, distribute={"a": {"b": 100}}), "load_balancing.failover"),
        (lambda: route(load_balancing={"failover": {"a": "b"}}), "route.load_balancing.failover"),
        (lambda: route(connection_limits={"keepalive": {}}), "route.connection_limits.keepalive"),
        (lambda: Fault(), "fault"),
        (lambda: release(steps=(1, 120)), "release.steps[1]"),
        (lambda: release(steps=(5, 1, 100)), "release.steps[1]"),
        (lambda: release(steps=(1, 50)), "release.steps[1]"),
        (lambda: release(canary="v1"), "release.canary"),
        (lambda: release(gates=[{"name": "a", "before": 30}]), "release.gates[0].before"),
        (lambda: release(gates=[{"name": "a"}, {"name": "a"}]), "release.gates[1].name"),
        (lambda: release(gates=[{"name": "A"}]), "release.gates[0].name"),
        (lambda: release(gates=[{"name": "a", "by": "file"}]), "release.gates[0].file"),
        (lambda: release(gates=[{"name": "a", "by": "file", "file": "x"}]), "release.gates[0].file"),
        (lambda: release(gates=[{"name": "a", "file": "/x"}]), "release.gates[0].file"),
        (lambda: release(gates=[{"name": "a", "by": "webhook"}]), "release.gates[0].webhook"),
        (lambda: release(gates=[{"name": "a", "webhook": {"name": "s"}}]), "release.gates[0].webhook"),
        (
            lambda: release(gates=[{"name": "a", "by": "webhook", "webhook": {"name": "S"}}]),
            "release.gates[0].webhook.name",
        ),
        (lambda: release(gates=[{"name": "a", "expires_s": 0}]), "release.gates[0].expires_s"),
        (lambda: release(gates=[{"name": "a", "at_expiry": "promote"}]), "release.gates[0].at_expiry"),
        (lambda: release(margins={"error_points": -1}), "release.margins.error_points"),
        (lambda: Margins(confidence=1), "margins.confidence"),
        (lambda: ControlPlane(replicas=0), "control_plane.replicas"),
        (lambda: ControlPlane(charts="somewhere"), "control_plane.charts"),
        (lambda: ControlPlane(values={"pdb": {}}), "control_plane.values"),
        (lambda: ControlPlane(quota={"cpu": "much", "memory": "1Gi"}), "control_plane.quota.cpu"),
        (lambda: MutualTLS(mode=WRONG), "mutual_tls.mode"),
        (lambda: access(callers=()), "access.callers"),
        (lambda: access(paths=("/api", "api")), "access.paths[1]"),
        (lambda: access(paths=("/api*",)), "access.paths[0]"),
        (lambda: access(paths=("/a/*/b",)), "access.paths[0]"),
        (lambda: access(methods=("get",)), "access.methods[0]"),
        (lambda: Caller(namespace="shop", service_account="a", workload="b"), "caller"),
        (lambda: OutlierDetection(consecutive_5xx=0), "outlier_detection.consecutive_5xx"),
        (lambda: OutlierDetection(max_ejection_s=5), "outlier_detection.max_ejection_s"),
        (lambda: policy("Web"), "destination_policy.host"),
        (lambda: policy("web.shop.svc.cluster.local"), "destination_policy.host"),
        (lambda: policy("web", tls={}), "destination_policy.tls"),
        (lambda: policy("web", callers={"app": "a"}), "destination_policy.callers"),
        (lambda: policy("a.example", callers={}), "destination_policy.callers"),
        (lambda: policy("a.example", tls={"secret": "a"}), "destination_policy.tls.secret"),
        (lambda: policy("a.example", tls={"mode": "mutual"}), "destination_policy.tls.secret"),
        (lambda: egress(hosts=()), "egress.hosts"),
        (lambda: egress(hosts=("a.example", "a.example")), "egress.hosts[1]"),
        (lambda: egress(hosts=("payments",)), "egress.hosts[0]"),
        (lambda: egress(hosts=("web.shop.svc.cluster.local",)), "egress.hosts[0]"),
        (lambda: egress(hosts=("192.0.2.1",)), "egress.hosts[0]"),
        (lambda: egress(hosts=("*",)), "egress.hosts[0]"),
        (lambda: egress(hosts=("a.example", "*.b.example")), "egress.hosts[1]"),
        (lambda: egress(hosts=("*.a.example",), addresses=("192.0.2.1",)), "egress.addresses"),
        (lambda: egress(addresses=("a.example",)), "egress.addresses[0]"),
        (lambda: egress(ports=({"number": 5432, "protocol": "tcp"},)), "egress.ports[0].protocol"),
        (lambda: egress(ports=({"number": 80, "protocol": "http"},) * 2), "egress.ports[1].number"),
        (lambda: egress(ports=({"number": 0, "protocol": "http"},)), "egress.ports[0].number"),
        (lambda: exposure(hosts=()), "exposure.hosts"),
        (lambda: exposure(hosts=("shop",)), "exposure.hosts[0]"),
        (lambda: exposure(hosts=("a.example", "a.example")), "exposure.hosts[1]"),
        (lambda: exposure(routes=()), "exposure.routes"),
        (lambda: exposure(routes=({"service": "web", "port": 80},) * 2), "exposure.routes[1].path"),
        (
            lambda: exposure(routes=({"service": "web", "port": 80, "path": "api"},)),
            "exposure.routes[0].path",
        ),
        (
            lambda: exposure(routes=({"service": "w", "port": 8, "split": {"v1": 9}},)),
            "exposure.routes[0].split",
        ),
        (lambda: exposure(certificate={}), "exposure.certificate.secret"),
        (
            lambda: exposure(certificate={"secret": "a", "issuer_kind": "Issuer"}),
            "exposure.certificate.issuer",
        ),
        (lambda: exposure(certificate={"secret": "a"}, port=80), "exposure.port"),
        (lambda: policy("web", load_balancing={"failover": {"a": "b"}}), FAILOVER),
    ],
)
def test_bad_values_name_the_field(build: Callable[[], Intent], field: str) -> None:
    with pytest.raises(BadInput) as raised:
        build()
    assert raised.value.field == field
    assert raised.value.exit_code == 2
    assert raised.value.remedy


def test_weights_that_do_not_sum_to_100_say_what_they_sum_to() -> None:
    with pytest.raises(BadInput, match=r"^route\.split: the weights sum to 110, not to 100\."):
        route(split={"v1": 90, "v2": 20})


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(UnknownName, match=r"^route: 'splt' is not known\. Did you mean 'split'\?"):
        route(splt={"v1": 100})


def test_an_unknown_field_of_a_part_is_named_with_its_place() -> None:
    with pytest.raises(
        UnknownName, match=r"^route\.versions\[0\]: 'label' is not known. Did you mean 'labels'?"
    ):
        route(versions=[{"name": "v1", "label": {}}])


def test_intents_are_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        route().port = 1


@pytest.mark.parametrize(
    ("split", "weights"),
    [
        ({"v1": 90, "v2": 10}, {"v1": 90, "v2": 10}),
        ({"v1": 100}, {"v1": 100, "v2": 0}),
        ({"v2": 0.5, "v1": 99.5}, {"v1": 995, "v2": 5}),
        ({"v1": 66.7, "v2": 33.3}, {"v1": 667, "v2": 333}),
    ],
)
def test_weights_are_integers_that_keep_one_decimal(split: dict[str, float], weights: dict[str, int]) -> None:
    assert route(split=split).weights() == weights


def test_labels_follow_the_convention_unless_given() -> None:
    assert Version(name="v1").pod_labels() == {"version": "v1"}
    assert Version(name="v1", labels={"track": "old"}).pod_labels() == {"track": "old"}
    assert route().pod_selector() == {"app": "web"}
    assert route(selector={"name": "web"}).pod_selector() == {"name": "web"}


def rule(**fields: Any) -> Route:
    return route(rules=[{"split": {"v2": 100}, **fields}])


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: rule(split=None), "route.rules[0]"),
        (lambda: rule(respond={"status": 200}), "route.rules[0]"),
        (lambda: rule(split={"v3": 100}), "route.rules[0].split.v3"),
        (lambda: rule(split={"v1": 90}), "route.rules[0].split"),
        (lambda: rule(mirror={"version": "v3"}), "route.rules[0].mirror.version"),
        (lambda: rule(mirror={"version": "v1", "port": 80}), "route.rules[0].mirror.port"),
        (lambda: rule(mirror={}), "route.rules[0].mirror"),
        (lambda: rule(matches=[{}]), "route.rules[0].matches[0]"),
        (lambda: rule(matches=[{"path": {}}]), "route.rules[0].matches[0].path"),
        (lambda: rule(matches=[{"path": {"exact": "a"}}]), "route.rules[0].matches[0].path.exact"),
        (lambda: rule(matches=[{"path": {"exact": "/a?b=1"}}]), "route.rules[0].matches[0].path.exact"),
        (lambda: rule(matches=[{"path": {"regex": "/("}}]), "route.rules[0].matches[0].path.regex"),
        (lambda: rule(matches=[{"path": {"regex": "/(?=a)"}}]), "route.rules[0].matches[0].path.regex"),
        (lambda: rule(matches=[{"method": "get"}]), "route.rules[0].matches[0].method"),
        (
            lambda: rule(matches=[{"headers": {"host": {"exact": "a"}}}]),
            "route.rules[0].matches[0].headers.host.[key]",
        ),
        (
            lambda: rule(matches=[{"headers": {"a": {"exact": "b", "prefix": "c"}}}]),
            "route.rules[0].matches[0].headers.a",
        ),
        (lambda: rule(rewrite={}), "route.rules[0].rewrite"),
        (lambda: rule(rewrite={"path": "/a", "prefix": "/b"}), "route.rules[0].rewrite"),
        (lambda: rule(rewrite={"prefix": "/b"}), "route.rules[0].rewrite.prefix"),
        (
            lambda: rule(
                rewrite={"prefix": "/b"}, matches=[{"path": {"prefix": "/a"}}, {"path": {"prefix": "/c"}}]
            ),
            "route.rules[0].rewrite.prefix",
        ),
        (lambda: rule(split=None, redirect={}), "route.rules[0].redirect"),
        (lambda: rule(split=None, redirect={"path": "/a"}, timeout_s=1), "route.rules[0].timeout_s"),
        (lambda: rule(split=None, respond={"status": 99}), "route.rules[0].respond.status"),
        (
            lambda: rule(split=None, services=[{"service": "a", "port": 1, "percent": 50}]),
            "route.rules[0].services",
        ),
        (
            lambda: rule(
                split=None,
                services=[
                    {"service": "a", "port": 1, "percent": 50},
                    {"service": "a", "port": 1, "percent": 50},
                ],
            ),
            "route.rules[0].services",
        ),
        (lambda: rule(cors={"origins": ["shop.example"]}), "route.rules[0].cors.origins[0]"),
        (lambda: rule(request_headers={"set": {"a": "b\nc"}}), "route.rules[0].request_headers.set.a"),
        (lambda: rule(retries={"attempts": 1, "statuses": [200]}), "route.rules[0].retries.statuses[0]"),
        (
            lambda: rule(matches=[{"headers": {"X-A": {"exact": "a"}, "x-a": {"exact": "b"}}}]),
            "route.rules[0].matches[0].headers.x-a",
        ),
        (
            lambda: rule(request_headers={"set": {"X-A": "a", "x-a": "b"}}),
            "route.rules[0].request_headers.set.x-a",
        ),
        (lambda: rule(matches=[{"query": {"": {"exact": "a"}}}]), "route.rules[0].matches[0].query..[key]"),
        (lambda: rule(timeout_s=1e300), "route.rules[0].timeout_s"),
        (lambda: rule(split=None, redirect={"host": "a\nb"}), "route.rules[0].redirect.host"),
        (lambda: rule(rewrite={"host": "a b"}), "route.rules[0].rewrite.host"),
        (lambda: rule(cors={"origins": ["*"], "methods": ["GET,PUT"]}), "route.rules[0].cors.methods[0]"),
    ],
)
def test_a_rule_refuses_what_no_proxy_could_do(build: Callable[[], Intent], field: str) -> None:
    with pytest.raises(BadInput) as raised:
        build()
    assert raised.value.field == field


@pytest.mark.parametrize(
    "regex",
    [
        r"(a)\1",
        r"(?P<x>a)(?P=x)",
        r"(a)?(?(1)b|c)",
        r"(?<!a)b",
        r"(?>a)b",
        r"(?x)a b",
        r"a(?#b)",
        r"a++b",
        r"a{2}+b",
        r"a\Z",
        r"a\u1234",
        r"a{1001}",
        r"a{1,99999999999999999999}",
        "(" * 500 + "a" + ")" * 500,
        "a|" * 600 + "b",
    ],
)
def test_an_expression_that_a_proxy_cannot_read_is_refused(regex: str) -> None:
    """Python reads more than RE2: a proxy would refuse it with everything that is delivered beside it."""
    with pytest.raises(BadInput) as raised:
        rule(matches=[{"path": {"regex": regex}}])
    assert raised.value.field == "route.rules[0].matches[0].path.regex"


@pytest.mark.parametrize(
    "regex",
    [
        r"/v[0-9]+(?:/.*)?",
        r"(?i)beta-.*",
        r"(?P<x>a)|b",
        r"a\\1",
        r"[+*?}]+",
        r"[]{}++]",
        r"a{2,1000}?",
        r"\d\x41\.\b",
        r"a\++",
        r"(a)|(?-i:b)",
    ],
)
def test_an_expression_that_a_proxy_reads_is_taken(regex: str) -> None:
    rule(matches=[{"path": {"regex": regex}}])
