"""Findings before a plan about DestinationPolicies: what they are for, and rules of others that decide."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.checks.planned import preflight
from meshkit.facts import Finding, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.traffic import Route
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing.planned import after, steps_of
from tests.unit.meshes.destination_rules import POOL, SAME, rule
from tests.unit.meshes.meshed import service, sidecar

OUTSIDE = "payments.example.com"
FEW = {"max_connections": 7}


def policy(host: str = "web", **fields: Any) -> DestinationPolicy:
    return DestinationPolicy(namespace="shop", host=host, **fields)


def entry() -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "payments", "namespace": "shop"},
        "spec": {
            "hosts": [OUTSIDE],
            "location": "MESH_EXTERNAL",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "10.9.9.9"}],
        },
    }


def found(*intents: Intent, beside: tuple[Object, ...] = (), mesh: str = "istio") -> list[Finding]:
    seen = Snapshot((service("web", 8080), sidecar(mesh), *beside))
    return list(preflight.check(intents, seen, mesh))


def said(*intents: Intent, **more: Any) -> list[tuple[str, str, str]]:
    findings = found(*intents, **more)
    assert all(finding.remedy for finding in findings)
    return [(finding.code, finding.severity, finding.object) for finding in findings]


@pytest.mark.parametrize("mesh", list(MESHES))
def test_a_policy_is_for_a_service_and_port_that_are_there(mesh: str) -> None:
    assert said(policy(outlier_detection={}), mesh=mesh) == []
    assert said(policy("wbe", outlier_detection={}), mesh=mesh) == [
        ("MK0241", "error", "destination_policy.host")
    ]


def test_a_policy_is_for_a_port_that_is_there() -> None:
    assert said(policy(port=80, connection_limits=FEW)) == [("MK0241", "error", "destination_policy.port")]


def test_a_host_that_no_service_entry_has_is_a_warning() -> None:
    assert said(policy(OUTSIDE, connection_limits=FEW)) == [("MK0241", "warning", "destination_policy.host")]
    assert said(policy(OUTSIDE, connection_limits=FEW), beside=(entry(),)) == []


def test_a_port_has_one_policy_in_a_plan() -> None:
    one, other = policy(connection_limits=FEW), policy(load_balancing={"algorithm": "random"})
    assert said(one, other) == [("MK0242", "error", "destination_policy.host")]
    assert said(one, policy(port=8080, connection_limits=FEW)) == []


def test_an_older_rule_with_a_policy_keeps_the_planned_one_from_its_effect() -> None:
    (finding,) = found(policy(connection_limits=FEW), beside=(rule("web-team", trafficPolicy=POOL),))
    assert (finding.code, finding.severity) == ("MK0240", "error")
    assert finding.object == "destination_policy.connection_limits"
    assert finding.message == (
        "DestinationRule shop/web-team decides how callers in shop reach web.shop:8080: connection_limits of"
        " the planned policy would have no effect."
    )
    assert "leave them out of the DestinationPolicy" in finding.remedy


def test_an_older_rule_without_a_policy_is_no_rival() -> None:
    assert found(policy(connection_limits=FEW), beside=(rule("web-team", subsets=SAME),)) == []


def test_an_older_rule_for_a_host_outside_is_named() -> None:
    theirs = rule("payments", host=OUTSIDE, trafficPolicy=POOL)
    (finding,) = found(policy(OUTSIDE, connection_limits=FEW), beside=(entry(), theirs))
    assert finding.code == "MK0240"
    assert f"reach {OUTSIDE}:80: connection_limits" in finding.message
    (finding,) = found(policy(OUTSIDE, tls={}), beside=(entry(), theirs))
    assert finding.object == "destination_policy.tls"


def test_a_plan_that_moves_a_setting_from_a_route_to_a_policy_has_no_finding() -> None:
    given: dict[str, Any] = {"namespace": "shop", "service": "web", "port": 8080, "split": {"v1": 100}}
    given["versions"] = [{"name": "v1"}]
    before = Route(**{**given, "connection_limits": {"max_connections": 1}})
    shop = Snapshot((service("web", 8080), sidecar("istio", app="web", version="v1")))
    standing = after(shop, steps_of([before], shop, MESHES["istio"].planner))
    wanted = (Route(**given), policy(connection_limits=FEW))
    assert list(preflight.check(wanted, standing, "istio")) == []


def test_a_secret_needs_rights_of_the_callers() -> None:
    wanted = policy(OUTSIDE, tls={"secret": "payments-client"}, callers={"app": "checkout"})
    assert said(wanted, beside=(entry(),)) == [("MK0243", "warning", "destination_policy.tls.secret")]
