"""Label selectors, evaluated as the API server evaluates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshkit.facts import Object
from meshkit.kube.metadata import Labels, labels


def matches(selector: Mapping[str, Any], labelled: Object) -> bool:
    """Whether a label selector (``matchLabels``, ``matchExpressions``) selects an object."""
    return holds(selector, labels(labelled))


def selects(wanted: Labels, labelled: Object) -> bool:
    """Whether an object carries all of these labels."""
    carried = labels(labelled)
    return all(carried.get(key) == value for key, value in wanted.items())


def holds(selector: Mapping[str, Any] | None, carried: Labels) -> bool:
    """Whether a label selector holds for these labels. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    if any(carried.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(each, carried) for each in selector.get("matchExpressions") or ())


def _expression(expression: Mapping[str, Any], carried: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return carried.get(key) in values
        case "NotIn":
            return carried.get(key) not in values
        case "Exists":
            return key in carried
        case _:
            return key not in carried
