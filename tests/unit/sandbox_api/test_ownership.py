"""Server-side apply: the rules of Kubernetes, as examples and as properties."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshkit.sandbox.api.schema.registry import Registry
from meshkit.sandbox.api.status import ApiError
from meshkit.sandbox.api.storage import fieldset, ownership
from meshkit.sandbox.api.storage.fieldset import Path
from meshkit.sandbox.api.storage.ownership import Endpoint

SCHEMA = Registry().by_key("deployments.apps").schema  # type: ignore[union-attr]
MAIN = Endpoint(SCHEMA, "apps/v1", "", has_status=True)
STATUS = Endpoint(SCHEMA, "apps/v1", "status", has_status=True)


class Object:
    """One live object that managers write to."""

    def __init__(self) -> None:
        self.live: dict[str, Any] | None = None
        self.clock = 0

    def apply(self, manager: str, spec: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        self.clock += 1
        config = {"metadata": {"name": "x"}, "spec": spec}
        result = ownership.apply(self.live, config, MAIN, manager, f"t{self.clock:02}", force=force)
        self.live = result.object
        ownership.write_owners(self._managed(), result.owners)
        return self.live

    def update(self, manager: str, spec: dict[str, Any]) -> None:
        self.clock += 1
        new = {"metadata": {"name": "x"}, "spec": spec}
        owners = ownership.updated(self.live, new, MAIN, manager, f"t{self.clock:02}")
        self.live = new
        ownership.write_owners(self._managed(), owners)

    def _managed(self) -> dict[str, Any]:
        assert self.live is not None
        self.live["metadata"].setdefault("managedFields", [])
        return self.live

    def owned_by(self, manager: str) -> set[Path]:
        owners = ownership.owners_of(self.live or {"metadata": {}})
        return {path for each, entry in owners.items() if each.name == manager for path in entry.paths}


def container(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": list(containers), **spec}}}


def test_applying_twice_changes_nothing_not_even_the_time() -> None:
    obj = Object()
    spec = {"replicas": 2, **pod(container("c", image="a", ports=[{"containerPort": 80}]))}
    first = copy.deepcopy(obj.apply("me", spec))
    assert obj.apply("me", spec) == first


def test_the_time_of_an_owner_moves_when_it_changes_a_value() -> None:
    """Not only when it owns other fields: who owns a field says when it was last written."""
    obj = Object()
    obj.apply("me", {"replicas": 2})
    obj.update("other", {"replicas": 2, "paused": True})
    obj.apply("me", {"replicas": 3})
    obj.update("other", {"replicas": 3, "paused": False})
    times = {entry["manager"]: entry["time"] for entry in obj._managed()["metadata"]["managedFields"]}
    assert times == {"me": "t03", "other": "t04"}


def test_an_apply_that_changes_nothing_has_no_time() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 2})
    obj.apply("other", {"replicas": 2})
    entries = obj._managed()["metadata"]["managedFields"]
    assert [(each["manager"], each.get("time")) for each in entries] == [("other", None), ("me", "t01")]


def test_a_field_that_leaves_the_configuration_goes() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 2, "paused": True})
    assert obj.apply("me", {"replicas": 2})["spec"] == {"replicas": 2}


def test_a_field_that_another_owns_stays() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 2, "paused": True})
    obj.apply("other", {"paused": True})
    assert obj.apply("me", {"replicas": 2})["spec"] == {"replicas": 2, "paused": True}
    assert obj.apply("other", {})["spec"] == {"replicas": 2}


def test_a_different_value_is_a_conflict_that_names_manager_and_field() -> None:
    obj = Object()
    obj.apply("me", pod(container("c", image="a")))
    with pytest.raises(ApiError) as refused:
        obj.apply("other", pod(container("c", image="b")))
    field = '.spec.template.spec.containers[name="c"].image'
    assert refused.value.message == f'Apply failed with 1 conflict: conflict with "me": {field}'
    assert refused.value.status()["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "me"', "field": field}
    ]


def test_force_takes_the_field_away() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 2})
    assert obj.apply("other", {"replicas": 3}, force=True)["spec"] == {"replicas": 3}
    assert ("f:spec", "f:replicas") not in obj.owned_by("me")


def test_the_same_value_is_shared_without_conflict() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 2})
    obj.apply("other", {"replicas": 2})
    assert ("f:spec", "f:replicas") in obj.owned_by("me") & obj.owned_by("other")


def test_an_update_takes_what_it_changes_and_the_next_apply_conflicts() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 2})
    obj.update("kubectl-edit", {"replicas": 5})
    with pytest.raises(ApiError, match=r'conflict with "kubectl-edit" using apps/v1: [.]spec[.]replicas'):
        obj.apply("me", {"replicas": 2})


def test_the_owner_of_a_list_item_removes_it_whole() -> None:
    obj = Object()
    obj.apply("me", pod(container("a", image="1"), container("b", image="2")))
    result = obj.apply("me", pod(container("a", image="1")))
    assert [each["name"] for each in result["spec"]["template"]["spec"]["containers"]] == ["a"]


def test_keyed_lists_of_two_managers_meet_in_live_order() -> None:
    obj = Object()
    obj.apply("me", pod(container("a", image="1"), container("b", image="2")))
    result = obj.apply("injector", pod(container("proxy", image="p")))
    assert [each["name"] for each in result["spec"]["template"]["spec"]["containers"]] == ["a", "b", "proxy"]
    result = obj.apply("me", pod(container("b", image="2"), container("a", image="1")))
    assert [each["name"] for each in result["spec"]["template"]["spec"]["containers"]] == ["b", "a", "proxy"]


def test_the_default_of_a_key_counts_as_its_value() -> None:
    obj = Object()
    obj.apply("me", pod(container("c", ports=[{"containerPort": 80}])))
    result = obj.apply("other", pod(container("c", ports=[{"containerPort": 80, "protocol": "TCP"}])))
    assert len(result["spec"]["template"]["spec"]["containers"][0]["ports"]) == 1


def test_an_item_without_its_key_is_refused_with_its_path() -> None:
    with pytest.raises(ApiError, match=r"\.spec\.template\.spec\.containers.*omits all key fields"):
        Object().apply("me", pod({"image": "a"}))


def test_two_items_with_one_key_are_refused() -> None:
    with pytest.raises(ApiError, match="duplicate entries for key"):
        Object().apply("me", pod(container("a"), container("a")))


def variables(*pairs: tuple[str, str]) -> dict[str, Any]:
    return pod(container("c", env=[{"name": name, "value": value} for name, value in pairs]))


def test_two_items_with_one_key_that_an_update_wrote_are_one_value() -> None:
    obj = Object()
    path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}', "f:env", 'k:{"name":"A"}')
    obj.update("other", variables(("A", "1"), ("A", "2"), ("B", "1")))
    assert {each for each in obj.owned_by("other") if each[: len(path)] == path} == {path}
    obj.update("third", variables(("A", "1"), ("A", "3"), ("B", "1")))
    assert obj.owned_by("third") == {path}
    result = obj.apply("me", variables(("B", "1"), ("C", "1")))
    assert [
        (each["name"], each["value"]) for each in result["spec"]["template"]["spec"]["containers"][0]["env"]
    ] == [("A", "1"), ("A", "3"), ("B", "1"), ("C", "1")]


def test_items_with_one_key_give_way_to_the_one_that_is_applied() -> None:
    obj = Object()
    obj.update("other", variables(("A", "1"), ("A", "2")))
    with pytest.raises(ApiError, match=r"env\[name=.A.\]"):
        obj.apply("me", variables(("A", "3")))
    result = obj.apply("me", variables(("A", "3")), force=True)
    assert result["spec"] == variables(("A", "3"))
    assert not any('k:{"name":"A"}' in path for path in obj.owned_by("other"))


def test_an_atomic_list_belongs_to_one_manager_as_a_whole() -> None:
    obj = Object()
    obj.apply("me", pod(container("c", args=["a", "b"])))
    path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}', "f:args")
    assert path in obj.owned_by("me")
    with pytest.raises(ApiError, match=r"\.args"):
        obj.apply("other", pod(container("c", args=["a"])))


def test_each_endpoint_owns_only_its_part() -> None:
    new = {"metadata": {"name": "x"}, "spec": {"replicas": 1}, "status": {"replicas": 1}}
    by_main = ownership.updated(None, new, MAIN, "m", "t")
    by_status = ownership.updated({"metadata": {"name": "x"}}, new, STATUS, "m", "t")
    assert all(path[0] == "f:spec" for entry in by_main.values() for path in entry.paths)
    assert all(path[0] == "f:status" for entry in by_status.values() for path in entry.paths)


def test_a_client_may_write_managed_fields_and_reset_them() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 1})
    assert obj.live is not None
    given = copy.deepcopy(obj.live)
    given["metadata"]["managedFields"][0]["manager"] = "other"
    owners = ownership.updated(obj.live, given, MAIN, "patcher", "t9")
    assert {manager.name for manager in owners} == {"other"}
    for reset in ([{}], []):
        given["metadata"]["managedFields"] = reset
        assert ownership.updated(obj.live, given, MAIN, "patcher", "t9") == {}


def test_beyond_ten_updaters_the_oldest_are_folded_and_nothing_is_lost() -> None:
    obj = Object()
    obj.apply("applier", {"paused": True})
    spec: dict[str, Any] = {"paused": True, "template": {"metadata": {"labels": {}}}}
    for i in range(15):
        spec["template"]["metadata"]["labels"][f"l{i:02}"] = "x"
        obj.update(f"m{i:02}", copy.deepcopy(spec))
    owners = ownership.owners_of(obj.live or {})
    names = sorted(manager.name for manager in owners if manager.operation == "Update")
    assert names == ["ancient-changes", *(f"m{i:02}" for i in range(6, 15))]
    assert "applier" in {manager.name for manager in owners}
    ancient = next(entry for manager, entry in owners.items() if manager.name == "ancient-changes")
    labels = {path[-1] for path in ancient.paths}
    assert {f"f:l{i:02}" for i in range(6)} <= labels


def test_field_sets_survive_their_written_form() -> None:
    obj = Object()
    obj.apply("me", {"replicas": 1, **pod(container("c", image="a", env=[{"name": "A", "value": "1"}]))})
    for path_set in [entry.paths for entry in ownership.owners_of(obj.live or {}).values()]:
        assert fieldset.decode(fieldset.encode(path_set)) == path_set


# Keyed lists are never empty here: an empty one claims nothing in structured-merge-diff (tofieldset.go),
# so there as here a manager that first owned its parent takes the parent away with it.
values = st.sampled_from(["1", "2"])
containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abc")},
        optional={
            "image": values,
            "args": st.lists(values, max_size=2),
            "env": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from("XY")}, optional={"value": values}),
                unique_by=lambda each: each["name"],
                min_size=1,
                max_size=2,
            ),
        },
    ),
    unique_by=lambda each: each["name"],
    min_size=1,
    max_size=3,
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "template": st.fixed_dictionaries(
            {},
            optional={
                "metadata": st.fixed_dictionaries(
                    {}, optional={"labels": st.dictionaries(st.sampled_from("lmn"), values)}
                ),
                "spec": st.fixed_dictionaries({}, optional={"containers": containers}),
            },
        ),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["me", "other"]), specs), max_size=4), specs)
def test_property_the_second_apply_changes_nothing(
    history: list[tuple[str, dict[str, Any]]], last: dict[str, Any]
) -> None:
    obj = Object()
    for manager, spec in history:
        obj.apply(manager, spec, force=True)
    first = copy.deepcopy(obj.apply("me", last, force=True))
    assert obj.apply("me", last) == first


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["me", "other"]), specs), min_size=1, max_size=5))
def test_property_owned_paths_exist_and_the_last_owner_removes(
    history: list[tuple[str, dict[str, Any]]],
) -> None:
    obj = Object()
    for manager, spec in history:
        live = obj.apply(manager, spec, force=True)
        everything = set(fieldset.every(SCHEMA, live))
        assert obj.owned_by("me") | obj.owned_by("other") <= everything
    for manager in ("me", "other"):
        live = obj.apply(manager, {}, force=True)
    leaves = [path for path in fieldset.applied(SCHEMA, {"spec": live["spec"]}) if path != ("f:spec",)]
    assert leaves == []
