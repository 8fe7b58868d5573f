"""kubectl applies: to built-in kinds and custom resources, from the client's side and the server's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.kubectl import WITHIN, Kubectl, configmap, deployment

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVER = ("apply", "--server-side", "-f", "-")


def crd(group: str) -> dict[str, Any]:
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
        },
    }
    spec = {
        "type": "object",
        "properties": {
            "size": {"type": "integer"},
            "teeth": {"type": "array", "items": {"type": "integer"}},
            "parts": keyed,
            "marks": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "notes": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    status = {"type": "object", "properties": {"phase": {"type": "string"}, "parts": keyed}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"cogs.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "cogs", "kind": "Cog"},
            "versions": [version],
        },
    }


@pytest.fixture
def cogs(kubectl: Kubectl) -> Iterator[str]:
    """A resource of the test's own, by its name."""
    group = f"{kubectl.namespace}.example.com"
    kubectl("create", "-f", "-", stdin=crd(group))
    kubectl("wait", "crd", f"cogs.{group}", "--for=condition=Established", WITHIN)
    yield f"cogs.{group}"
    kubectl("delete", "crd", f"cogs.{group}")


def cog(cogs: str, metadata: dict[str, Any] | None = None, **content: Any) -> dict[str, Any]:
    group = cogs.partition(".")[2]
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Cog",
        "metadata": {"name": "c", **(metadata or {})},
        **content,
    }


def managers(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((each["manager"], each["operation"]) for each in obj["metadata"]["managedFields"])


def read(kubectl: Kubectl, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", *words, "--show-managed-fields")
    return found


def test_a_changed_custom_resource_is_applied(kubectl: Kubectl, cogs: str) -> None:
    kubectl("apply", "-f", "-", stdin=cog(cogs, spec={"size": 1, "teeth": [1, 2], "notes": {"a": "1"}}))
    changed = cog(cogs, spec={"size": 2, "teeth": [3]})
    assert "configured" in kubectl("apply", "-f", "-", stdin=changed)
    assert kubectl.json("get", cogs, "c")["spec"] == {"size": 2, "teeth": [3]}
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=changed)
    assert "configured" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=cog(cogs, spec={"size": 3}))


@pytest.mark.parametrize("kind", ["strategic", "merge", "json"])
def test_the_patches_of_a_custom_resource(kubectl: Kubectl, cogs: str, kind: str) -> None:
    kubectl("create", "-f", "-", stdin=cog(cogs, spec={"size": 1}))
    patch = '[{"op":"replace","path":"/spec/size","value":2}]' if kind == "json" else '{"spec":{"size":2}}'
    words = ("patch", cogs, "c", f"--type={kind}", "-p", patch)
    if kind == "strategic":
        assert "strategic-merge-patch+json is not supported by" in kubectl.refused(*words)
    else:
        kubectl(*words)
    assert kubectl.json("get", cogs, "c")["spec"] == {"size": 1 if kind == "strategic" else 2}


@pytest.mark.parametrize("field", ["labels", "annotations"])
@pytest.mark.parametrize("custom", [False, True], ids=["configmap", "custom"])
def test_the_last_label_or_annotation_goes(kubectl: Kubectl, cogs: str, field: str, *, custom: bool) -> None:
    name = cogs if custom else "configmap"
    without = cog(cogs, spec={"size": 1}) if custom else configmap(k="v")
    marked = {**without, "metadata": {"name": "c", field: {"team": "a"}}}
    kubectl(*SERVER, stdin=marked)
    tried = json.loads(kubectl(*SERVER, "--dry-run=server", "-o", "json", stdin=without))
    assert field not in tried["metadata"]
    assert kubectl.json("get", name, "c")["metadata"][field] == {"team": "a"}
    kubectl(*SERVER, stdin=without)
    after = kubectl.json("get", name, "c")
    assert field not in after["metadata"]
    assert after["metadata"]["uid"] == tried["metadata"]["uid"]


@pytest.mark.parametrize("custom", [False, True], ids=["configmap", "custom"])
def test_an_applied_object_is_handed_over_to_the_server(kubectl: Kubectl, cogs: str, *, custom: bool) -> None:
    """The annotation of client-side apply stays, up to date, with an owner of its own."""
    name = cogs if custom else "configmap"
    first = cog(cogs, spec={"size": 1, "teeth": [1]}) if custom else configmap(a="1", b="1")
    second = cog(cogs, spec={"size": 2}) if custom else configmap(a="2")
    kubectl("apply", "-f", "-", stdin=first)
    tried = kubectl.run(*SERVER, "--force-conflicts", "--dry-run=server", stdin=first)
    assert (tried.returncode, "Internal" in tried.stderr) == (0, False)
    said = kubectl.run(*SERVER, "--force-conflicts", stdin=first)
    assert (said.returncode, said.stderr) == (0, "")
    after = read(kubectl, name, "c")
    assert managers(after) == [("kubectl", "Apply"), ("kubectl-last-applied", "Apply")]
    kubectl(*SERVER, stdin=second)
    after = read(kubectl, name, "c")
    content = "spec" if custom else "data"
    assert after[content] == second[content]
    assert managers(after) == [("kubectl", "Apply"), ("kubectl-last-applied", "Apply")]
    assert json.loads(after["metadata"]["annotations"][LAST_APPLIED])[content] == second[content]
    assert "configured" in kubectl("apply", "-f", "-", stdin=first)
    assert kubectl.json("get", name, "c")[content] == first[content]


def test_kubectl_needs_no_force_for_what_it_applied_itself(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=configmap(a="1", b="1"))
    kubectl("patch", "configmap", "c", "-p", '{"data":{"b":"2"}}')
    refused = kubectl.refused(*SERVER, stdin=configmap(a="3", b="3"))
    assert "Apply failed with 1 conflict" in refused
    assert ".data.b" in refused
    assert "2 conflicts" in kubectl.refused(*SERVER, "--field-manager=me", stdin=configmap(a="3", b="3"))
    kubectl(*SERVER, stdin=configmap(a="3", b="2"))
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "3", "b": "2"}


@pytest.mark.parametrize("content", [{}, {"data": {}}])
def test_the_last_key_of_data_goes(kubectl: Kubectl, content: dict[str, Any]) -> None:
    kubectl(*SERVER, stdin=configmap(a="1"))
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, **content}
    kubectl(*SERVER, stdin=bare)
    first = read(kubectl, "configmap", "c")
    assert "data" not in first
    kubectl(*SERVER, stdin=bare)
    assert read(kubectl, "configmap", "c") == first


@pytest.mark.parametrize(
    ("full", "rest", "left"),
    [
        ({"parts": [{"name": "a", "value": "1"}]}, {"size": 1}, {"size": 1}),
        ({"parts": [{"name": "a", "value": "1"}]}, {"size": 1, "parts": []}, {"size": 1}),
        ({"parts": [{"name": "a", "value": "1"}]}, {"parts": [{"name": "a"}]}, {"parts": [{"name": "a"}]}),
        (
            {"parts": [{"name": "a"}, {"name": "b"}]},
            {"parts": [{"name": "b"}]},
            {"parts": [{"name": "b"}]},
        ),
        ({"marks": ["a", "b"]}, {"marks": ["b"]}, {"marks": ["b"]}),
        ({"marks": ["a"]}, {"size": 1}, {"size": 1}),
        ({"teeth": [1, 2]}, {"size": 1}, {"size": 1}),
        ({"teeth": [1, 2]}, {"teeth": []}, {"teeth": []}),
        ({"notes": {"a": "1", "b": "1"}}, {"notes": {"b": "1"}}, {"notes": {"b": "1"}}),
        ({"notes": {"a": "1"}}, {"size": 1}, {"size": 1}),
        ({"size": 1}, None, None),
    ],
)
def test_what_leaves_a_custom_resource_with_its_configuration(
    kubectl: Kubectl,
    cogs: str,
    full: dict[str, Any],
    rest: dict[str, Any] | None,
    left: dict[str, Any] | None,
) -> None:
    kubectl(*SERVER, stdin=cog(cogs, spec=full))
    kubectl(*SERVER, stdin=cog(cogs) if rest is None else cog(cogs, spec=rest))
    after = kubectl.json("get", cogs, "c")
    assert after.get("spec") == left
    assert after["metadata"]["name"] == "c"


@pytest.mark.parametrize(
    ("full", "rest", "field"),
    [({"notes": {"a": "1"}}, {"size": 1, "notes": {}}, "spec.notes"), ({"size": 1}, {}, "spec")],
)
def test_a_map_that_is_emptied_is_null_for_the_schema_of_a_custom_resource(
    kubectl: Kubectl, cogs: str, full: dict[str, Any], rest: dict[str, Any], field: str
) -> None:
    kubectl(*SERVER, stdin=cog(cogs, spec=full))
    refused = kubectl.refused(*SERVER, stdin=cog(cogs, spec=rest))
    assert f'{field}: Invalid value: "null": {field} in body must be of type object: "null"' in refused
    assert kubectl.json("get", cogs, "c")["spec"] == full


def test_what_leaves_a_status_with_its_configuration(kubectl: Kubectl, cogs: str) -> None:
    kubectl(*SERVER, stdin=cog(cogs, {"labels": {"a": "1"}}, spec={"size": 1}))
    of_status = (*SERVER, "--subresource=status", "--field-manager=reporter")
    kubectl(*of_status, stdin=cog(cogs, status={"phase": "Ready", "parts": [{"name": "a"}]}))
    kubectl(*of_status, stdin=cog(cogs, status={"parts": [{"name": "a"}]}))
    assert kubectl.json("get", cogs, "c")["status"] == {"parts": [{"name": "a"}]}
    assert 'status: Invalid value: "null"' in kubectl.refused(*of_status, stdin=cog(cogs, status={}))
    kubectl(*of_status, stdin=cog(cogs))
    after = read(kubectl, cogs, "c")
    assert "status" not in after
    assert (after["spec"], after["metadata"]["labels"]) == ({"size": 1}, {"a": "1"})
    assert managers(after) == [("kubectl", "Apply")]


@pytest.mark.parametrize("custom", [False, True], ids=["deployment", "custom"])
def test_a_scale_is_patched_in_every_way(kubectl: Kubectl, cogs: str, *, custom: bool) -> None:
    name = f"{cogs}/c" if custom else "deployment/web"
    made = deployment()
    made["spec"]["replicas"] = 0
    made["spec"]["paused"] = True
    kubectl(*SERVER, stdin=cog(cogs, spec={"size": 0}) if custom else made)
    of_scale = ("patch", name, "--subresource=scale")
    kubectl(*of_scale, "--type=merge", "-p", '{"spec":{"replicas":0}}')
    json_patch = '[{"op":"replace","path":"/spec/replicas","value":0}]'
    kubectl(*of_scale, "--type=json", "-p", json_patch)
    strategic = kubectl.run(*of_scale, "--type=strategic", "-p", '{"spec":{"replicas":0}}')
    assert (strategic.returncode == 0) is not custom
    assert 'unknown field "odd"' in kubectl.run(*of_scale, "--type=merge", "-p", '{"odd":1}').stderr


def test_a_container_may_name_a_variable_twice(kubectl: Kubectl) -> None:
    """Kubernetes takes it, with a warning; server-side apply refuses it."""
    twice = deployment(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])
    twice["spec"]["replicas"] = 0
    assert 'hides previous definition of "A"' in kubectl.run("apply", "-f", "-", stdin=twice).stderr
    twice["metadata"]["labels"] = {"app": "web", "more": "1"}
    kubectl("apply", "-f", "-", stdin=twice)
    (container,) = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert [each["value"] for each in container["env"]] == ["1", "2"]
    assert "duplicate entries for key" in kubectl.refused(*SERVER, "--force-conflicts", stdin=twice)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"parts": [{"name": "a", "value": "1"}, {"name": "a"}]},
            'spec.parts[1]: Duplicate value: {"name":"a"}',
        ),
        ({"marks": ["a", "a"]}, 'spec.marks[1]: Duplicate value: "a"'),
    ],
)
def test_a_custom_resource_has_no_list_item_twice(
    kubectl: Kubectl, cogs: str, spec: dict[str, Any], field: str
) -> None:
    assert field in kubectl.refused("create", "-f", "-", stdin=cog(cogs, spec=spec))


@pytest.mark.parametrize("reset", [[{}], []])
def test_owners_are_reset_and_come_back_with_the_next_apply(kubectl: Kubectl, reset: list[Any]) -> None:
    kubectl(*SERVER, stdin=configmap(a="1", b="1"))
    patch = json.dumps([{"op": "replace", "path": "/metadata/managedFields", "value": reset}])
    kubectl("patch", "configmap", "c", "--type=json", "-p", patch)
    kubectl("patch", "configmap", "c", "-p", '{"data":{"b":"2"}}')
    assert "managedFields" not in read(kubectl, "configmap", "c")["metadata"]
    refused = kubectl.refused(*SERVER, stdin=configmap(a="3"))
    assert 'conflict with "before-first-apply" using v1: .data.a' in refused
    kubectl(*SERVER, "--force-conflicts", stdin=configmap(a="3"))
    assert managers(read(kubectl, "configmap", "c")) == [
        ("before-first-apply", "Update"),
        ("kubectl", "Apply"),
    ]


def test_nothing_deletes_a_status_nor_a_collection_of_all_namespaces(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    kubectl("create", "quota", "q", "--hard=pods=1")
    quota = f"/api/v1/namespaces/{kubectl.namespace}/resourcequotas/q/status"
    assert "MethodNotAllowed" in kubectl.refused("delete", "--raw", quota)
    assert "MethodNotAllowed" in kubectl.refused("delete", "--raw", "/api/v1/configmaps")
    assert "MethodNotAllowed" in kubectl.refused("delete", "--raw", "/api/v1/namespaces")
    status = f"/api/v1/namespaces/{kubectl.namespace}/configmaps/c/status"
    assert "NotFound" in kubectl.refused("get", "--raw", status)
    kubectl("get", "configmap/c", "resourcequota/q")
