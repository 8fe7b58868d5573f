"""The rules of a Service's ports are shown in their order, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit.errors import BadInput, UnknownName
from meshkit.operations.routes.show import service_routes
from tests.unit.operations.explained import ISTIO, LINKERD, WORKLOADS, Api, cluster, objects, write

OUTLIER = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}]
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}
"""


def test_rules_stand_in_their_order_with_destinations_and_policies(tmp_path: Path) -> None:
    files = write(tmp_path, WORKLOADS, ISTIO.split("---\n", 2)[0], ISTIO.split("---\n", 3)[2], OUTLIER)
    found = service_routes("shop/web", files=files, mesh="istio")
    (port,) = found.ports
    assert (port.callers, port.port, port.protocol) == (("shop/client", "shop/web"), 8080, "http")
    beta, general = port.rules
    assert beta.conditions == ("path starts with /beta",)
    assert [each.answer for each in beta.destinations] == [
        "503: there is no subset v2 of web.shop.svc.cluster.local"
    ]
    assert [(each.share_percent, each.subset) for each in general.destinations] == [(90, "v1"), (10, "")]
    assert general.destinations[0].settings == ("limits.max_connections 7",)
    assert "timeout 2.5 s" in general.actions
    assert general.rule == "VirtualService shop/web http[1]"
    text = str(found)
    for part in ("   1  path starts with /beta", "   2  every request", "90 % web.shop", "max_connections 7"):
        assert part in text
    assert found.as_record()["ports"][0]["rules"][1]["destinations"][0]["share_percent"] == 90


def test_problems_of_the_routes_are_shown(tmp_path: Path) -> None:
    found = service_routes("shop/web", files=write(tmp_path, WORKLOADS, LINKERD), mesh="linkerd")
    assert "there is no Service shop/none" in str(found)
    assert "timeout" not in found.ports[0].rules[0].actions


def test_without_a_service_every_routed_host_is_shown(tmp_path: Path) -> None:
    found = service_routes(files=write(tmp_path, WORKLOADS, ISTIO), mesh="istio")
    assert [each.host for each in found.ports] == ["web.shop.svc.cluster.local"]
    assert str(service_routes(files=write(tmp_path, WORKLOADS), mesh="istio")) == "No object routes requests."


def test_the_managers_of_a_rule_are_named() -> None:
    there = objects("istio", WORKLOADS, ISTIO)
    for each in there:
        if each["kind"] == "VirtualService":
            entry = {"manager": "argocd", "fieldsV1": {"f:spec": {"f:http": {}}}}
            each["metadata"] = {**each["metadata"], "managedFields": [entry]}
    found = service_routes("shop/web", cluster(Api(there), "istio"))
    assert {rule.managers for rule in found.ports[0].rules} == {("argocd",)}
    assert "managed by argocd" in str(found)


def test_before_any_caller_has_a_proxy_the_rules_are_shown_for_one(tmp_path: Path) -> None:
    files = write(tmp_path, WORKLOADS, ISTIO.replace("istio-injection: enabled", "team: shop"))
    found = service_routes("shop/web", files=files, mesh="istio")
    assert len(found.ports[0].rules) == 2
    assert "of which there are none yet" in found.ports[0].callers[0]


def test_a_service_or_port_that_is_not_there_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, WORKLOADS, ISTIO)
    with pytest.raises(UnknownName, match="shop/wep"):
        service_routes("shop/wep", files=files, mesh="istio")
    with pytest.raises(BadInput, match="has no port 81") as refused:
        service_routes("shop/web", files=files, mesh="istio", port=81)
    assert refused.value.field == "port"
    with pytest.raises(BadInput, match="cluster or files"):
        service_routes("shop/web")
