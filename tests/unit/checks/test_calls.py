"""Routes held against observed calls, with the numbers of the traffic in each finding."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshkit.checks.calls import along
from meshkit.checks.calls.hops import Call, hops_of
from meshkit.facts import Finding, Snapshot
from meshkit.meshes import registry
from meshkit.meshes.effective import Effective
from meshkit.meshes.explain.expected import expected

CHAIN = ("client", "web", "api", "db")
SPACES = {
    "istio": {"labels": {"istio-injection": "enabled"}},
    "linkerd": {"annotations": {"linkerd.io/inject": "enabled"}},
}


def workload(name: str) -> list[dict[str, Any]]:
    meta, labels = {"name": name, "namespace": "shop"}, {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}}
    port = {"name": "http", "port": 8080}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [port]},
        },
    ]


def rule(mesh: str, name: str, attempts: int = 0, timeout: str = "", **match: Any) -> dict[str, Any]:
    """A route of a Service that retries answers with an error, in the API of the mesh."""
    meta: dict[str, Any] = {"name": name, "namespace": "shop"}
    if mesh == "istio":
        entry: dict[str, Any] = {"route": [{"destination": {"host": name}}]}
        entry |= {"retries": {"attempts": attempts, "retryOn": "5xx"}} if attempts else {}
        entry |= {"timeout": timeout} if timeout else {}
        entry |= {"match": [match]} if match else {}
        spec: dict[str, Any] = {"hosts": [name], "http": [entry]}
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": meta,
            "spec": spec,
        }
    if attempts:
        meta["annotations"] = {"retry.linkerd.io/http": "5xx", "retry.linkerd.io/limit": str(attempts)}
    backend: dict[str, Any] = {"backendRefs": [{"name": name, "port": 8080}]}
    backend |= {"timeouts": {"request": timeout}} if timeout else {}
    parent = {"group": "", "kind": "Service", "name": name, "port": 8080}
    spec = {"parentRefs": [parent], "rules": [backend]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": meta,
        "spec": spec,
    }


def limits(**pool: Any) -> dict[str, Any]:
    text = (
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web, namespace: shop}}"
    )
    spec = {"host": "web", "trafficPolicy": {"connectionPool": pool}}
    return {**yaml.safe_load(text), "spec": spec}


def found(mesh: str, calls: list[Call], *objects: dict[str, Any]) -> list[Finding]:
    row = registry.mesh(mesh)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **SPACES[mesh]}}
    written = [space, *(each for name in CHAIN for each in workload(name)), *objects]
    seen = Snapshot(tuple(expected(written, row).objects))
    effective = Effective(seen, mesh, row.meaning, row.control_plane.home)
    return list(along.check(hops_of(effective, calls)))


def call(source: str, destination: str, rate: float = 12.0, each_s: float | None = 0.05) -> Call:
    return Call(f"shop/{source}", f"shop/{destination}", rate, each_s)


ALONG = [call("client", "web"), call("web", "api"), call("api", "db")]


def of(code: str, findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.code == code]


@pytest.mark.parametrize("mesh", SPACES)
def test_retries_in_a_row_are_multiplied_out(mesh: str) -> None:
    rules = [rule(mesh, name, attempts=2) for name in ("web", "api", "db")]
    (one,) = of("MK0280", found(mesh, ALONG, *rules))
    assert one.object == f"{rules[0]['kind']} shop/db"
    assert "one request of shop/client becomes up to 27 requests to shop/db" in one.message
    assert "shop/client -> shop/web (3) -> shop/api (3) -> shop/db (3)" in one.message
    assert "12 requests/s seen become up to 324" in one.message


def test_only_what_was_called_and_retried_multiplies() -> None:
    rules = [rule("istio", name, attempts=2) for name in ("web", "api", "db")]
    assert of("MK0280", found("istio", ALONG[:1] + ALONG[2:], *rules)) == []
    assert of("MK0280", found("istio", ALONG, *rules[1:2])) == []
    assert of("MK0280", found("istio", ALONG)) == [], "Istio's own two retries are of failed connections"
    (one,) = of("MK0280", found("istio", ALONG, rules[0], rules[2]))
    assert "up to 9 requests" in one.message
    assert "shop/api (1)" in one.message


def test_calls_in_a_circle_end() -> None:
    rules = [rule("istio", name, attempts=1) for name in ("web", "api")]
    circle = [call("web", "api"), call("api", "web"), call("client", "web")]
    (one,) = of("MK0280", found("istio", circle, *rules))
    assert "one request of shop/client becomes up to 4 requests to shop/api" in one.message


def test_a_limit_below_the_requests_under_way_is_found() -> None:
    busy = [call("client", "web", rate=200, each_s=0.05)]
    (one,) = of("MK0281", found("istio", busy, limits(http={"http2MaxRequests": 8})))
    assert one.object == "DestinationRule shop/web"
    assert "max_requests of web.shop.svc.cluster.local:8080 is 8" in one.message
    assert (
        "10 requests under way on average (200/s of 50 ms from 1 pod): about 67 % of the time" in one.message
    )
    assert of("MK0281", found("istio", busy, limits(tcp={"maxConnections": 5})))
    assert not of("MK0281", found("istio", busy, limits(tcp={"maxConnections": 100})))
    assert not of(
        "MK0281", found("istio", [call("client", "web", 200, None)], limits(tcp={"maxConnections": 5}))
    )


@pytest.mark.parametrize("mesh", SPACES)
def test_a_timeout_longer_than_that_of_the_call_before_is_found(mesh: str) -> None:
    rules = [rule(mesh, "web", timeout="2s"), rule(mesh, "api", timeout="10s")]
    (one,) = of("MK0282", found(mesh, ALONG, *rules))
    assert one.object == f"{rules[0]['kind']} shop/api"
    assert "lets shop/web wait 10 s for shop/api" in one.message
    assert "shop/client, which calls shop/web (12/s), gives up after 2 s" in one.message
    fitting = [rule(mesh, "web", timeout="10s"), rule(mesh, "api", timeout="2s")]
    assert not of("MK0282", found(mesh, ALONG, *fitting))
    assert not of("MK0282", found(mesh, ALONG, rules[1]))
    assert not of("MK0282", found(mesh, ALONG[1:], *rules)), "nobody was seen to call web"


def test_retries_of_every_method_are_told_with_their_traffic() -> None:
    (one,) = of("MK0283", found("istio", ALONG, rule("istio", "web", attempts=2)))
    assert one.severity == "info"
    assert "12/s were seen from shop/client to shop/web" in one.message
    more = [*ALONG, *(call(name, "web", 2) for name in ("api", "db"))]
    (one,) = of("MK0283", found("istio", more, rule("istio", "web", attempts=2)))
    assert "16/s were seen from shop/client to shop/web, shop/api to shop/web, shop/db to shop/web, and" in (
        one.message
    )
    read = rule("istio", "web", attempts=2, method={"exact": "GET"})
    assert not of("MK0283", found("istio", ALONG, read))


def test_calls_of_what_has_no_proxy_are_left_out() -> None:
    rules = [rule("istio", name, attempts=2) for name in ("web", "api")]
    strangers = [call("stranger", "web"), call("client", "gone"), Call("", "shop/web", 1)]
    assert found("istio", strangers, *rules) == []
