"""The write pipeline through the in-process client: what any client meets, kubectl included."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable
from typing import Any

import pytest

from meshkit.sandbox.api.requests import DeleteOptions
from meshkit.sandbox.api.status import ApiError
from tests.unit.sandbox_api.conftest import WIDGETS

CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def refused(work: Awaitable[Any]) -> ApiError:
    async def run() -> None:
        await work

    with pytest.raises(ApiError) as error:
        asyncio.run(run())
    return error.value


def done(work: Awaitable[Any]) -> Any:
    async def run() -> Any:
        return await work

    return asyncio.run(run())


def configmap(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c", **metadata}, "data": {"a": "1"}}


def test_create_fills_in_what_the_server_knows(api: Any) -> None:
    made = done(api.client.create("deployments.apps", api.deployment()))
    assert made["metadata"]["uid"]
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["namespace"] == "default"
    assert made["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert made["metadata"]["managedFields"][0]["operation"] == "Update"


def test_generate_name_makes_distinct_names(api: Any) -> None:
    names = {
        done(api.client.create("configmaps", {"metadata": {"generateName": "c-"}}))["metadata"]["name"]
        for _ in range(50)
    }
    assert len(names) == 50
    assert all(name.startswith("c-") and len(name) == 7 for name in names)


def test_the_same_name_twice_is_a_conflict(api: Any) -> None:
    done(api.client.create("configmaps", configmap()))
    error = refused(api.client.create("configmaps", configmap()))
    assert (error.code, error.reason, error.message) == (
        409,
        "AlreadyExists",
        'configmaps "c" already exists',
    )


def test_an_update_from_an_older_version_is_a_conflict(api: Any) -> None:
    first = done(api.client.create("configmaps", configmap()))
    done(api.client.merge_patch("configmaps", "c", None, {"data": {"a": "2"}}))
    error = refused(api.client.update("configmaps", {**first, "data": {"a": "3"}}))
    assert (error.code, error.reason) == (409, "Conflict")
    assert "the object has been modified" in error.message


def test_a_write_that_changes_nothing_keeps_the_resource_version(api: Any) -> None:
    made = done(api.client.create("deployments.apps", api.deployment()))
    same = done(api.client.merge_patch("deployments.apps", "web", None, {"spec": {"replicas": 1}}))
    assert same == made
    status = {"replicas": 1, "observedGeneration": 1}
    once = done(api.client.update_status("deployments.apps", "web", None, status))
    assert done(api.client.update_status("deployments.apps", "web", None, status)) == once


def test_generation_counts_the_spec_and_not_the_status(api: Any) -> None:
    done(api.client.create("deployments.apps", api.deployment()))
    after_status = done(api.client.update_status("deployments.apps", "web", None, {"replicas": 1}))
    assert after_status["metadata"]["generation"] == 1
    after_label = done(
        api.client.merge_patch("deployments.apps", "web", None, {"metadata": {"labels": {"a": "b"}}})
    )
    assert after_label["metadata"]["generation"] == 1
    after_spec = done(api.client.merge_patch("deployments.apps", "web", None, {"spec": {"replicas": 3}}))
    assert after_spec["metadata"]["generation"] == 2


def test_each_endpoint_changes_only_its_part(api: Any) -> None:
    made = done(api.client.create("deployments.apps", {**api.deployment(), "status": {"replicas": 9}}))
    assert "status" not in made
    done(api.client.update_status("deployments.apps", "web", None, {"replicas": 2}))
    kept = done(api.client.merge_patch("deployments.apps", "web", None, {"status": {"replicas": 7}}))
    assert kept["status"] == {"replicas": 2}
    target = api.target("deployments.apps", "web", "status")
    patch = {"spec": {"replicas": 5}, "status": {"replicas": 3}}
    changed = done(api.writes.patch(target, "merge", patch, api.options()))
    assert (changed["spec"]["replicas"], changed["status"]) == (1, {"replicas": 3})


def test_dry_run_shows_the_outcome_and_writes_nothing(api: Any) -> None:
    options = api.options(dry_run=True)
    shown = done(api.writes.create(api.target("deployments.apps"), api.deployment(), options))
    assert shown["spec"]["replicas"] == 1
    assert done(api.client.get("deployments.apps", "web")) is None
    made = done(api.client.create("deployments.apps", api.deployment()))
    patch = {"spec": {"replicas": 4}}
    shown = done(api.writes.patch(api.target("deployments.apps", "web"), "merge", patch, options))
    assert shown["metadata"]["generation"] == 2
    assert shown["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert done(api.client.get("deployments.apps", "web")) == made


def test_an_unknown_field_is_refused_warned_about_or_dropped_as_asked(api: Any) -> None:
    odd = api.deployment(replcas=2)
    error = refused(
        api.writes.create(api.target("deployments.apps"), odd, api.options(field_validation="Strict"))
    )
    assert error.code == 400
    assert 'strict decoding error: unknown field "spec.replcas"' in error.message
    options = api.options(field_validation="Warn")
    made = done(api.writes.create(api.target("deployments.apps"), odd, options))
    assert options.warnings == ['unknown field "spec.replcas"']
    assert "replcas" not in made["spec"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"selector": {"matchLabels": {"app": "other"}}}, "`selector` does not match template `labels`"),
        ({"replicas": -1}, "must be greater than or equal to 0"),
        ({"template": {"spec": {}}}, "containers: Required value"),
        ({"selector": None}, "spec.selector: Required value"),
    ],
)
def test_an_invalid_deployment_is_refused_with_the_field(
    api: Any, change: dict[str, Any], message: str
) -> None:
    error = refused(api.client.create("deployments.apps", api.deployment(**change)))
    assert (error.code, error.reason) == (422, "Invalid")
    assert message in error.message
    assert error.details["causes"][0]["field"].startswith("spec.")


@pytest.mark.parametrize(
    "key", ["resourcequotas", "poddisruptionbudgets.policy", "networkpolicies.networking.k8s.io"]
)
@pytest.mark.parametrize("content", [{}, {"spec": None}])
def test_an_object_without_a_spec_has_an_empty_one(api: Any, key: str, content: dict[str, Any]) -> None:
    made = done(api.client.create(key, {"metadata": {"name": "x"}, **content}))
    assert isinstance(made["spec"], dict)
    error = refused(api.client.create("limitranges", {"metadata": {"name": "x"}, **content}))
    assert (error.code, "spec.limits: Required value" in error.message) == (422, True)


def test_empty_maps_of_a_built_in_kind_are_left_out(api: Any) -> None:
    made = done(api.client.create("configmaps", {**configmap(labels={}, finalizers=[]), "data": {}}))
    assert "data" not in made
    assert not {"labels", "finalizers"} & set(made["metadata"])


def test_empty_maps_of_a_custom_resource_stay(api: Any) -> None:
    done(api.define_widgets())
    spec = {"size": 1, "free": {}}
    made = done(
        api.client.create("widgets.example.com", {"metadata": {"name": "x", "labels": {}}, "spec": spec})
    )
    assert made["spec"]["free"] == {}
    assert "labels" not in made["metadata"]


def test_a_variable_that_hides_another_is_warned_about(api: Any) -> None:
    made = api.deployment()
    values = ("1", "2", "$(A)3")
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": each} for each in values
    ]
    options = api.options()
    done(api.writes.create(api.target("deployments.apps"), made, options))
    (warning,) = options.warnings
    assert warning.startswith('spec.template.spec.containers[0].env[1]: hides previous definition of "A"')


def test_a_custom_resource_has_no_list_item_twice(api: Any) -> None:
    crd = copy.deepcopy(WIDGETS)
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    item = {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "string"}}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item}
    properties["parts"] = {"type": "array", **keyed}
    properties["marks"] = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    done(api.client.create(CRDS, crd))
    spec = {"size": 1, "parts": [{"name": "a", "value": "1"}, {"name": "a"}], "marks": ["b", "c", "b"]}
    error = refused(api.client.create("widgets.example.com", {"metadata": {"name": "x"}, "spec": spec}))
    assert [(each["field"], each["message"]) for each in error.details["causes"]] == [
        ("spec.parts[1]", 'Duplicate value: {"name":"a"}'),
        ("spec.marks[2]", 'Duplicate value: "b"'),
    ]


def test_a_value_of_the_wrong_type_cannot_be_read(api: Any) -> None:
    error = refused(api.client.create("deployments.apps", api.deployment(replicas="three")))
    assert (error.code, error.reason) == (400, "BadRequest")
    assert (
        "cannot unmarshal string into Go struct field Deployment.spec.replicas of type int32" in error.message
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "RFC 1123") for name in ("Upper", "under_score", "-a", "a..b")),
        ("a" * 254, "must be no more than 253 characters"),
        ("A" * 254, "must be no more than 253 characters"),
        ("A" * 254, "RFC 1123"),
    ],
)
def test_an_invalid_name_is_refused(api: Any, name: str, why: str) -> None:
    error = refused(api.client.create("configmaps", configmap(name=name)))
    assert error.code == 422
    assert why in error.message


def test_an_invalid_label_is_refused(api: Any) -> None:
    error = refused(api.client.create("configmaps", configmap(labels={"a": "not valid!"})))
    assert "a valid label must be" in error.message


def test_the_selector_of_a_deployment_cannot_change(api: Any) -> None:
    done(api.client.create("deployments.apps", api.deployment()))
    moved = api.deployment()
    moved["spec"]["selector"]["matchLabels"] = moved["spec"]["template"]["metadata"]["labels"] = {"app": "z"}
    error = refused(api.client.update("deployments.apps", moved))
    assert "field is immutable" in error.message


def test_the_spec_of_a_pod_is_fixed_but_for_its_image_and_its_first_node(api: Any) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    done(api.client.create("pods", pod))
    done(api.client.merge_patch("pods", "p", None, {"spec": {"nodeName": "n"}}))
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "j"}]
    done(api.writes.patch(api.target("pods", "p"), "json", image, api.options()))
    error = refused(api.client.merge_patch("pods", "p", None, {"spec": {"nodeName": "other"}}))
    assert "pod updates may not change fields" in error.message


def test_an_immutable_secret_keeps_its_data(api: Any) -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"k": "v"}, "immutable": True}
    done(api.client.create("secrets", secret))
    error = refused(
        api.client.merge_patch("secrets", "s", None, {"stringData": {"k": "w"}, "immutable": None})
    )
    assert [cause["field"] for cause in error.details["causes"]] == ["data", "immutable"]


def test_an_object_needs_its_namespace_and_not_one_that_ends(api: Any) -> None:
    assert refused(api.client.create("configmaps", configmap(namespace="nowhere"))).code == 404
    done(api.client.create("namespaces", {"metadata": {"name": "going"}}))
    done(api.client.delete("namespaces", "going"))
    assert done(api.client.get("namespaces", "going"))["status"]["phase"] == "Terminating"
    error = refused(api.client.create("configmaps", configmap(namespace="going")))
    assert error.code == 403
    assert error.details["causes"][0]["reason"] == "NamespaceTerminating"
    done(api.client.finalize_namespace("going"))
    assert done(api.client.get("namespaces", "going")) is None


def test_finalizers_hold_an_object_until_they_are_gone(api: Any) -> None:
    done(api.client.create("configmaps", configmap(finalizers=["example.com/hold"])))
    done(api.client.delete("configmaps", "c"))
    held = done(api.client.get("configmaps", "c"))
    assert held["metadata"]["deletionTimestamp"]
    done(api.client.merge_patch("configmaps", "c", None, {"metadata": {"finalizers": None}}))
    assert done(api.client.get("configmaps", "c")) is None


def test_a_pod_on_a_node_is_given_time_and_ended_by_the_node(api: Any) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}
    done(api.client.create("pods", pod))
    done(api.client.delete("pods", "p"))
    going = done(api.client.get("pods", "p"))
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    done(api.client.delete("pods", "p", grace_period_s=0))
    assert done(api.client.get("pods", "p")) is None


def test_a_delete_keeps_to_its_preconditions(api: Any) -> None:
    done(api.client.create("configmaps", configmap()))
    target = api.target("configmaps", "c")
    error = refused(api.writes.delete(target, DeleteOptions(uid="other"), api.options()))
    assert (error.code, "Precondition failed: UID" in error.message) == (409, True)
    assert refused(api.writes.delete(target, DeleteOptions(resource_version="1"), api.options())).code == 409
    assert done(api.client.get("configmaps", "c")) is not None


def test_apply_keeps_to_the_resource_version_it_names(api: Any) -> None:
    done(api.client.create("configmaps", configmap()))
    config = {"apiVersion": "v1", "kind": "ConfigMap", **configmap(resourceVersion="1")}
    assert refused(api.writes.apply(api.target("configmaps", "c"), config, api.options())).code == 409


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"replcas": 1}, ".spec.replcas: field not declared in schema"),
        ({"replicas": "3"}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"replicas": True}, ".spec.replicas: expected numeric (int or float), got bool"),
        ({"paused": 1}, ".spec.paused: expected boolean, got &value.valueUnstructured{Value:1}"),
        (
            {"strategy": {"type": 5}},
            ".spec.strategy.type: expected string, got &value.valueUnstructured{Value:5}",
        ),
        ({"strategy": [1]}, ".spec.strategy: expected map, got &{[1]}"),
        ({"template": {"spec": {"containers": {"a": 1}}}}, "containers: expected list, got &{map[a:1]}"),
        (
            {"template": {"spec": {"containers": [{"name": "a", "imag": "b"}]}}},
            '.spec.template.spec.containers[name="a"].imag: field not declared in schema',
        ),
        (
            {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}},
            '.spec.template.spec.containers: duplicate entries for key [name="a"]',
        ),
    ],
)
def test_apply_refuses_what_is_not_of_its_type_with_a_bare_500(
    api: Any, change: dict[str, Any], problem: str
) -> None:
    config = api.deployment(**change)
    error = refused(api.writes.apply(api.target("deployments.apps", "web"), config, api.options()))
    assert (error.code, error.reason) == (500, "")
    assert error.message.startswith("failed to create typed patch object (")
    assert error.message.endswith(problem)


@pytest.mark.parametrize(
    "wrong", [{"kind": "Secret"}, {"apiVersion": "v2"}, {"kind": ""}, {"metadata": {"managedFields": []}}]
)
def test_apply_refuses_another_kind_and_managed_fields(api: Any, wrong: dict[str, Any]) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", **configmap(), **wrong}
    assert refused(api.writes.apply(api.target("configmaps", "c"), config, api.options())).code == 400


def test_a_patch_may_not_rename(api: Any) -> None:
    done(api.client.create("configmaps", configmap()))
    patch = {"metadata": {"name": "other"}}
    error = refused(api.writes.patch(api.target("configmaps", "c"), "merge", patch, api.options()))
    assert (error.code, "does not match the name on the URL" in error.message) == (400, True)


@pytest.mark.parametrize(
    ("resource", "kind", "body", "problem"),
    [
        ("configmaps", "v1/ConfigMap", {"data": {"a/b": "c"}}, "data[a/b]: Invalid value"),
        (
            "poddisruptionbudgets.policy",
            "policy/v1/PodDisruptionBudget",
            {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
            "cannot be both set",
        ),
        (
            "poddisruptionbudgets.policy",
            "policy/v1/PodDisruptionBudget",
            {"spec": {"minAvailable": "9" * 5000 + "%"}},
            "spec.minAvailable: Invalid value",
        ),
        (
            "roles.rbac.authorization.k8s.io",
            "rbac.authorization.k8s.io/v1/Role",
            {"rules": [{"verbs": ["get"], "resources": ["pods"]}]},
            "rules[0].apiGroups: Required value",
        ),
    ],
)
def test_rules_of_a_kind(api: Any, resource: str, kind: str, body: dict[str, Any], problem: str) -> None:
    version, _, name = kind.rpartition("/")
    obj = {"apiVersion": version, "kind": name, "metadata": {"name": "x"}, **body}
    error = refused(api.writes.create(api.target(resource, ""), obj, api.options()))
    assert (error.code, problem in error.message) == (422, True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"strategy": {"type": "Blue"}}, 'spec.strategy.type: Unsupported value: "Blue"'),
        (
            {
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
                }
            },
            'restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
    ],
)
def test_rules_of_a_deployment(api: Any, change: dict[str, Any], problem: str) -> None:
    assert problem in refused(api.client.create("deployments.apps", api.deployment(**change))).message


def test_apply_creates_then_changes_and_says_which(api: Any) -> None:
    target = api.target("deployments.apps", "web")
    _, created = done(api.writes.apply(target, api.deployment(), api.options("me")))
    changed, again = done(api.writes.apply(target, api.deployment(replicas=3), api.options("me")))
    assert (created, again) == (True, False)
    assert changed["spec"]["replicas"] == 3
    assert changed["spec"]["template"]["spec"]["restartPolicy"] == "Always"


def test_a_secret_takes_plain_text(api: Any) -> None:
    made = done(api.client.create("secrets", {"metadata": {"name": "s"}, "stringData": {"k": "v"}}))
    assert (made["data"], made["type"], "stringData" in made) == ({"k": "dg=="}, "Opaque", False)


def test_what_is_stored_but_not_enforced_is_said(api: Any) -> None:
    options = api.options()
    policy = {"metadata": {"name": "n"}, "spec": {"podSelector": {}}}
    done(api.writes.create(api.target("networkpolicies.networking.k8s.io"), policy, options))
    assert options.warnings == ["a NetworkPolicy is stored but not enforced by the sandbox"]


def test_an_annotation_that_nothing_here_obeys_is_said(api: Any) -> None:
    options = api.options()
    notes = {"config.linkerd.io/access-log": "json", "linkerd.io/inject": "enabled"}
    done(
        api.writes.create(
            api.target("namespaces"), {"metadata": {"name": "n", "annotations": notes}}, options
        )
    )
    said = "annotation config.linkerd.io/access-log: the sandbox's proxies do not write an access log"
    assert options.warnings == [said]


def test_custom_resources_are_validated_pruned_and_given_defaults(api: Any) -> None:
    async def scenario() -> None:
        await api.define_widgets()
        made = await api.client.create(
            "widgets.example.com",
            {
                "metadata": {"name": "w"},
                "spec": {"size": 1, "free": {"any": [1]}, "owner": None},
                "status": {"a": 1},
            },
        )
        assert made["spec"] == {"size": 1, "color": "red", "free": {"any": [1]}, "owner": None}
        assert "status" not in made
        crd = await api.client.get(CRDS, "widgets.example.com")
        assert {each["type"] for each in crd["status"]["conditions"]} == {"NamesAccepted", "Established"}

    asyncio.run(scenario())


def test_a_custom_resource_names_every_wrong_field(api: Any) -> None:
    done(api.define_widgets())
    widget = {
        "metadata": {"name": "w"},
        "spec": {"size": 0, "color": "green", "routes": [{"weight": "much"}]},
    }
    error = refused(api.client.create("widgets.example.com", widget))
    assert {each["field"] for each in error.details["causes"]} == {
        "spec.size",
        "spec.color",
        "spec.routes[0].weight",
    }
    assert 'spec.routes[0].weight in body must be of type integer: "string"' in error.message


def test_a_strategic_patch_of_a_custom_resource_is_an_unsupported_type(api: Any) -> None:
    done(api.define_widgets())
    target = api.target("widgets.example.com", "w")
    assert refused(api.writes.patch(target, "strategic", {}, api.options())).code == 415


def test_the_objects_of_a_definition_go_with_it(api: Any) -> None:
    done(api.define_widgets())
    done(api.client.create("widgets.example.com", {"metadata": {"name": "w"}, "spec": {"size": 1}}))
    done(api.client.delete(CRDS, "widgets.example.com"))
    assert api.store.objects("widgets.example.com") == []
    assert refused(api.client.list("widgets.example.com")).code == 404


def test_a_definition_under_a_wrong_name_is_refused(api: Any) -> None:
    crd = {"metadata": {"name": "wrong.example.com"}, "spec": {}}
    crd["spec"] = {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True}],
    }
    error = refused(api.client.create(CRDS, crd))
    assert "things.example.com" in error.message
    assert "schemas are required" in error.message


def test_events_of_one_cause_are_counted(api: Any) -> None:
    made = done(api.client.create("configmaps", configmap()))
    made["kind"] = "ConfigMap"
    for _ in range(3):
        done(api.client.record_event(made, "Odd", "looks odd", type="Warning", source="test"))
    (event,) = done(api.client.list("events"))
    assert (event["count"], event["involvedObject"]["name"], event["type"]) == (3, "c", "Warning")


def test_objects_handed_out_are_copies(api: Any) -> None:
    made = done(api.client.create("configmaps", configmap()))
    made["data"]["a"] = "changed"
    (listed,) = done(api.client.list("configmaps"))
    listed["data"]["a"] = "changed"
    assert done(api.client.get("configmaps", "c"))["data"] == {"a": "1"}
