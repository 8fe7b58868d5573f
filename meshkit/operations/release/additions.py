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
        name
        for name, added in additions.items()
        if _number(_entries(obj, route, found, added["list"]), added["value"]) >= 0
    }


def changes(
    obj: Object, route: WeightedRoute, found: Weights, additions: Additions, wanted: Collection[str]
) -> Iterator[Operation]:
    """The operations after which the route has these additions and no other.

    They follow those on weights in a patch. Those on the list of rules are the last, for they move rules.
    """
    for name, added in additions.items():
        if added["list"]:
            yield from _of_list(obj, route, found, added, wanted=name in wanted)
    rules, path = _entries(obj, route, found, ""), f"/spec/{route.rules}"
    numbers = {name: _number(rules, each["value"]) for name, each in additions.items() if not each["list"]}
    gone = sorted((n for name, n in numbers.items() if n >= 0 and name not in wanted), reverse=True)
    for number in gone:
        yield {"op": "test", "path": f"{path}/{number}", "value": rules[number]}
        yield {"op": "remove", "path": f"{path}/{number}"}
    in_front = found.rule - sum(number < found.rule for number in gone)
    for name, number in numbers.items():
        if number < 0 and name in wanted:
            yield {"op": "add", "path": f"{path}/{in_front}", "value": additions[name]["value"]}


def _of_list(
    obj: Object, route: WeightedRoute, found: Weights, added: Mapping[str, Any], *, wanted: bool
) -> Iterator[Operation]:
    """The operations on one list of the weighted rule; it is there only while it has entries."""
    entries = _entries(obj, route, found, added["list"])
    number, path = _number(entries, added["value"]), f"/spec/{route.rules}/{found.rule}/{added['list']}"
    if number < 0 and wanted:
        value = added["value"]
        yield {"op": "add", "path": f"{path}/-" if entries else path, "value": value if entries else [value]}
    elif number >= 0 and not wanted:
        yield {"op": "test", "path": f"{path}/{number}", "value": entries[number]}
        yield {"op": "remove", "path": path if len(entries) == 1 else f"{path}/{number}"}


def _entries(obj: Object, route: WeightedRoute, found: Weights, name: str) -> list[Any]:
    """A list of the weighted rule; without a name, the rules."""
    rules = obj["spec"].get(route.rules) or []
    return (rules[found.rule].get(name) or []) if name else rules


def _number(entries: list[Any], value: Mapping[str, Any]) -> int:
    """The number of an addition in its list; -1 if it is not there."""
    return next((number for number, each in enumerate(entries) if completes(each, value)), -1)


def completes(stored: Any, written: Any) -> bool:
    """Whether a stored value is what was written, with no more than fields that an API server completes."""
    if isinstance(written, Mapping) and isinstance(stored, Mapping):
        return all(name in stored and completes(stored[name], value) for name, value in written.items())
    if isinstance(written, list | tuple) and isinstance(stored, list | tuple):
        return len(stored) == len(written) and all(map(completes, stored, written))
    return bool(stored == written)
