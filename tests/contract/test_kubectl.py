"""Basic kubectl commands work over HTTPS as typed by a user.

Written against what any API server does; the workloads' image is one that the sandbox runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.kubectl import IMAGE, WITHIN, Kubectl, configmap, deployment


def crd(group: str) -> dict[str, Any]:
    spec = {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer", "minimum": 1}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gears.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "gears", "kind": "Gear", "shortNames": ["gr"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
            ],
        },
    }


def test_the_server_says_its_version_and_what_it_serves(kubectl: Kubectl) -> None:
    assert kubectl.json("version")["serverVersion"]["major"] == "1"
    listed = kubectl("api-resources", "--no-headers", "-o", "name").split()
    assert {"pods", "deployments.apps", "leases.coordination.k8s.io"} <= set(listed)


def test_apply_on_the_server_is_idempotent_and_owned(kubectl: Kubectl) -> None:
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=configmap(a="1"))
    first = kubectl.json("get", "configmap", "c", "--show-managed-fields")
    kubectl("apply", "--server-side", "-f", "-", stdin=configmap(a="1"))
    assert kubectl.json("get", "configmap", "c", "--show-managed-fields") == first
    (entry,) = first["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("kubectl", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_a_conflict_names_the_other_manager_and_the_field(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=configmap(a="1"))
    other = ("apply", "--server-side", "--field-manager=two", "-f", "-")
    assert 'conflict with "one": .data.a' in kubectl.refused(*other, stdin=configmap(a="2"))
    kubectl(*other, "--force-conflicts", stdin=configmap(a="2"))
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "2"}


def test_apply_on_the_client_merges_and_removes(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", "-f", "-", stdin=configmap(a="1", b="2"))
    assert "configured" in kubectl("apply", "-f", "-", stdin=configmap(a="3"))
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=configmap(a="3"))
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "3"}


def test_apply_moves_from_client_to_server_and_settles(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=configmap(a="1"))
    kubectl("apply", "--server-side", "-f", "-", stdin=configmap(a="1"))
    kubectl("apply", "--server-side", "-f", "-", stdin=configmap(a="2"))
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "2"}


def test_an_unknown_field_is_refused_or_warned_about(kubectl: Kubectl) -> None:
    odd = deployment(imagePulPolicy="Always")
    undeclared = '.spec.template.spec.containers[name="web"].imagePulPolicy: field not declared in schema'
    assert undeclared in kubectl.refused("apply", "--server-side", "-f", "-", stdin=odd)
    field = 'unknown field "spec.template.spec.containers[0].imagePulPolicy"'
    assert field in kubectl.refused("apply", "-f", "-", stdin=odd)
    result = kubectl.run("apply", "--validate=warn", "--dry-run=server", "-f", "-", stdin=odd)
    assert result.returncode == 0
    assert f"Warning: {field}" in result.stderr


def test_a_dry_run_leaves_no_trace(kubectl: Kubectl) -> None:
    shown = kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=configmap(a="1"))
    assert "server dry run" in shown
    assert "NotFound" in kubectl.refused("get", "configmap", "c")


def test_create_by_name_sends_protobuf_and_is_understood(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "s", "--from-literal=p=q")
    kubectl("create", "deployment", "d", f"--image={IMAGE}", "--replicas=0")
    kubectl("create", "service", "clusterip", "v", "--tcp=80:8080")
    kubectl("create", "role", "r", "--verb=get,list", "--resource=pods")
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "b"}
    assert kubectl.json("get", "secret", "s")["data"] == {"p": "cQ=="}
    assert kubectl.json("get", "deployment", "d")["spec"]["replicas"] == 0
    assert kubectl.json("get", "service", "v")["spec"]["ports"][0]["targetPort"] == 8080
    assert kubectl.json("get", "role", "r")["rules"][0]["verbs"] == ["get", "list"]
    assert "already exists" in kubectl.refused("create", "configmap", "c")


def test_get_prints_tables_names_and_paths(kubectl: Kubectl) -> None:
    for name, tier in (("one", "front"), ("two", "back")):
        kubectl("create", "configmap", name, "--from-literal=a=b")
        kubectl("label", "configmap", name, f"tier={tier}")
    header, *rows = kubectl("get", "configmaps", "-l", "tier").splitlines()
    assert header.split() == ["NAME", "DATA", "AGE"]
    assert [row.split()[:2] for row in rows] == [["one", "1"], ["two", "1"]]
    assert kubectl("get", "configmaps", "-l", "tier in (front)", "-o", "name") == "configmap/one\n"
    assert kubectl("get", "cm", "--field-selector=metadata.name=two", "-o", "name") == "configmap/two\n"
    assert kubectl("get", "cm", "one", "-o", "jsonpath={.data.a}") == "b"
    assert kubectl("get", "cm", "--chunk-size=1", "-l", "tier", "-o", "name").split() == [
        "configmap/one",
        "configmap/two",
    ]


def test_patches_of_every_type(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin={**deployment(), "spec": {**deployment()["spec"], "replicas": 0}})
    kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"paused":true}}')
    kubectl("patch", "deployment", "web", "--type=json", "-p", '[{"op":"remove","path":"/spec/paused"}]')
    container = {"name": "web", "env": [{"name": "A", "value": "1"}]}
    strategic = json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}})
    kubectl("patch", "deployment", "web", "-p", strategic)
    spec = kubectl.json("get", "deployment", "web")["spec"]
    assert "paused" not in spec
    (patched,) = spec["template"]["spec"]["containers"]
    assert (patched["image"], patched["env"]) == (IMAGE, [{"name": "A", "value": "1"}])
    failed = kubectl.refused(
        "patch", "deployment", "web", "--type=json", "-p", '[{"op":"test","path":"/spec/replicas","value":9}]'
    )
    assert "the server rejected our request due to an error in our request" in failed


@pytest.mark.usefixtures("sandbox_images")
def test_a_deployment_rolls_out_scales_and_logs(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=deployment())
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", WITHIN)
    kubectl("wait", "--for=condition=Available", "deployment/web", WITHIN)
    kubectl("scale", "deployment/web", "--replicas=2")
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", WITHIN)
    header, *rows = kubectl("get", "pods", "-o", "wide").splitlines()
    assert header.split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert all(row.split()[1:3] == ["1/1", "Running"] for row in rows)
    assert kubectl.run("logs", "deployment/web").returncode == 0
    pod = kubectl.json("get", "pods")["items"][0]["metadata"]["name"]
    answer = kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}:8080/proxy/any")
    assert "version" in json.loads(answer)
    described = kubectl("describe", "deployment", "web")
    assert "2 desired | 2 updated | 2 total | 2 available" in described
    kubectl("delete", "deployment", "web", WITHIN)


@pytest.mark.usefixtures("sandbox_images")
def test_drain_honours_a_budget_and_moves_the_pods(kubectl: Kubectl) -> None:
    web = deployment()
    web["spec"]["replicas"] = 2
    kubectl("apply", "-f", "-", stdin=web)
    kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
    kubectl("rollout", "status", "deployment/web", WITHIN)
    node = kubectl.json("get", "pods")["items"][0]["spec"]["nodeName"]
    drain = ("drain", node, "--pod-selector=app=web", "--ignore-daemonsets", "--delete-emptydir-data")
    try:
        refusal = kubectl.refused(*drain, "--timeout=2s")
        assert "Cannot evict pod as it would violate the pod's disruption budget." in refusal
        assert "SchedulingDisabled" in kubectl("get", "node", node)
        kubectl("delete", "poddisruptionbudget", "web")
        assert "evicted" in kubectl(*drain, WITHIN)
        kubectl("rollout", "status", "deployment/web", WITHIN)
        assert node not in {pod["spec"]["nodeName"] for pod in kubectl.json("get", "pods")["items"]}
    finally:
        kubectl("uncordon", node)
    assert "SchedulingDisabled" not in kubectl("get", "node", node)


def test_a_quota_is_enforced_and_described(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "few", "--hard=secrets=1,requests.cpu=2")
    kubectl("create", "secret", "generic", "one", "--from-literal=a=b")
    refusal = kubectl.refused("create", "secret", "generic", "two", "--from-literal=a=b")
    assert "exceeded quota: few, requested: secrets=1, used: secrets=1, limited: secrets=1" in refusal
    kubectl("wait", "--for=jsonpath={.status.used.secrets}=1", "quota/few", WITHIN)
    assert "requests.cpu" in kubectl("describe", "quota", "few")


def test_deleting_waits_for_what_holds(kubectl: Kubectl) -> None:
    held = configmap(a="1")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    kubectl("apply", "--server-side", "-f", "-", stdin=held)
    assert "timed out" in kubectl.refused("delete", "configmap", "c", "--timeout=1s")
    assert "deletionTimestamp" in kubectl.json("get", "configmap", "c")["metadata"]
    kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "--for=delete", "configmap/c", WITHIN)
    assert "NotFound" in kubectl.refused("delete", "configmap", "c")


def test_a_definition_brings_a_kind_with_its_rules(kubectl: Kubectl) -> None:
    group = f"{kubectl.namespace}.example.com"
    kubectl("apply", "--server-side", "-f", "-", stdin=crd(group))
    kubectl("wait", "--for=condition=Established", f"crd/gears.{group}", WITHIN)
    gear = {"apiVersion": f"{group}/v1", "kind": "Gear", "metadata": {"name": "g"}, "spec": {"size": 3}}
    kubectl("apply", "--server-side", "-f", "-", stdin=gear)
    assert [row.split() for row in kubectl("get", f"gears.{group}").splitlines()] == [
        ["NAME", "SIZE"],
        ["g", "3"],
    ]
    bad = {**gear, "spec": {"size": "big"}}
    refused = kubectl.refused("apply", "--server-side", "-f", "-", stdin=bad)
    assert ".spec.size: expected numeric (int or float), got string" in refused
    assert "must be of type integer" in kubectl.refused(
        "create", "-f", "-", stdin={**bad, "metadata": {"name": "b"}}
    )
    assert "size" in kubectl("explain", f"gears.{group}.spec")
    kubectl("delete", "crd", f"gears.{group}")


def test_rights_are_enforced_and_can_be_asked_for(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "r", "--verb=get,list", "--resource=configmaps")
    kubectl("create", "rolebinding", "b", "--role=r", f"--serviceaccount={kubectl.namespace}:reader")
    reader = f"system:serviceaccount:{kubectl.namespace}:reader"
    token = f"--token={kubectl('create', 'token', 'reader').strip()}"
    assert "Username" in kubectl("auth", "whoami", token)
    assert reader in kubectl("auth", "whoami", token)
    kubectl("get", "configmaps", token)
    refusal = kubectl.refused("get", "secrets", token)
    assert f'User "{reader}" cannot list resource "secrets"' in refusal
    assert kubectl("auth", "can-i", "list", "configmaps", f"--as={reader}") == "yes\n"
    assert "no" in kubectl.run("auth", "can-i", "delete", "configmaps", token).stdout
    assert "logged in" in kubectl.refused("get", "configmaps", "--token=wrong")


def test_get_follows_changes(kubectl: Kubectl, watching: Callable[..., Any]) -> None:
    lines = watching(
        kubectl, "get", "configmaps", "--watch", "--field-selector=metadata.name=c", "-o", "name"
    )
    kubectl("apply", "--server-side", "-f", "-", stdin=configmap(a="1"))
    assert next(lines) == "configmap/c\n"
    kubectl("label", "configmap", "c", "x=y")
    assert next(lines) == "configmap/c\n"
