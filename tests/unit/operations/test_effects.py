"""A plan tells which requests change, and says no requests change only where everything was seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from meshkit.cluster.steps.dry_run import PlannedStep, Seen
from meshkit.kube.steps import Step
from meshkit.operations.effects import Effects, effects_of
from meshkit.operations.plan import Plan
from meshkit.views.display import plan_table
from meshkit.views.plan_html import plan_card
from tests.unit.operations.explained import ISTIO, LINKERD, WORKLOADS, Api, cluster, objects

WEB = "web.shop.svc.cluster.local:8080"


def step(text: str, *, removed: bool = False) -> PlannedStep:
    item: dict[str, Any] = yaml.safe_load(text)
    return PlannedStep(Step(item, removed=removed), "remove" if removed else "change", after=item)


def seen(*steps: PlannedStep, held: str = ISTIO, mesh: str = "istio", **refuse: Any) -> Effects:
    return effects_of(steps, cluster(Api(objects(mesh, WORKLOADS, held), **refuse), mesh), mesh)


def policy(rules: str, name: str = "no-admin") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {rules}
"""


def virtual_service(http: str, name: str = "web") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec: {{hosts: [web], http: {http}}}
"""


def rows(effects: Effects) -> list[tuple[Any, ...]]:
    return [(e.callers, e.place, e.conditions, e.before, e.after) for e in effects.changed]


OPEN = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {linkerd.io/inject: enabled}}}"
BETA = "{match: [{uri: {prefix: /beta}}], route: [{destination: {host: web, subset: v2}}]}"
SPLIT = "[{destination: {host: web, subset: v1}, weight: 90}, {destination: {host: web}, weight: 10}]"
BOTH = ("shop/client", "shop/web")


def test_a_new_timeout_changes_the_requests_of_its_rule_only() -> None:
    found = seen(step(virtual_service(f"[{BETA}, {{timeout: 5s, route: {SPLIT}}}]")))
    assert rows(found) == [(BOTH, WEB, "every request", ("timeout 2.5 s",), ("timeout 5 s",))]
    assert found.not_seen == ()


def test_a_rule_in_front_changes_its_requests_only() -> None:
    header = "{match: [{headers: {x-user: {exact: jason}}}], route: [{destination: {host: web, subset: v1}}]}"
    found = seen(step(virtual_service(f"[{header}, {BETA}, {{timeout: 2.5s, route: {SPLIT}}}]")))
    assert [(e.callers, e.conditions) for e in found.changed] == [(BOTH, "header x-user is jason")]


def test_a_policy_changes_the_requests_that_it_refuses() -> None:
    rule = "{action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]}"
    found = seen(step(policy(rule, "no-client")))
    (row,) = [row for row in rows(found) if row[2] == "every request"]
    assert row[0] == ("shop/client",)
    assert "mutual TLS" in row[3][0]
    assert "403: refused" in row[4][0]


def test_mutual_tls_that_is_no_longer_required_lets_plain_callers_in() -> None:
    mode = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
    found = seen(step(mode, removed=True))
    assert [(e.callers, e.conditions, "403" in str(e)) for e in found.changed] == [
        (("legacy/old",), "path starts with /admin", True),
        (("legacy/old",), "every request", False),
    ]


def test_what_repeats_the_state_changes_no_request() -> None:
    repeated = virtual_service(f"[{BETA}, {{timeout: 2.5s, route: {SPLIT}}}]")
    assert str(seen(step(repeated))) == "No request changes."


def test_a_younger_rival_changes_no_request() -> None:
    """The oldest VirtualService of a host wins, and one that is not made yet is the youngest."""
    rival = virtual_service("[{route: [{destination: {host: web, subset: v2}}]}]", "a")
    assert seen(step(rival)).changed == ()


@pytest.mark.parametrize(
    "text",
    [
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {}}",
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: cacerts, namespace: istio-system}}",
        "{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: a, namespace: shop}}",
    ],
)
def test_what_shows_only_later_is_not_seen(text: str) -> None:
    found = seen(step(text))
    assert not found.changed
    assert "not seen: what" in str(found)
    assert "No request changes" not in str(found)


def test_a_part_that_meshkit_does_not_evaluate_is_not_seen() -> None:
    sidecar = (
        "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: a, namespace: shop}, spec: {}}"
    )
    assert "Sidecar shop/a" in seen(step(sidecar)).not_seen[0]


def test_what_may_change_a_request_and_is_not_known_is_not_seen() -> None:
    regex = virtual_service(r"[{match: [{uri: {regex: '[a&&b]+'}}], route: [{destination: {host: web}}]}]")
    assert "regular expression" in seen(step(regex)).not_seen[0]
    lua = (
        "{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: a, namespace: shop}}"
    )
    http = f"[{BETA}, {{timeout: 5s, route: {SPLIT}}}]"
    found = seen(step(virtual_service(http)), held=f"{ISTIO}---\n{lua}")
    assert found.not_seen == ("EnvoyFilter shop/a: meshkit does not evaluate this kind.",)


def test_the_endpoints_of_a_new_service_are_the_ready_pods_that_it_selects() -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: web-v1, namespace: shop}
spec: {selector: {version: v1}, clusterIP: 10.0.9.9, ports: [{name: http, port: 8080, targetPort: 8080}]}
"""
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 8080}]
  rules: [{backendRefs: [{name: web-v1, port: 8080}]}]
"""
    found = seen(step(service), step(route), held=OPEN, mesh="linkerd")
    assert [(place, after) for _, place, _, _, after in rows(found) if place == WEB] == [
        (WEB, ("100 % web-v1.shop.svc.cluster.local:8080 (mutual TLS)",))
    ]


def test_what_was_applied_meanwhile_is_not_seen() -> None:
    """The state before is gone once a plan is applied, so that nothing can be said about its effect."""
    item = yaml.safe_load(virtual_service(f"[{BETA}]"))
    changed = PlannedStep(Step(item), "change", seen=Seen("uid", "7", ""), after=item)
    sentence = "VirtualService shop/web has changed since it was planned."
    assert sentence in seen(changed).not_seen
    assert sentence in seen(PlannedStep(Step(item), "create", after=item)).not_seen


def test_what_may_not_be_read_is_not_seen() -> None:
    repeated = virtual_service(f"[{BETA}, {{timeout: 2.5s, route: {SPLIT}}}]")
    found = seen(step(repeated), refused=("Pod",), own="shop")
    assert found.not_seen == ("Pod outside shop",)


def test_a_step_that_decides_nothing_reads_nothing() -> None:
    api = Api([])
    account = step("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: shop}}")
    assert str(effects_of([account], cluster(api), "istio")) == "No request changes."
    assert api.requests == 0


def test_linkerd_shows_the_requests_that_an_authorization_lets_in() -> None:
    allow = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, port: 8080, accessPolicy: all-authenticated}
"""
    found = seen(step(allow), held=LINKERD, mesh="linkerd")
    assert [(e.callers, e.conditions) for e in found.changed] == [(BOTH, "every request")]


def test_a_plan_shows_its_effects_where_it_is_looked_at() -> None:
    looks = []
    one = step(virtual_service(f"[{BETA}, {{timeout: 5s, route: {SPLIT}}}]"))

    def look() -> Effects:
        looks.append(1)
        return seen(one)

    plan = Plan("Route", "istio", "prod", "https://prod", (one,), look=look)
    assert not looks
    assert "timeout 2.5 s" not in plan_card(plan)
    sentence = f"changes: shop/client, shop/web -> {WEB}, every request: timeout 2.5 s -> timeout 5 s"
    assert sentence in str(plan)
    assert json.loads(plan.to_json())["effects"]["changed"][0]["after"] == ["timeout 5 s"]
    assert "timeout 2.5 s" in plan_table(plan)
    assert "timeout 2.5 s" in plan_card(plan)
    assert len(looks) == 1


MESHED = ISTIO.partition("---\napiVersion: networking.istio.io/v1\nkind: VirtualService")[0]
TO_V1 = "{route: [{destination: {host: web, subset: v1}}]}"
TO_ALL = "{route: [{destination: {host: web}}]}"


@pytest.mark.parametrize(
    "front",
    [
        "{method: {exact: GET}}",
        "{uri: {exact: /~other}}",
        "{withoutHeaders: {x-beta: {}}}",
        "{withoutHeaders: {x-beta: {exact: a}}, method: {regex: GET|POST}}",
        "{method: {exact: GET}}, {queryParams: {q: {exact: a}}}, {method: {exact: POST}}",
    ],
)
def test_a_change_behind_a_rule_that_takes_the_plainest_request_is_seen(front: str) -> None:
    def routed(last: str) -> str:
        return virtual_service(f"[{{match: [{front}], route: [{{destination: {{host: web}}}}]}}, {last}]")

    found = seen(step(routed(TO_V1)), held=f"{MESHED}---\n{routed(TO_ALL)}")
    assert [(e.callers, e.conditions) for e in found.changed] == [(BOTH, "every request")]


def test_a_change_for_some_requests_of_a_rule_names_their_condition() -> None:
    api = "{match: [{uri: {prefix: /api}}], route: [{destination: {host: web}}]}"
    get = (
        "{match: [{uri: {prefix: /api}, method: {exact: GET}}],"
        " route: [{destination: {host: web, subset: v1}}]}"
    )
    before, after = (virtual_service(f"[{http}]") for http in (f"{api}, {TO_ALL}", f"{get}, {api}, {TO_ALL}"))
    found = seen(step(after), held=f"{MESHED}---\n{before}")
    assert [e.conditions for e in found.changed] == ["path starts with /api, method is GET"]


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (
            "{rules: [{to: [{operation: {paths: [/a, /b], methods: [GET, POST]}}]}]}",
            "{rules: [{to: [{operation: {paths: [/a, /b], methods: [GET]}}]}]}",
            {"path is /a, method is POST", "path is /b, method is POST"},
        ),
        (
            "{action: DENY, rules: [{to: [{operation: {paths: [/none]}}]}]}",
            "{action: DENY, rules: [{to: [{operation: {notMethods: [GET, HEAD]}}]}]}",
            {"path is /none", "not: method is GET, not: method is HEAD"},
        ),
        (
            "{action: DENY, rules: [{to: [{operation: {notPaths: [/health]}}]}]}",
            "{action: DENY, rules: [{to: [{operation: {notPaths: [/health, /ready]}}]}]}",
            {"path is /ready"},
        ),
        (
            "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}",
            "{action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]}",
            {"method is GET", "every request"},
        ),
        (
            "{rules: [{to: [{operation: {paths: [/a*], methods: [GET]}}, {operation: {paths: [/a*]}}]}]}",
            "{rules: [{to: [{operation: {paths: [/a*], methods: [GET]}}]}]}",
            {"path starts with /a"},
        ),
    ],
)
def test_what_a_policy_says_of_paths_and_methods_is_judged_for_each_of_them(
    before: str, after: str, changed: set[str]
) -> None:
    found = seen(step(policy(after)), held=f"{MESHED}---\n{policy(before)}")
    assert {e.conditions for e in found.changed} == changed


def test_a_policy_of_pods_that_only_a_header_leads_to_is_judged_there() -> None:
    canary = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: canary, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web, version: v2}}
    spec: {containers: [{name: app}]}
"""
    header = "{match: [{headers: {x-beta: {}}}], route: [{destination: {host: web, subset: v2}}]}"
    refused = policy(
        "{action: DENY, selector: {matchLabels: {version: v2}},"
        " rules: [{to: [{operation: {paths: [/pay]}}]}]}"
    )
    held = f"{MESHED}---\n{canary}---\n{virtual_service(f'[{header}, {TO_V1}]')}"
    found = seen(step(refused), held=held)
    conditions = [e.conditions for e in found.changed if e.callers != ("legacy/old",)]
    assert conditions == ["path is /pay, header x-beta is present"]


def test_requests_to_hosts_that_are_not_registered_change_with_the_mesh_config() -> None:
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""
    (row,) = rows(seen(step(text)))
    assert row[:3] == (BOTH, "hosts that are not registered", "every request")
    assert row[3:] == (("leaves the mesh as it is",), ("502: the caller's proxy answers itself",))


def test_a_service_that_leads_elsewhere_changes_requests_without_a_proxy_too() -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: none}, ports: [{name: http, port: 8080}], clusterIP: 10.0.0.2}
"""
    found = [row for row in rows(seen(step(service), held=MESHED)) if row[0] == ("legacy/old",)]
    assert [row[4] for row in found] == [(f"100 % {WEB} (no connection: no ready endpoint)",)]


def test_other_shares_of_the_connections_of_a_tcp_port_are_told() -> None:
    shares = [
        {"destination": {"host": "web", "subset": subset}, "weight": weight}
        for subset, weight in {"v1": 70, "v2": 30}.items()
    ]
    item = yaml.safe_load(virtual_service("[]"))
    item["spec"] = {"hosts": ["web"], "tcp": [{"match": [{"port": 8080}], "route": shares}]}
    held = [
        {**each, "spec": {**each["spec"], "ports": [{**each["spec"]["ports"][0], "appProtocol": "tcp"}]}}
        if (each["kind"], each["metadata"]["name"]) == ("Service", "web")
        else each
        for each in objects("istio", WORKLOADS, ISTIO)
    ]
    found = effects_of((PlannedStep(Step(item), "change", after=item),), cluster(Api(held), "istio"), "istio")
    told = str(found)
    assert "70 %" in told
    assert "subset v2" in told
    assert found.not_seen == ()
