"""Server-side apply as a client sees it: what leaves a configuration leaves the object, nothing else does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from meshkit.sandbox.api.status import ApiError

WIDGETS = "widgets.example.com"
DEPLOYMENTS = "deployments.apps"
NODES = "nodes"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def done(work: Awaitable[Any]) -> Any:
    async def run() -> Any:
        return await work

    return asyncio.run(run())


class Applier:
    """One field manager that applies one object."""

    def __init__(self, api: Any, key: str, manager: str = "me", subresource: str = "", **more: Any) -> None:
        self.api = api
        self.resource = api.resource(key)
        self.target = api.target(key, "x", subresource)
        self.options = api.options(manager, **more)

    def config(self, **content: Any) -> dict[str, Any]:
        metadata = {"name": "x", **content.pop("metadata", {})}
        head = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
        return {**head, "metadata": metadata, **content}

    def __call__(self, **content: Any) -> dict[str, Any]:
        result, _ = done(self.api.writes.apply(self.target, self.config(**content), self.options))
        return dict(result)


def managers(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["manager"], each["operation"]) for each in obj["metadata"].get("managedFields", ())]


@pytest.fixture
def widget(api: Any) -> Applier:
    done(api.define_widgets())
    return Applier(api, WIDGETS)


CONTENT: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"k": "v"}},
    "namespaces": {},
    DEPLOYMENTS: {
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        }
    },
    WIDGETS: {"spec": {"size": 1}},
}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("field", ["labels", "annotations"])
@pytest.mark.parametrize("key", sorted(CONTENT))
def test_the_last_owned_field_of_metadata_goes_alone(
    api: Any, key: str, field: str, *, dry_run: bool
) -> None:
    done(api.define_widgets())
    content = CONTENT[key]
    before = Applier(api, key)(metadata={field: {"team": "a"}}, **content)
    after = Applier(api, key, dry_run=dry_run)(**content)
    volatile = ("managedFields", "resourceVersion", field)
    kept = {name: value for name, value in before["metadata"].items() if name not in volatile}
    assert {key: value for key, value in after["metadata"].items() if key not in volatile} == kept
    assert "team" not in after["metadata"].get(field, {})
    stored = done(api.client.get(key, "x"))
    assert (field in stored["metadata"]) == (dry_run or (key == "namespaces" and field == "labels"))


def test_a_label_that_another_owns_stays_when_the_last_own_one_goes(api: Any) -> None:
    me, other = Applier(api, "configmaps"), Applier(api, "configmaps", "other")
    me(metadata={"labels": {"a": "1"}})
    other(metadata={"labels": {"b": "1"}})
    assert me()["metadata"]["labels"] == {"b": "1"}
    assert "labels" not in other()["metadata"]


def test_metadata_of_an_object_that_nobody_owns_any_more_stays(api: Any) -> None:
    Applier(api, "configmaps")(metadata={"annotations": {"a": "1"}}, data={"k": "v"})
    after = Applier(api, "configmaps")()
    assert (after["metadata"]["name"], after["metadata"]["namespace"]) == ("x", "default")
    assert managers(after) == []
    assert "data" not in after


def test_a_finalizer_goes_with_its_applier(api: Any) -> None:
    me, other = Applier(api, "configmaps"), Applier(api, "configmaps", "other")
    me(metadata={"finalizers": ["example.com/a"]})
    other(metadata={"finalizers": ["example.com/b"]})
    assert me()["metadata"]["finalizers"] == ["example.com/b"]
    assert "finalizers" not in other()["metadata"]


@pytest.mark.parametrize("empty", [{"data": {}}, {}])
def test_data_without_its_last_key_is_no_data(api: Any, empty: dict[str, Any]) -> None:
    me = Applier(api, "configmaps")
    me(data={"k": "v"})
    after = me(**empty)
    assert "data" not in after
    assert me(**empty) == after


def test_a_custom_map_without_its_last_key_goes_when_it_is_no_more_applied(widget: Applier) -> None:
    """Applied empty it is null for Kubernetes, which the schema of a custom resource may refuse."""
    widget(spec={"size": 1, "free": {"a": "1"}})
    with pytest.raises(
        ApiError, match=r'spec.free: Invalid value: "null": spec.free in body must be of type'
    ):
        widget(spec={"size": 1, "free": {}})
    assert widget(spec={"size": 1})["spec"] == {"size": 1, "color": "red"}
    assert widget(spec={"size": 1, "free": {}})["spec"]["free"] == {}


def test_a_struct_of_a_list_item_goes_with_its_last_field(api: Any) -> None:
    def pod(**fields: Any) -> dict[str, Any]:
        container = {"name": "c", "image": "i", **fields}
        spec = CONTENT[DEPLOYMENTS]["spec"]
        return {"spec": {**spec, "template": {**spec["template"], "spec": {"containers": [container]}}}}

    me = Applier(api, DEPLOYMENTS)
    me(**pod(securityContext={"runAsUser": 1}))
    (container,) = me(**pod(securityContext={}))["spec"]["template"]["spec"]["containers"]
    assert "securityContext" not in container


def test_an_atomic_list_goes_and_an_empty_one_that_is_applied_stays(widget: Applier) -> None:
    widget(spec={"size": 1, "routes": [{"weight": 1}]})
    assert widget(spec={"size": 1, "routes": []})["spec"]["routes"] == []
    assert "routes" not in widget(spec={"size": 1})["spec"]


def test_the_whole_spec_goes_when_its_schema_lets_it(widget: Applier) -> None:
    """Here the schema does not require spec, only a size in it."""
    widget(spec={"free": {"a": "1"}, "size": 2})
    after = widget()
    assert "spec" not in after
    assert after["metadata"]["name"] == "x"


def test_the_last_owned_field_of_a_status_goes(widget: Applier, api: Any) -> None:
    widget(spec={"size": 1}, metadata={"labels": {"a": "1"}})
    reporter = Applier(api, WIDGETS, "reporter", "status")
    assert reporter(status={"phase": "Ready"})["status"] == {"phase": "Ready"}
    after = reporter()
    assert "status" not in after
    assert (after["spec"]["size"], after["metadata"]["labels"]) == (1, {"a": "1"})


def test_the_last_condition_of_an_applier_goes_from_the_status(api: Any) -> None:
    Applier(api, DEPLOYMENTS)(**CONTENT[DEPLOYMENTS])
    condition = {"type": "Odd", "status": "True"}
    reporter = Applier(api, DEPLOYMENTS, "reporter", "status")
    assert reporter(status={"conditions": [condition]})["status"]["conditions"] == [condition]
    assert "conditions" not in reporter().get("status", {})


def test_list_items_go_down_to_none(api: Any) -> None:
    me = Applier(api, "services")
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    me(spec={"clusterIP": "None", "ports": ports})
    assert [each["name"] for each in me(spec={"clusterIP": "None", "ports": ports[:1]})["spec"]["ports"]] == [
        "a"
    ]
    assert "ports" not in me(spec={"clusterIP": "None"})["spec"]


def test_a_subresource_leaves_the_owners_that_a_client_sends_along(api: Any) -> None:
    """Only the object itself takes managedFields from a request."""
    made = Applier(api, DEPLOYMENTS)(**CONTENT[DEPLOYMENTS])
    sent = {**made, "metadata": {**made["metadata"], "managedFields": [{}]}, "status": {"replicas": 1}}
    after = done(api.writes.replace(api.target(DEPLOYMENTS, "x", "status"), sent, api.options("reporter")))
    assert managers(after) == [("me", "Apply"), ("reporter", "Update")]


# --- from client-side to server-side apply


def applied_by_client(api: Any, key: str, **content: Any) -> dict[str, Any]:
    """What ``kubectl apply`` creates."""
    config = Applier(api, key).config(**content)
    config["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(config) + "\n"}
    options = api.options("kubectl-client-side-apply")
    return dict(done(api.writes.create(api.target(key), config, options)))


def migrated(api: Any, key: str) -> None:
    """What kubectl does between its first two server-side applies."""
    live = done(api.client.get(key, "x"))
    annotation = {LAST_APPLIED: live["metadata"]["annotations"][LAST_APPLIED]}
    live = Applier(api, key, "kubectl-last-applied")(metadata={"annotations": annotation})
    fields = [
        each for each in live["metadata"]["managedFields"] if each["manager"] != "kubectl-client-side-apply"
    ]
    (mine,) = (each for each in fields if each["manager"] == "kubectl")
    mine["fieldsV1"]["f:metadata"] = {"f:annotations": {".": {}, f"f:{LAST_APPLIED}": {}}}
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]
    done(api.writes.patch(api.target(key, "x"), "json", patch, api.options("kubectl")))


@pytest.mark.parametrize("key", ["configmaps", DEPLOYMENTS, WIDGETS])
def test_an_object_applied_by_a_client_is_handed_over(api: Any, key: str) -> None:
    done(api.define_widgets())
    applied_by_client(api, key, **CONTENT[key])
    kubectl = Applier(api, key, "kubectl", force=True)
    kubectl(**CONTENT[key])
    migrated(api, key)
    after = kubectl(**CONTENT[key])
    assert managers(after) == [("kubectl", "Apply"), ("kubectl-last-applied", "Apply")]
    assert json.loads(after["metadata"]["annotations"][LAST_APPLIED]) == kubectl.config(**CONTENT[key])
    assert kubectl(**CONTENT[key]) == after


def test_kubectl_may_change_what_it_applied_by_the_client_without_force(api: Any) -> None:
    applied_by_client(api, "configmaps", data={"a": "1", "b": "1"})
    done(api.client.merge_patch("configmaps", "x", None, {"data": {"b": "2"}}))
    with pytest.raises(ApiError, match=r"1 conflict: .*: \.data\.b") as refused:
        Applier(api, "configmaps", "kubectl")(data={"a": "3", "b": "3"})
    assert refused.value.code == 409
    with pytest.raises(ApiError, match="2 conflicts"):
        Applier(api, "configmaps", "other")(data={"a": "3", "b": "3"})
    assert Applier(api, "configmaps", "kubectl")(data={"a": "3", "b": "2"})["data"] == {"a": "3", "b": "2"}


def test_kubectl_keeps_the_annotation_of_client_side_apply_up_to_date(api: Any) -> None:
    applied_by_client(api, "configmaps", data={"a": "1"})
    after = Applier(api, "configmaps", "kubectl", force=True)(data={"a": "<2>"})
    said = after["metadata"]["annotations"][LAST_APPLIED]
    assert said == (
        r'{"apiVersion":"v1","data":{"a":"\u003c2\u003e"},"kind":"ConfigMap","metadata":{"name":"x"}}' + "\n"
    )
    after = Applier(api, "configmaps", "other", force=True)(data={"a": "3"})
    assert after["metadata"]["annotations"][LAST_APPLIED] == said
    assert "annotations" not in Applier(api, "secrets", "kubectl")(stringData={"a": "1"})["metadata"]


def test_whoever_made_an_object_before_its_first_apply_owns_it(api: Any) -> None:
    made = done(api.client.create("configmaps", {"metadata": {"name": "x"}, "data": {"a": "1"}}))
    reset = {"metadata": {"managedFields": [{}]}}
    done(api.client.merge_patch("configmaps", "x", None, reset))
    changed = done(api.client.merge_patch("configmaps", "x", None, {"data": {"b": "1"}}))
    assert managers(changed) == []
    assert managers(made) != []
    with pytest.raises(ApiError, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        Applier(api, "configmaps")(data={"a": "2"})
    after = Applier(api, "configmaps", force=True)(data={"a": "2"})
    assert managers(after) == [("me", "Apply"), ("before-first-apply", "Update")]
