"""The difference of two states: what people wrote, field by field, with owners; no secret's value."""

from __future__ import annotations

from typing import Any

from meshkit.cluster.diff import FieldChange, changes, content, digest


def virtual_service(weight: int, **more: Any) -> dict[str, Any]:
    fields = {"f:spec": {"f:http": {}, "f:hosts": {}}, "f:metadata": {"f:labels": {'f:a.b/"c"': {}}}}
    return {
        "kind": "VirtualService",
        "metadata": {"name": "web", "managedFields": [{"manager": "argocd", "fieldsV1": fields}], **more},
        "spec": {"hosts": ["web"], "http": [{"route": [{"weight": weight}]}]},
    }


def test_a_changed_field_is_named_with_its_owner() -> None:
    expected = FieldChange("spec.http[0].route[0].weight", 100, 90, ("argocd",))
    assert changes(virtual_service(100), virtual_service(90)) == (expected,)


def test_bookkeeping_and_status_are_no_change() -> None:
    before = virtual_service(100, uid="1", resourceVersion="5", generation=1)
    after = {**virtual_service(100, uid="1", resourceVersion="6", generation=2), "status": {"x": 1}}
    assert changes(before, after) == ()
    assert digest(before) == digest(after)


def test_what_controllers_write_is_no_change() -> None:
    bare = {
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "x"},
        "webhooks": [{"clientConfig": {}}],
    }
    patched = {**bare, "webhooks": [{"clientConfig": {"caBundle": "abc"}}]}
    assert changes(bare, patched) == ()
    revision = {"deployment.kubernetes.io/revision": "1"}
    deployment: dict[str, Any] = {"kind": "Deployment", "metadata": {"name": "x"}}
    rolled = {"kind": "Deployment", "metadata": {"name": "x", "annotations": revision}}
    assert content(deployment) == content(rolled)


def test_keyed_items_find_their_owner() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:ports": {'k:{"port":80}': {".": {}, "f:targetPort": {}}}}}
    before = {
        "kind": "Thing",
        "metadata": {"managedFields": [{"manager": "helm", "fieldsV1": fields}]},
        "spec": {"ports": [{"port": 80, "targetPort": 1}]},
    }
    after = {
        "kind": "Thing",
        "metadata": {},
        "spec": {"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]},
    }
    assert changes(before, after) == (
        FieldChange("spec.ports[0].targetPort", 1, 2, ("helm",)),
        FieldChange("spec.ports[1]", None, {"port": 81}),
    )


def test_a_secrets_values_are_never_shown() -> None:
    before = {"kind": "Secret", "metadata": {}, "data": {"password": "b2xk"}}
    after = {"kind": "Secret", "metadata": {}, "data": {"password": "bmV3"}}
    (change,) = changes(before, after)
    assert (change.path, change.before, change.after) == ("data.password", "(secret)", "(secret)")
    assert digest(before, "salt") != digest(before, "pepper")


def test_null_is_a_value_and_absence_is_not() -> None:
    before = {"kind": "Thing", "metadata": {}, "spec": {"a": None}}
    assert changes(before, {"kind": "Thing", "metadata": {}, "spec": {}}) == (
        FieldChange("spec.a", None, None),
    )
