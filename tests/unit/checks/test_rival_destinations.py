"""DestinationRules of others that decide the subsets and policies of a planned Route."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.facts import Object, Snapshot
from meshkit.intent.balancing import ConnectionLimits, LoadBalancing, OutlierDetection
from meshkit.intent.traffic import Route, Version
from meshkit.meshes.registry import MESHES
from meshkit.meshes.routing import rivals
from tests.unit.meshes.destination_rules import POOL, SAME, rule, subsets
from tests.unit.meshes.meshed import service, sidecar

VERSIONS = (Version(name="v1"), Version(name="v2"))
LIMITS = {"connection_limits": ConnectionLimits(max_connections=7)}


def backing(version: str) -> tuple[Object, Object]:
    """A pod of a version of web, and its EndpointSlice."""
    name, address = f"web-{version}", f"10.0.1.{version[1:]}"
    pod = sidecar("istio", "shop", app="web", version=version)
    pod["metadata"]["name"] = name
    pod["status"]["podIP"] = address
    target = {"kind": "Pod", "name": name, "namespace": "shop"}
    endpoint = {"addresses": [address], "conditions": {"ready": True}, "targetRef": target}
    labels = {"kubernetes.io/service-name": "web"}
    return pod, {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": [{"name": "http-8080", "port": 8080}],
    }


def found(
    *objects: Object, callers: tuple[str, ...] = ("shop",), **fields: Any
) -> list[tuple[str, str, str]]:
    pods = [sidecar("istio", namespace) for namespace in callers]
    seen = Snapshot((service("web", 8080), *backing("v1"), *backing("v2"), *pods, *objects))
    route = Route(namespace="shop", service="web", port=8080, versions=VERSIONS, split={"v1": 100}, **fields)
    findings = list(rivals.check(route, seen, MESHES["istio"]))
    assert all(finding.remedy and finding.code == "MK0240" for finding in findings)
    return [(finding.severity, finding.message, finding.remedy) for finding in findings]


def test_an_older_rule_with_the_same_subsets_and_no_policy_is_no_rival() -> None:
    assert found(rule("web-team", subsets=SAME), **LIMITS) == []


def test_an_older_rule_with_a_policy_is_no_rival_of_a_route_without_one() -> None:
    assert found(rule("web-team", subsets=SAME, trafficPolicy=POOL)) == []


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        (LIMITS, "connection_limits"),
        ({"outlier_detection": OutlierDetection(consecutive_5xx=3)}, "outlier_detection"),
        ({"load_balancing": LoadBalancing(algorithm="random")}, "load_balancing"),
    ],
)
def test_the_policy_of_an_older_rule_keeps_that_of_the_route_from_its_effect(
    fields: dict[str, Any], what: str
) -> None:
    ((severity, message, remedy),) = found(rule("web-team", trafficPolicy=POOL), **fields)
    assert severity == "error"
    assert message == (
        "DestinationRule shop/web-team decides how callers in shop reach web.shop:8080:"
        f" {what} of the planned route would have no effect."
    )
    assert "DestinationRule shop/web-team" in remedy


def test_an_older_rule_with_the_same_policy_is_no_rival() -> None:
    same = {"connectionPool": {"tcp": {"maxConnections": 7}}}
    assert found(rule("web-team", trafficPolicy=same), **LIMITS) == []


def test_the_oldest_rule_without_a_policy_is_not_named_for_that_of_another() -> None:
    first, second = rule("a-subsets", subsets=SAME), rule("b-policy", trafficPolicy=POOL)
    second["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    ((_, message, _),) = found(first, second, **LIMITS)
    assert message.startswith("DestinationRule shop/b-policy decides")


def test_a_rule_in_the_callers_namespace_hides_the_subsets() -> None:
    ((severity, message, remedy),) = found(
        rule("mine", namespace="tests", trafficPolicy=POOL), callers=("shop", "tests")
    )
    assert severity == "error"
    assert message == (
        "DestinationRule tests/mine decides how callers in tests reach web.shop:8080, and it has no subset"
        " v1, v2: their requests would fail with status 503."
    )
    assert remedy == (
        "Add these subsets to DestinationRule tests/mine, v1 with labels version=v1,"
        " v2 with labels version=v2."
    )


def test_a_rule_in_another_namespace_that_is_not_exported_is_no_rival() -> None:
    hidden = rule("theirs", namespace="other", trafficPolicy=POOL, exportTo=["."])
    assert found(hidden, callers=("shop", "tests"), **LIMITS) == []


def test_a_rule_for_another_host_is_no_rival() -> None:
    assert found(rule("other", host="other.shop.svc.cluster.local", trafficPolicy=POOL), **LIMITS) == []


def test_a_policy_for_some_callers_is_a_warning() -> None:
    mine = rule("mine", namespace="tests", subsets=SAME, trafficPolicy=POOL)
    ((severity, message, _),) = found(mine, callers=("shop", "tests"), **LIMITS)
    assert severity == "warning"
    assert "how callers in tests reach web.shop:8080: connection_limits" in message


def test_an_older_subset_with_other_labels() -> None:
    swapped = subsets(v1={"version": "v2"}, v2={"version": "v2"})
    ((severity, message, remedy),) = found(rule("web-team", subsets=swapped))
    assert severity == "error"
    assert message == (
        "DestinationRule shop/web-team decides how callers in shop reach web.shop:8080, and its subset v1"
        " has other pods than the planned route asks for."
    )
    assert "choose other names for the versions" in remedy


def test_the_routes_own_rule_is_no_rival() -> None:
    own = rule("web", subsets=subsets(v1={"version": "old"}), trafficPolicy=POOL)
    assert found(own, **LIMITS) == []
