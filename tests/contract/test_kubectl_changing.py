"""kubectl changes things: diff, create, patch, label, annotate, delete, replace, expose."""

from __future__ import annotations

import json

import pytest

from tests.contract.kubectl import IMAGE, WITHIN, Kubectl, configmap, deployment

NO_PODS = {**deployment(), "spec": {**deployment()["spec"], "replicas": 0}}


@pytest.mark.parametrize("way", [[], ["--server-side"]])
def test_a_diff_shows_the_change_and_makes_none(kubectl: Kubectl, way: list[str]) -> None:
    kubectl("apply", *way, "-f", "-", stdin=configmap(a="1"))
    assert kubectl.run("diff", *way, "-f", "-", stdin=configmap(a="1")).returncode == 0
    changed = kubectl.run("diff", *way, "-f", "-", stdin=configmap(a="2"))
    assert changed.returncode == 1
    assert "+  a: " in changed.stdout
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "1"}
    fresh = configmap(a="1") | {"metadata": {"name": "new"}}
    assert kubectl.run("diff", *way, "-f", "-", stdin=fresh).returncode == 1
    assert "NotFound" in kubectl.refused("get", "configmap", "new")


def test_what_create_makes_by_name(kubectl: Kubectl) -> None:
    namespace = kubectl.namespace
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "rolebinding", "b", "--clusterrole=view", f"--serviceaccount={namespace}:sa")
    kubectl("create", "quota", "q", "--hard=pods=2,requests.cpu=1")
    kubectl("create", "poddisruptionbudget", "p", "--selector=app=web", "--min-available=1")
    kubectl("create", "token", "sa", "--duration=10m")
    subject = {"kind": "ServiceAccount", "name": "sa", "namespace": namespace}
    assert kubectl.json("get", "rolebinding", "b")["subjects"] == [subject]
    assert kubectl.json("get", "quota", "q")["spec"]["hard"] == {"pods": "2", "requests.cpu": "1"}
    assert kubectl.json("get", "pdb", "p")["spec"]["minAvailable"] == 1


def test_a_namespace_is_created_and_goes_with_what_it_holds(kubectl: Kubectl) -> None:
    other = f"{kubectl.namespace}-other"
    kubectl("create", "namespace", other)
    kubectl("create", "configmap", "c", "-n", other)
    kubectl("delete", "namespace", other, WITHIN)
    assert "NotFound" in kubectl.refused("get", "namespace", other)
    assert "not found" in kubectl.refused("create", "configmap", "c", "-n", other)


def test_labels_and_annotations_come_change_and_go(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    kubectl("label", "cm", "c", "a=1", "b=2")
    assert "already has a value" in kubectl.refused("label", "cm", "c", "a=2")
    kubectl("label", "cm", "c", "a=2", "--overwrite")
    kubectl("label", "cm", "c", "b-")
    kubectl("annotate", "cm", "c", "note=long text")
    metadata = kubectl.json("get", "cm", "c")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"a": "2"}, {"note": "long text"})
    assert "invalid label value" in kubectl.refused("label", "cm", "c", "a=not valid", "--overwrite")


def test_the_status_is_patched_by_itself(kubectl: Kubectl) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "p"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    }
    kubectl("apply", "-f", "-", stdin=budget)
    mark = {"type": "Marked", "status": "True", "reason": "Test", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    patch = json.dumps({"status": {"conditions": [mark]}, "spec": {"minAvailable": 7}})
    kubectl("patch", "pdb", "p", "--subresource=status", "--type=strategic", "-p", patch)
    found = kubectl.json("get", "pdb", "p")
    assert "Marked" in [each["type"] for each in found["status"]["conditions"]]
    assert found["spec"].get("minAvailable") != 7


def test_delete_by_label_by_file_and_all(kubectl: Kubectl) -> None:
    for name, tier in (("one", "front"), ("two", "front"), ("three", "back")):
        kubectl("create", "configmap", name)
        kubectl("label", "cm", name, f"tier={tier}")
    deleted = kubectl("delete", "cm", "-l", "tier=front")
    assert ('"one" deleted' in deleted, '"three" deleted' in deleted) == (True, False)
    kubectl("apply", "-f", "-", stdin=configmap())
    kubectl("delete", "-f", "-", stdin=configmap())
    kubectl("delete", "cm", "--all")
    assert kubectl("get", "cm", "-l", "tier", "-o", "name") == ""
    kubectl("delete", "cm", "gone", "--ignore-not-found")


def test_replace_needs_the_version_it_names(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=configmap(a="1"))
    stale = kubectl.json("get", "cm", "c")
    kubectl("replace", "-f", "-", stdin=configmap(a="2"))
    stale["data"] = {"a": "3"}
    assert "the object has been modified" in kubectl.refused("replace", "-f", "-", stdin=stale)
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "2"}


def test_a_deployment_is_exposed_scaled_and_given_another_image(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=NO_PODS)
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--name=front")
    service = kubectl.json("get", "service", "front")["spec"]
    assert (service["selector"], service["ports"][0]["port"]) == ({"app": "web"}, 80)
    kubectl("set", "image", "deployment/web", "web=example.com/other:2")
    kubectl("set", "env", "deployment/web", "A=1")
    (container,) = kubectl.json("get", "deploy", "web")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == (
        "example.com/other:2",
        [{"name": "A", "value": "1"}],
    )
    refused = kubectl.refused("scale", "deploy/web", "--replicas=1", "--current-replicas=5")
    assert "Expected replicas to be 5, was 0" in refused
    assert IMAGE in kubectl("rollout", "history", "deploy/web", "--revision=1")
