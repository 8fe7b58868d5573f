"""What a release adds to its route beside the weights, for its own time, and the JSON patches that do so.

An addition is a rule in front of the weighted one, or an entry in a list of that rule. It is in the first
record of the journal before it is written, as it is written, so any process finds it again and removes it:
by its content, wherever it stands then. What others have changed is no longer the release's, and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput
from meshkit.meshes import registry

if TYPE_CHECKING:
    from meshkit.facts import Object
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.operations.release.route import Operation, Weights

Additions = Mapping[str, Mapping[str, Any]]
"""The field of the release that asks for an addition -> ``list``, the list of the weighted rule to which it
is added (empty: the rules themselves), and ``value``."""


def additions_of(
    mesh: str, release: Release, route: WeightedRoute, obj: Object, found: Weights
) -> dict[str, dict[str, Any]]:
    """All that a release adds to a route while it runs. Raises ``BadInput`` for what it cannot add there."""
    planner, rule = registry.mesh(mesh).planner, obj["spec"][route.rules][found.rule]
    added: dict[str, dict[str, Any]] = {}
    if release.mirror:
        try:
            where, entry = planner.mirror_entry(release.mirror, rule, route, release.port)
        except ValueError as error:
            raise BadInput("release.mirror", f"{error}.", remedy="Leave one of the two out.") from error
        added["mirror"] = {"list": where, "value": entry}
    for name, cohort in (("cohort", release.cohort), ("testers", release.testers)):
        if cohort is None:
            continue
        try:
            added[name] = {"list": "", "value": planner.cohort_rule(cohort, rule, route)}
        except ValueError as error:
            remedy = "Choose them by another header, or by a cookie."
            raise BadInput(f"release.{name}", f"no rule can choose them: {error}.", remedy=remedy) from error
    return added


def present(obj: Object, route: WeightedRoute, found: Weights, additions: Additions) -> set[str]:
    """The names of the additions that the route has now."""
    return {
        name for name, added in additions.items() if _number(_place(obj, route, found, added)[1], added) >= 0
    }


def changes(
    obj: Object, route: WeightedRoute, found: Weights, additions: Additions, wanted: Collection[str]
) -> Iterator[Operation]:
    """The operations after which the route has these additions and no other.

    They follow those on weights in a patch. Those on the list of rules are the last, for they move rules.
    """
    for name, added in sorted(additions.items(), key=lambda each: not each[1]["list"]):
        path, entries = _place(obj, route, found, added)
        number = _number(entries, added)
        if number < 0 and name in wanted:
            yield _insertion(path, entries, added, found)
        elif number >= 0 and name not in wanted:
            last = added["list"] and len(entries) == 1
            yield {"op": "test", "path": f"{path}/{number}", "value": entries[number]}
            yield {"op": "remove", "path": path if last else f"{path}/{number}"}


def _insertion(path: str, entries: list[Any], added: Mapping[str, Any], found: Weights) -> Operation:
    """The operation that adds it: in front of the weighted rule, or at the end of the list of the rule."""
    if not added["list"]:
        return {"op": "add", "path": f"{path}/{found.rule}", "value": added["value"]}
    if entries:
        return {"op": "add", "path": f"{path}/-", "value": added["value"]}
    return {"op": "add", "path": path, "value": [added["value"]]}


def _place(
    obj: Object, route: WeightedRoute, found: Weights, added: Mapping[str, Any]
) -> tuple[str, list[Any]]:
    """The JSON pointer of the list of an addition, and its entries."""
    rules = obj["spec"].get(route.rules) or []
    if not added["list"]:
        return f"/spec/{route.rules}", rules
    return f"/spec/{route.rules}/{found.rule}/{added['list']}", rules[found.rule].get(added["list"]) or []


def _number(entries: list[Any], added: Mapping[str, Any]) -> int:
    """The number of an addition in its list; -1 if it is not there."""
    return next((number for number, each in enumerate(entries) if completes(each, added["value"])), -1)


def completes(stored: Any, written: Any) -> bool:
    """Whether a stored value is what was written, with no more than fields that an API server completes."""
    if isinstance(written, Mapping) and isinstance(stored, Mapping):
        return all(name in stored and completes(stored[name], value) for name, value in written.items())
    if isinstance(written, list | tuple) and isinstance(stored, list | tuple):
        return len(stored) == len(written) and all(map(completes, stored, written))
    return bool(stored == written)
