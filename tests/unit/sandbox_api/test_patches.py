"""The three patch types, each with the cases that clients rely on."""

from __future__ import annotations

from typing import Any

import pytest

from meshkit.sandbox.api.schema.registry import Registry
from meshkit.sandbox.api.storage import patches
from meshkit.sandbox.api.storage.patches import PatchFailed, json_patch, merge_patch

DEPLOYMENT = Registry().by_key("deployments.apps").schema  # type: ignore[union-attr]
POD = Registry().by_key("pods").schema  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/b", "value": 2}, {"a": [1, 2], "b": 2}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1, 2]}),
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"op": "replace", "path": "/a", "value": "x"}, {"a": "x"}),
        ({"op": "move", "from": "/a", "path": "/c"}, {"c": [1, 2]}),
        ({"op": "copy", "from": "/a/1", "path": "/c"}, {"a": [1, 2], "c": 2}),
        ({"op": "test", "path": "/a/1", "value": 2}, {"a": [1, 2]}),
        ({"op": "add", "path": "/x~1y~0", "value": 1}, {"a": [1, 2], "x/y~": 1}),
    ],
)
def test_json_patch(operation: dict[str, Any], expected: object) -> None:
    before = {"a": [1, 2]}
    assert json_patch(before, [operation]) == expected
    assert before == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("operation", "malformed"),
    [
        ({"op": "test", "path": "/a", "value": 0}, False),
        ({"op": "remove", "path": "/nothing"}, False),
        ({"op": "replace", "path": "/a/9", "value": 1}, False),
        ({"op": "add", "path": "/a/9", "value": 1}, False),
        ({"op": "add", "path": "/a/x", "value": 1}, False),
        ({"op": "add", "path": "/a/0/deeper", "value": 1}, False),
        ({"op": "invent", "path": "/a"}, False),
        ({"op": "add", "path": "a", "value": 1}, True),
        ({"op": "add", "path": "/a"}, True),
    ],
)
def test_json_patch_that_does_not_fit(operation: dict[str, Any], malformed: bool) -> None:
    with pytest.raises(PatchFailed) as refused:
        json_patch({"a": [1, 2]}, [operation])
    assert refused.value.malformed is malformed


def test_json_patch_replaces_what_is_not_there_by_adding_it() -> None:
    """As the library behind Kubernetes does."""
    assert json_patch({"a": 1}, [{"op": "replace", "path": "/b", "value": 2}]) == {"a": 1, "b": 2}


def test_merge_patch_removes_by_null_and_replaces_lists() -> None:
    before = {"a": {"b": 1, "c": 2}, "l": [1]}
    assert merge_patch(before, {"a": {"b": None, "d": {"e": None}}, "l": [2]}) == {
        "a": {"c": 2, "d": {}},
        "l": [2],
    }
    assert before == {"a": {"b": 1, "c": 2}, "l": [1]}


def strategic(before: dict[str, Any], patch: dict[str, Any]) -> Any:
    """Patches the containers of a pod."""
    return patches.strategic_patch(POD, {"spec": before}, {"spec": patch})["spec"]


def test_strategic_patch_merges_items_by_key() -> None:
    before = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    after = strategic(before, {"containers": [{"name": "b", "image": "2"}, {"name": "c"}]})
    assert after["containers"] == [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}]


def test_strategic_patch_deletes_an_item_and_replaces_a_list() -> None:
    before = {"containers": [{"name": "a"}, {"name": "b"}], "tolerations": [{"key": "x"}]}
    assert strategic(before, {"containers": [{"name": "a", "$patch": "delete"}]})["containers"] == [
        {"name": "b"}
    ]
    replaced = strategic(before, {"containers": [{"$patch": "replace"}, {"name": "z"}]})
    assert replaced["containers"] == [{"name": "z"}]
    assert strategic(before, {"tolerations": [{"key": "y"}]})["tolerations"] == [{"key": "y"}]


def test_strategic_patch_orders_items_as_asked() -> None:
    before = {"containers": [{"name": "a"}, {"name": "b"}, {"name": "other"}]}
    order = {
        "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
        "containers": [{"name": "a", "tty": True}],
    }
    assert [each["name"] for each in strategic(before, order)["containers"]] == ["b", "a", "other"]


def test_strategic_patch_deletes_every_item_of_a_key() -> None:
    before = {"containers": [{"name": "a", "image": "1"}, {"name": "b"}, {"name": "a", "image": "2"}]}
    after = strategic(before, {"containers": [{"name": "a", "$patch": "delete"}]})
    assert after["containers"] == [{"name": "b"}]


def test_strategic_patch_merges_and_deletes_primitives() -> None:
    before = {"metadata": {"finalizers": ["a", "b"]}}
    added = patches.strategic_patch(DEPLOYMENT, before, {"metadata": {"finalizers": ["c"]}})
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    removed = patches.strategic_patch(
        DEPLOYMENT, before, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    )
    assert removed["metadata"]["finalizers"] == ["b"]


def test_strategic_patch_retains_only_the_named_keys() -> None:
    before = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert patches.strategic_patch(DEPLOYMENT, before, patch)["spec"]["strategy"] == {"type": "Recreate"}


def test_strategic_patch_refuses_an_item_without_its_key() -> None:
    with pytest.raises(PatchFailed, match="merge key: name"):
        strategic({"containers": []}, {"containers": [{"image": "x"}]})


# --- bounds


def test_copies_that_double_are_refused_before_they_fill_the_memory() -> None:
    operations = [{"op": "copy", "from": "/a", "path": f"/a/k{n}"} for n in range(60)]
    with pytest.raises(patches.PatchFailed, match="accumulated size increase of copy"):
        patches.json_patch({"a": {"b": "x" * 1_000}}, operations)


def test_a_json_patch_has_at_most_ten_thousand_operations() -> None:
    operations = [{"op": "test", "path": "/a", "value": 1}] * 10_001
    with pytest.raises(patches.TooLarge, match="in a JSON patch is 10000, got 10001"):
        patches.json_patch({"a": 1}, operations)


def test_a_value_cannot_be_moved_into_itself() -> None:
    with pytest.raises(patches.PatchFailed, match="into itself"):
        patches.json_patch({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b"}])


@pytest.mark.parametrize("operation", ["remove", "move"])
def test_the_whole_document_stays(operation: str) -> None:
    with pytest.raises(patches.PatchFailed, match="the whole document"):
        patches.json_patch({"a": 1}, [{"op": operation, "path": "", "from": ""}])


def test_long_lists_are_merged_by_their_keys() -> None:
    names = [f"c{n}" for n in range(20_000)]
    old = {"spec": {"containers": [{"name": name, "image": "a"} for name in names]}}
    patch = {
        "spec": {
            "containers": [{"name": name, "image": "b"} for name in names],
            "$setElementOrder/containers": [{"name": name} for name in reversed(names)],
        },
        "metadata": {"finalizers": names},
    }
    found = patches.strategic_patch(POD, old, patch)
    assert found["metadata"]["finalizers"] == names
    assert [each["name"] for each in found["spec"]["containers"]] == names[::-1]
    assert {each["image"] for each in found["spec"]["containers"]} == {"b"}


@pytest.mark.parametrize(
    "patch",
    [
        {"$retainKeys": 1},
        {"metadata": {"ownerReferences": [1]}},
        {"metadata": {"finalizers": ["a"], "$setElementOrder/finalizers": 1}},
        {"metadata": {"finalizers": ["a"], "$deleteFromPrimitiveList/finalizers": {}}},
    ],
)
def test_a_strategic_patch_of_a_wrong_shape_is_malformed(patch: dict[str, Any]) -> None:
    with pytest.raises(patches.PatchFailed) as failed:
        patches.strategic_patch(POD, {"spec": {}}, patch)
    assert failed.value.malformed
