"""What a release adds to its route beside the weights, for its own time, and the JSON patches that do so.

An addition is a rule in front of the weighted one. It is in the first record of the journal before it is
written, as it is written, so any process finds it again and removes it: by its content, wherever it stands
then. A rule that others have changed is no longer the release's, and stays.
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
"""The field of the release that asks for an addition -> the added rule."""


def additions_of(
    mesh: str, release: Release, route: WeightedRoute, obj: Object, found: Weights
) -> dict[str, Object]:
    """All that a release adds to a route while it runs. Raises ``BadInput`` for what it cannot add there."""
    planner, rule = registry.mesh(mesh).planner, obj["spec"][route.rules][found.rule]
    added: dict[str, Object] = {}
    if release.testers:
        try:
            added["testers"] = planner.cohort_rule(release.testers, rule, route)
        except ValueError as error:
            remedy = "Choose them by another header, or by a cookie."
            raise BadInput("release.testers", f"no rule can choose them: {error}.", remedy=remedy) from error
    return added


def present(obj: Object, route: WeightedRoute, additions: Additions) -> set[str]:
    """The names of the additions that the route has now."""
    return {name for name, rule in additions.items() if _number(obj, route, rule) is not None}


def changes(
    obj: Object, route: WeightedRoute, found: Weights, additions: Additions, wanted: Collection[str]
) -> Iterator[Operation]:
    """The operations after which the route has these additions and no other.

    They follow those on weights in a patch, because they move the rules behind them.
    """
    for name, rule in additions.items():
        number = _number(obj, route, rule)
        if number is None and name in wanted:
            yield {"op": "add", "path": f"/spec/{route.rules}/{found.rule}", "value": rule}
        elif number is not None and name not in wanted:
            path = f"/spec/{route.rules}/{number}"
            yield {"op": "test", "path": path, "value": obj["spec"][route.rules][number]}
            yield {"op": "remove", "path": path}


def _number(obj: Object, route: WeightedRoute, rule: Mapping[str, Any]) -> int | None:
    """The number of an added rule in its object; None if it is not there."""
    rules = obj["spec"].get(route.rules) or ()
    return next((number for number, each in enumerate(rules) if completes(each, rule)), None)


def completes(stored: Any, written: Any) -> bool:
    """Whether a stored value is what was written, with no more than fields that an API server completes."""
    if isinstance(written, Mapping) and isinstance(stored, Mapping):
        return all(name in stored and completes(stored[name], value) for name, value in written.items())
    if isinstance(written, list | tuple) and isinstance(stored, list | tuple):
        return len(stored) == len(written) and all(map(completes, stored, written))
    return bool(stored == written)
