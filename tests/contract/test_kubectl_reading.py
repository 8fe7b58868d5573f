"""kubectl reads: get in all its forms, describe, explain, wait, discovery, raw paths."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.contract.kubectl import WITHIN, Kubectl, configmap


@pytest.fixture
def three(kubectl: Kubectl) -> Kubectl:
    """ConfigMaps b, a and c; a and b carry a label, their data says an order of their own."""
    for name, order, tier in (("b", "1", "front"), ("a", "2", "back"), ("c", "3", None)):
        labels = {"tier": tier} if tier else {}
        made = configmap(order=order) | {"metadata": {"name": name, "labels": labels}}
        kubectl("create", "-f", "-", stdin=made)
    return kubectl


def own(lines: str) -> list[str]:
    """Names, without the ConfigMap that a real cluster puts into every namespace."""
    return [each for each in lines.split() if not each.endswith("kube-root-ca.crt")]


def test_get_in_every_output_format(three: Kubectl) -> None:
    assert three.json("get", "cm", "a")["kind"] == "ConfigMap"
    assert yaml.safe_load(three("get", "cm", "a", "-o", "yaml"))["data"] == {"order": "2"}
    assert three("get", "cm/a", "cm/b", "-o", "name").split() == ["configmap/a", "configmap/b"]
    assert three("get", "cm", "a", "-o", "jsonpath={.metadata.labels.tier}") == "back"
    columns = "custom-columns=WHO:.metadata.name,ORDER:.data.order"
    assert three("get", "cm", "a", "-o", columns).split() == ["WHO", "ORDER", "a", "2"]
    assert three("get", "cm", "a", "-o", "go-template={{.data.order}}") == "2"
    assert three("get", "cm", "a", "--show-labels", "--no-headers").split()[-1] == "tier=back"
    assert three("get", "cm", "a", "-L", "tier", "--no-headers").split()[-1] == "back"


def test_get_sorts_and_selects(three: Kubectl) -> None:
    by_order = three("get", "cm", "-l", "tier", "--sort-by={.data.order}", "-o", "name")
    assert by_order.split() == ["configmap/b", "configmap/a"]
    assert own(three("get", "cm", "-l", "tier!=back", "-o", "name")) == ["configmap/b", "configmap/c"]
    assert own(three("get", "cm", "-l", "!tier", "-o", "name")) == ["configmap/c"]
    assert own(three("get", "cm", "-l", "tier notin (front,back)", "-o", "name")) == ["configmap/c"]
    assert own(three("get", "cm", "--field-selector=metadata.name!=a", "-o", "name")) == [
        "configmap/b",
        "configmap/c",
    ]
    everywhere = three("get", "cm", "-A", "-l", "tier=front", "--no-headers").split()
    assert (three.namespace in everywhere, "b" in everywhere) == (True, True)
    mixed = three("get", "cm,secrets", "-l", "tier", "-o", "name").split()
    assert mixed == ["configmap/a", "configmap/b"]


def test_pods_are_found_by_their_fields(kubectl: Kubectl) -> None:
    nowhere = '{"spec": {"nodeSelector": {"no": "node"}}}'
    for name in ("one", "two"):
        kubectl("run", name, "--image=example.com/none:1", f"--overrides={nowhere}")
    found = kubectl("get", "pods", "--field-selector=status.phase=Pending,metadata.name=one", "-o", "name")
    assert found == "pod/one\n"
    assert kubectl("get", "pods", "--field-selector=spec.nodeName=nowhere", "-o", "name") == ""


def test_a_watch_shows_what_is_there_and_then_each_change(
    three: Kubectl, watching: Callable[..., Any]
) -> None:
    lines = watching(three, "get", "cm", "-l", "tier=front", "-w", "--output-watch-events")
    assert next(lines).split() == ["EVENT", "NAME", "DATA", "AGE"]
    assert next(lines).split()[:2] == ["ADDED", "b"]
    three("label", "cm", "c", "tier=front")
    assert next(lines).split()[:2] == ["ADDED", "c"]
    three("label", "cm", "b", "tier-")
    assert next(lines).split()[:2] == ["DELETED", "b"]


def test_wait_for_values_creation_and_deletion(kubectl: Kubectl) -> None:
    later = threading.Timer(0.5, lambda: kubectl("create", "configmap", "late", "--from-literal=a=1"))
    later.start()
    kubectl("wait", "--for=create", "configmap/late", WITHIN)
    later.join()
    kubectl("wait", "--for=jsonpath={.data.a}=1", "configmap/late", WITHIN)
    later = threading.Timer(0.5, lambda: kubectl("delete", "configmap", "late"))
    later.start()
    kubectl("wait", "--for=delete", "configmap/late", WITHIN)
    later.join()
    assert "timed out" in kubectl.refused("wait", "--for=condition=Ready", "ns/default", "--timeout=1s")


def test_what_there_is_and_what_it_means(kubectl: Kubectl) -> None:
    assert {"v1", "apps/v1", "batch/v1"} <= set(kubectl("api-versions").split())
    listed = kubectl("api-resources", "--api-group=apps", "--namespaced=true", "--no-headers")
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in [
        each.split() for each in listed.splitlines()
    ]
    explained = kubectl("explain", "deployment.spec.strategy")
    assert "rollingUpdate" in explained
    assert "<RollingUpdateDeployment>" in explained
    assert "topologySpreadConstraints" in kubectl("explain", "pod.spec", "--recursive")
    assert "does not exist" in kubectl.refused("explain", "pod.spec.nothing")


def test_raw_paths_are_served_as_they_are(kubectl: Kubectl) -> None:
    assert json.loads(kubectl("get", "--raw", "/version"))["major"] == "1"
    assert "v1" in json.loads(kubectl("get", "--raw", "/api"))["versions"]
    listed = json.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/secrets"))
    assert listed["kind"] == "SecretList"
    assert kubectl("get", "--raw", "/readyz") == "ok"


def test_describe_tells_of_nodes_namespaces_and_limits(kubectl: Kubectl) -> None:
    node = kubectl.json("get", "nodes")["items"][0]["metadata"]["name"]
    described = kubectl("describe", "node", node)
    assert "topology.kubernetes.io/zone" in described
    kubectl("create", "quota", "q", "--hard=pods=5")
    kubectl("wait", "--for=jsonpath={.status.hard.pods}=5", "resourcequota/q", WITHIN)
    assert "pods" in kubectl("describe", "namespace", kubectl.namespace)
    kubectl("create", "secret", "generic", "s", "--from-literal=p=hidden")
    shown = kubectl("describe", "secret", "s")
    assert "6 bytes" in shown
    assert "hidden" not in shown
