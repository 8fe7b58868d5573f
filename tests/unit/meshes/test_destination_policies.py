"""What each mesh's planner makes of a DestinationPolicy, alone and beside a Route of the same Service."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.checks.planned.schema import problems
from meshkit.errors import BadInput
from meshkit.facts import Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.traffic import Route
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.effective import Effective
from meshkit.meshes.istio.traffic.routes import SETTLE_S
from meshkit.meshes.model import words
from meshkit.meshes.routing import capabilities
from meshkit.meshes.routing.planned import after, steps_of
from tests.unit.meshes.meshed import service, sidecar

SHOP = Snapshot((service("web", 8080, 9090),))
OUTSIDE = "payments.example.com"
RANDOM = {"algorithm": "random"}
FEW = {"max_connections": 7}
EJECTION = {"consecutive_5xx": 3}
NOTE = "meshkit.dev/policy-fields"


def policy(host: str = "web", **fields: Any) -> DestinationPolicy:
    return DestinationPolicy(namespace="shop", host=host, **fields)


def route(port: int = 8080, **fields: Any) -> Route:
    given = {"versions": [{"name": "v1"}, {"name": "v2"}], "split": {"v1": 100}}
    return Route(**{"namespace": "shop", "service": "web", "port": port, **given, **fields})


def planned(mesh: str, *intents: Intent, over: Snapshot = SHOP) -> tuple[Step, ...]:
    return steps_of(intents, over, registry.mesh(mesh).planner)


def state(*intents: Intent, over: Snapshot = SHOP) -> Snapshot:
    return after(over, planned("istio", *intents, over=over))


def rule(found: Snapshot, name: str = "web") -> Object:
    obj = found.find("DestinationRule", name, "shop")
    assert obj is not None
    definition = next(
        each for each in registry.mesh("istio").crds() if each["spec"]["names"]["kind"] == "DestinationRule"
    )
    assert problems({**obj, "metadata": {"name": name, "namespace": "shop"}}, definition) == ()
    return obj


def entry(*ports: tuple[int, str], host: str = OUTSIDE) -> dict[str, Any]:
    listed = [{"number": number, "name": f"p{number}", "protocol": protocol} for number, protocol in ports]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "payments", "namespace": "shop"},
        "spec": {"hosts": [host], "ports": listed, "resolution": "DNS"},
    }


def test_istio_gets_a_rule_of_its_own_for_a_host_without_a_route() -> None:
    wanted = policy(
        load_balancing={"hash_header": "x-user"},
        connection_limits={"max_connections": 7, "connect_timeout_s": 0.5, "keepalive": {"time_s": 60}},
        outlier_detection={
            "consecutive_5xx": 0,
            "consecutive_gateway_errors": 2,
            "consecutive_local_failures": 4,
            "interval_s": 1,
            "base_ejection_s": 5,
            "max_ejection_percent": 50,
            "min_healthy_percent": 20,
        },
    )
    found = rule(state(wanted))
    assert found["spec"] == {
        "host": "web",
        "trafficPolicy": {
            "loadBalancer": {
                "consistentHash": {"httpHeaderName": "x-user"},
                "localityLbSetting": {"enabled": False},
            },
            "connectionPool": {
                "tcp": {"maxConnections": 7, "connectTimeout": "500ms", "tcpKeepalive": {"time": "60s"}}
            },
            "outlierDetection": {
                "consecutive5xxErrors": 0,
                "consecutiveGatewayErrors": 2,
                "splitExternalLocalOriginErrors": True,
                "consecutiveLocalOriginFailures": 4,
                "interval": "1s",
                "baseEjectionTime": "5s",
                "maxEjectionPercent": 50,
                "minHealthPercent": 20,
            },
        },
    }
    assert found["metadata"]["annotations"] == {NOTE: "connection_limits,load_balancing,outlier_detection"}


def test_a_policy_of_a_port_comes_before_one_of_every_port() -> None:
    found = rule(
        state(policy(load_balancing=RANDOM, connection_limits=FEW), policy(port=8080, load_balancing=None))
    )
    assert "portLevelSettings" not in found["spec"]["trafficPolicy"]
    of_port = policy(port=8080, load_balancing={"algorithm": "round_robin"})
    found = rule(state(policy(load_balancing=RANDOM, connection_limits=FEW), of_port))
    assert found["spec"]["trafficPolicy"] == {
        "loadBalancer": {"simple": "RANDOM"},
        "connectionPool": {"tcp": {"maxConnections": 7}},
        "portLevelSettings": [
            {
                "port": {"number": 8080},
                "loadBalancer": {"simple": "ROUND_ROBIN"},
                "connectionPool": {"tcp": {"maxConnections": 7}},
            }
        ],
    }


BOTH = {
    "trafficPolicy": {
        "loadBalancer": {"simple": "RANDOM"},
        "portLevelSettings": [
            {
                "port": {"number": 8080},
                "loadBalancer": {"simple": "RANDOM"},
                "connectionPool": {"tcp": {"maxConnections": 7}},
            }
        ],
    },
    "host": "web",
    "subsets": [
        {"name": "v1", "labels": {"version": "v1"}},
        {"name": "v2", "labels": {"version": "v2"}},
    ],
}


@pytest.mark.parametrize("order", ["together", "together, policy first", "route first", "policy first"])
def test_route_and_policy_join_in_one_rule(order: str) -> None:
    one, other = route(connection_limits=FEW), policy(load_balancing=RANDOM)
    match order:
        case "together":
            found = state(one, other)
        case "together, policy first":
            found = state(other, one)
        case "route first":
            found = state(other, over=state(one))
        case _:
            found = state(one, over=state(other))
    assert rule(found)["spec"] == BOTH
    assert state(one, over=found) == state(other, over=found) == found


def test_the_subsets_of_a_route_have_the_policy_at_every_step() -> None:
    over = state(route(), policy(load_balancing=RANDOM))
    later = route(versions=[{"name": "v3"}], split={"v3": 100})
    wanted = policy(connection_limits=FEW)
    steps = planned("istio", wanted, later, over=over)
    assert [step.kind.kind for step in steps] == ["DestinationRule", "VirtualService", "DestinationRule"]
    assert [step.settle_s for step in steps] == [SETTLE_S, SETTLE_S, 0]
    for step in (steps[0], steps[2]):
        assert step.object["spec"]["trafficPolicy"] == {"connectionPool": {"tcp": {"maxConnections": 7}}}
    assert [len(steps[number].object["spec"]["subsets"]) for number in (0, 2)] == [3, 1]


def test_an_empty_policy_takes_back_what_an_earlier_one_asked_for() -> None:
    alone = state(policy(load_balancing=RANDOM))
    (step,) = planned("istio", policy(), over=alone)
    assert (step.title, step.removed) == ("DestinationRule shop/web", True)
    found = rule(state(policy(), over=state(route(connection_limits=FEW), policy(load_balancing=RANDOM))))
    assert found == rule(state(route(connection_limits=FEW)))
    assert planned("istio", policy()) == ()


def test_a_changed_policy_changes_the_ports_that_repeat_it() -> None:
    over = state(route(connection_limits=FEW), policy(load_balancing=RANDOM))
    found = rule(state(policy(load_balancing={"algorithm": "round_robin"}), over=over))
    policy_of_port = found["spec"]["trafficPolicy"]["portLevelSettings"][0]
    assert policy_of_port["loadBalancer"] == {"simple": "ROUND_ROBIN"}
    assert policy_of_port["connectionPool"] == {"tcp": {"maxConnections": 7}}


@pytest.mark.parametrize("port", [None, 8080])
def test_a_policy_that_says_otherwise_than_a_route_is_refused(port: int | None) -> None:
    over = state(route(load_balancing={"algorithm": "round_robin"}))
    with pytest.raises(BadInput, match="the Route for port 8080 of shop/web sets load_balancing") as refused:
        state(policy(port=port, load_balancing=RANDOM), over=over)
    assert refused.value.field == "destination_policy.load_balancing"
    assert "out of that Route and plan both together" in refused.value.remedy
    found = rule(state(route(), policy(port=port, load_balancing=RANDOM), over=over))
    assert "ROUND_ROBIN" not in str(found)


def test_a_policy_of_another_port_than_the_routes_is_not_refused() -> None:
    one = route(load_balancing={"algorithm": "round_robin"})
    found = rule(state(policy(port=9090, load_balancing=RANDOM), over=state(one)))
    ports = found["spec"]["trafficPolicy"]["portLevelSettings"]
    assert [each["loadBalancer"]["simple"] for each in ports] == ["ROUND_ROBIN", "RANDOM"]
    assert rule(state(one, over=state(policy(port=9090, load_balancing=RANDOM)))) == found


def test_a_route_that_says_otherwise_than_a_policy_is_refused() -> None:
    over = state(policy(load_balancing=RANDOM))
    with pytest.raises(BadInput, match="a DestinationPolicy of shop/web sets load_balancing") as refused:
        state(route(load_balancing={"algorithm": "round_robin"}), over=over)
    assert refused.value.field == "route.load_balancing"
    assert rule(state(route(load_balancing=RANDOM), over=over))["spec"]["trafficPolicy"] == {
        "loadBalancer": {"simple": "RANDOM"}
    }


def test_the_services_of_versions_have_the_policy_too() -> None:
    made = service("web-v1", 8080)
    made["metadata"]["labels"] = {"meshkit.dev/version-of": "web"}
    found = state(policy(load_balancing=RANDOM), over=Snapshot((*SHOP.objects, made)))
    assert rule(found, "web-v1")["spec"] == {
        "host": "web-v1",
        "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
    }


@pytest.mark.parametrize("order", ["together", "policy first", "route first"])
def test_the_versions_of_an_http_route_have_the_policy_and_that_of_the_route(order: str) -> None:
    one, other = route(api="gateway", connection_limits=FEW), policy(load_balancing=RANDOM)
    match order:
        case "together":
            found = state(one, other)
        case "route first":
            found = state(other, over=state(one))
        case _:
            found = state(one, over=state(other))
    assert rule(found, "web-v2")["spec"] == {"host": "web-v2", "trafficPolicy": BOTH["trafficPolicy"]}
    assert state(one, over=found) == state(other, over=found) == found


def test_only_the_policy_is_written_to_the_rule_of_a_team() -> None:
    theirs = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "web", "namespace": "shop", "managedFields": [{"manager": "team"}]},
        "spec": {"host": "web.shop.svc.cluster.local", "subsets": [{"name": "blue"}]},
    }
    wanted = policy(load_balancing=RANDOM)
    (step,) = planned("istio", wanted, over=Snapshot((*SHOP.objects, theirs)))
    assert (step.manager, step.partial) == ("meshkit-destination-policy", True)
    assert step.object["spec"] == {
        "host": "web.shop.svc.cluster.local",
        "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
    }


def test_tls_to_a_host_outside_is_begun_on_its_plain_port() -> None:
    wanted = policy(OUTSIDE, port=80, tls={"sni": OUTSIDE, "server_names": [OUTSIDE]})
    over = Snapshot((entry((80, "HTTP"), (443, "HTTPS")),))
    assert rule(state(wanted, over=over), OUTSIDE)["spec"] == {
        "host": OUTSIDE,
        "trafficPolicy": {
            "portLevelSettings": [
                {
                    "port": {"number": 80},
                    "tls": {"mode": "SIMPLE", "sni": OUTSIDE, "subjectAltNames": [OUTSIDE]},
                }
            ]
        },
    }


def test_a_secret_is_for_the_selected_callers_in_a_rule_of_their_own() -> None:
    secret = {"mode": "mutual", "secret": "payments-client"}
    wanted = policy(OUTSIDE, port=80, tls=secret, callers={"app": "checkout"})
    found = state(wanted, policy(OUTSIDE, connection_limits=FEW), over=Snapshot((entry((80, "HTTP")),)))
    general, private = sorted(found.of("DestinationRule"), key=lambda each: each["metadata"]["name"])
    assert (general["metadata"]["name"], "workloadSelector" in general["spec"]) == (OUTSIDE, False)
    assert private["metadata"]["name"].startswith(f"{OUTSIDE}-")
    assert private["spec"]["workloadSelector"] == {"matchLabels": {"app": "checkout"}}
    tls = private["spec"]["trafficPolicy"]["portLevelSettings"][0]["tls"]
    assert tls == {"mode": "MUTUAL", "credentialName": "payments-client"}
    rule(found, private["metadata"]["name"])


@pytest.mark.parametrize(
    ("ports", "remedy"),
    [([(443, "HTTPS"), (80, "HTTP")], "call in plain text: 80"), ([(443, "TLS")], "Add a port with")],
)
def test_tls_within_tls_is_refused(ports: list[tuple[int, str]], remedy: str) -> None:
    with pytest.raises(BadInput, match="TLS within TLS") as refused:
        state(policy(OUTSIDE, tls={}), over=Snapshot((entry(*ports),)))
    assert refused.value.field == "destination_policy.port"
    assert remedy in refused.value.remedy


def settings(mesh: str, found: Snapshot, host: str, port: int) -> tuple[str, ...]:
    """What a caller in the namespace takes for a host, in words."""
    row = registry.mesh(mesh)
    seen = Snapshot((*found.objects, sidecar(mesh)))
    effective = Effective(seen, mesh, row.meaning, row.control_plane.home)
    (caller,) = effective.callers
    (cluster,) = (
        each for each in effective.outbound(caller).clusters if each.name == f"outbound|{port}||{host}"
    )
    return words.settings(cluster)


def test_the_meaning_has_the_policy_of_each_port() -> None:
    found = state(
        policy(connection_limits=FEW, outlier_detection={"consecutive_local_failures": 2}),
        policy(port=9090, load_balancing={"algorithm": "round_robin"}),
    )
    host = "web.shop.svc.cluster.local"
    for port, more in ((8080, set()), (9090, {"balancing.policy ROUND_ROBIN"})):
        assert set(settings("istio", found, host, port)) == {
            *("limits.max_connections 7", "outlier.split_local_origin True"),
            *("outlier.consecutive_local_origin 2", *more),
        }
    over = Snapshot((entry((80, "HTTP")),))
    found = state(policy(OUTSIDE, connection_limits={"max_connections": 9}), over=over)
    assert settings("istio", found, OUTSIDE, 80) == ("limits.max_connections 9",)


def test_the_meaning_of_linkerd_has_the_circuit_breaker() -> None:
    (step,) = planned("linkerd", policy(outlier_detection={**EJECTION, "max_ejection_s": 60}))
    found = Snapshot((annotated(step.object["metadata"]["annotations"]),))
    said = settings("linkerd", found, "web.shop.svc.cluster.local", 8080)
    assert {"outlier.consecutive_5xx 3", "outlier.max_ejection_s 60.0"} <= set(said)


def linkerd_notes(failures: int, **more: str) -> dict[str, str]:
    prefix = "balancer.linkerd.io/failure-accrual"
    return {
        prefix: "consecutive",
        f"{prefix}-consecutive-max-failures": str(failures),
        f"{prefix}-consecutive-min-penalty": "30s",
        f"{prefix}-consecutive-max-penalty": "300s",
        **more,
    }


def annotated(notes: dict[str, str], name: str = "web", **labels: str) -> dict[str, Any]:
    found = service(name, 8080)
    found["metadata"] |= {"annotations": notes, "labels": labels}
    return found


def test_linkerd_gets_a_circuit_breaker_of_the_service() -> None:
    (step,) = planned("linkerd", policy(outlier_detection=EJECTION))
    assert (step.title, step.partial) == ("Service shop/web", True)
    assert step.object["metadata"]["annotations"] == linkerd_notes(3, **{NOTE: "outlier_detection"})
    longest = {"base_ejection_s": 2, "max_ejection_s": 20}
    (step,) = planned("linkerd", policy(outlier_detection=longest))
    notes = step.object["metadata"]["annotations"]
    assert notes["balancer.linkerd.io/failure-accrual-consecutive-max-penalty"] == "20s"


def test_linkerd_takes_a_circuit_breaker_back() -> None:
    held = annotated(linkerd_notes(3, **{NOTE: "outlier_detection"}))
    (step,) = planned("linkerd", policy(), over=Snapshot((held,)))
    assert "annotations" not in step.object["metadata"]
    assert planned("linkerd", policy(), over=Snapshot((annotated(linkerd_notes(3)),))) == ()


def test_a_route_without_a_circuit_breaker_takes_back_that_of_an_earlier_one() -> None:
    steps = planned("linkerd", route(), over=Snapshot((annotated(linkerd_notes(3)),)))
    (step,) = [step for step in steps if step.partial]
    assert "annotations" not in step.object["metadata"]


def test_linkerd_follows_one_circuit_breaker_of_route_and_policy() -> None:
    held = annotated(linkerd_notes(3, **{NOTE: "outlier_detection"}))
    with pytest.raises(BadInput, match="DestinationPolicy of shop/web sets outlier_detection") as refused:
        planned("linkerd", route(outlier_detection={}), over=Snapshot((held,)))
    assert refused.value.field == "route.outlier_detection"
    for one in (route(), route(outlier_detection=EJECTION)):
        assert not [step for step in planned("linkerd", one, over=Snapshot((held,))) if step.partial]
    version = annotated(linkerd_notes(3), "web-v1", **{"meshkit.dev/version-of": "web"})
    over = Snapshot((annotated(linkerd_notes(3)), version))
    with pytest.raises(BadInput, match="a Route of shop/web sets outlier_detection") as refused:
        planned("linkerd", policy(outlier_detection={}), over=over)
    assert refused.value.field == "destination_policy.outlier_detection"
    with pytest.raises(BadInput, match="a Route of shop/web sets outlier_detection"):
        planned("linkerd", policy(outlier_detection={}), route(outlier_detection=EJECTION))
    owned: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in linkerd_notes(3)}}}
    version["metadata"]["managedFields"] = [{"manager": "meshkit", "fieldsV1": owned}]
    one, both = route(versions=[{"name": "v1"}]), policy(outlier_detection={})
    parts = [step for step in planned("linkerd", one, both, over=over) if step.partial]
    assert [step.object["metadata"]["annotations"] for step in parts] == [
        linkerd_notes(5, **{NOTE: "outlier_detection"})
    ]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("linkerd", {"port": 8080, "outlier_detection": {}}, "port"),
    ("linkerd", {"load_balancing": RANDOM}, "load_balancing.algorithm"),
    ("linkerd", {"load_balancing": {"algorithm": "round_robin", "warm_up_s": 9}}, "load_balancing.algorithm"),
    ("linkerd", {"connection_limits": FEW}, "connection_limits"),
    ("linkerd", {"outlier_detection": {"min_healthy_percent": 5}}, "outlier_detection.min_healthy_percent"),
    ("linkerd", {"outlier_detection": {"consecutive_local_failures": 5}}, "outlier_detection."),
    (
        "linkerd",
        {"outlier_detection": {"consecutive_5xx": 0, "consecutive_local_failures": 5}},
        "outlier_detection.consecutive_local_failures",
    ),
    ("linkerd", {"host": OUTSIDE, "outlier_detection": {}}, "host"),
    ("istio", {"outlier_detection": {"max_ejection_s": 60}}, "outlier_detection.max_ejection_s"),
]


@pytest.mark.parametrize(("mesh", "fields", "field"), REFUSED)
def test_what_a_mesh_cannot_do_is_refused_with_what_it_can(
    mesh: str, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput, match="cannot do this") as refused:
        planned(mesh, policy(**fields))
    assert refused.value.field.startswith(f"destination_policy.{field}")
    assert refused.value.remedy


@pytest.mark.parametrize("mesh", list(registry.MESHES))
def test_every_limit_is_a_field_of_a_policy(mesh: str) -> None:
    known = {place for place, _ in capabilities.places(DestinationPolicy)}
    assert set(registry.mesh(mesh).planner.policy_limits) <= known


def test_linkerd_gets_no_policy_for_ports_that_it_takes_for_tcp() -> None:
    opaque = annotated({"config.linkerd.io/opaque-ports": "8080"})
    with pytest.raises(BadInput, match="the destination_policy would have no effect"):
        planned("linkerd", policy(outlier_detection={}), over=Snapshot((opaque,)))
