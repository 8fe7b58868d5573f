"""A user with a Role in one namespace gets what can be known from it, and is told what cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from meshkit.cluster.connect import Cluster
from meshkit.errors import BadInput, Forbidden
from meshkit.intent.traffic import Route
from meshkit.operations.change import plan
from meshkit.operations.explain import explain
from meshkit.operations.health import check
from meshkit.operations.release.runner import release_state
from meshkit.operations.setup.guide import Setup

OBJECTS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web, version: v1}, annotations: {sidecar.istio.io/status: "{}"}}
spec: {schedulerName: none, containers: [{name: web, image: web}, {name: istio-proxy, image: proxy}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}, annotations: {sidecar.istio.io/status: "{}"}}
spec: {schedulerName: none, containers: [{name: client, image: client}, {name: istio-proxy, image: proxy}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - {match: [{uri: {prefix: /bank}}], route: [{destination: {host: ledger.billing.svc.cluster.local}}]}
  - {timeout: 2s, route: [{destination: {host: web}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  rules: [{from: [{source: {namespaces: [billing]}}], to: [{operation: {methods: [get]}}]}]
"""


@pytest.fixture
def account(
    definitions: None, cluster: Cluster, namespace: str, as_account: Callable[..., Cluster]
) -> Cluster:
    """A user who may do everything in one namespace and nothing elsewhere."""
    subject = {"kind": "ServiceAccount", "name": "owner", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    role: dict[str, Any] = {"apiVersion": f"{group}/v1", "kind": "Role", "rules": rules}
    reference = {"apiGroup": group, "kind": "Role", "name": "owner"}
    binding = {**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
    del binding["rules"]
    for item in (role, binding, *yaml.safe_load_all(OBJECTS)):
        meta = {"name": "owner", **(item.get("metadata") or {}), "namespace": namespace}
        cluster.api.apply({**item, "metadata": meta}, manager="test")
    return as_account("owner")


def test_a_check_finds_what_the_namespace_proves_and_names_the_rest(account: Cluster, namespace: str) -> None:
    found = check(account, namespaces=[namespace])
    assert {each.code for each in found} == {"MK0711", "MK1409"}
    told = next(each.message for each in found if each.code == "MK1409")
    assert f"Pod outside {namespace}" in told
    assert f"VirtualService outside {namespace}" in told
    assert "MutatingWebhookConfiguration" in told


def test_a_check_without_the_name_of_the_namespace_says_how_to_name_it(account: Cluster) -> None:
    with pytest.raises(BadInput, match="may not see which"):
        check(account)
    with pytest.raises(Forbidden) as refused:
        check(account, mesh="istio")
    assert "-n" in refused.value.remedy


def test_an_explanation_holds_for_what_was_read(account: Cluster, namespace: str) -> None:
    found = explain(f"web.{namespace}:8080/", account, caller=f"{namespace}/client")
    assert [way.rule for way in found.ways] == [f"VirtualService {namespace}/web http[1]"]
    assert f"Service outside {namespace}" in found.not_read


def test_a_plan_tells_of_rivals_and_effects_that_it_cannot_see(account: Cluster, namespace: str) -> None:
    route = Route(
        service="web",
        namespace=namespace,
        port=8080,
        timeout_s=3,
        versions=[{"name": "v1"}],
        split={"v1": 100},
    )
    planned = plan(route, account, take_fields=True)
    unseen = next(each for each in planned.findings if each.code == "MK0231")
    assert f"VirtualService outside {namespace}" in unseen.message
    assert f"VirtualService outside {namespace}" in planned.effects.not_seen


def test_the_guided_setup_says_that_it_needs_the_whole_cluster(account: Cluster, namespace: str) -> None:
    with pytest.raises(Forbidden) as refused:
        Setup(account, namespace=namespace).look()
    assert "meshkit check -n" in refused.value.remedy


def test_the_state_of_a_release_is_in_a_namespace_that_the_refusal_names(account: Cluster) -> None:
    with pytest.raises(Forbidden, match="meshkit-system"):
        release_state("web", account)
