"""Label selectors, evaluated as the API server evaluates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Object, Snapshot
from meshkit.kube.metadata import Labels, labels


def matches(selector: Mapping[str, Any], labelled: Object) -> bool:
    """Whether a label selector (``matchLabels``, ``matchExpressions``) selects an object."""
    return holds(selector, labels(labelled))


def selects(wanted: Labels, labelled: Object) -> bool:
    """Whether an object carries all of these labels."""
    return contains(labels(labelled), wanted)


def selected_pods(wanted: Labels, namespace: str, snapshot: Snapshot) -> list[Object]:
    """The pods of a namespace that carry all of these labels, found by the label that the fewest carry."""
    if not wanted:
        return list(snapshot.of("Pod", namespace))
    keys = (_labelled(namespace, *label) for label in wanted.items())
    return [pod for pod in snapshot.having_rarest(_labels_of_pod, *keys) if selects(wanted, pod)]


def _labels_of_pod(obj: Object) -> Iterator[str]:
    if obj["kind"] == "Pod":
        yield from (_labelled(obj["metadata"].get("namespace", ""), *label) for label in labels(obj).items())


def _labelled(namespace: str, key: str, value: str) -> str:
    return f"{namespace} {key}={value}"


def contains(carried: Labels | None, wanted: Labels | None) -> bool:
    """Whether ``carried`` has every label of ``wanted``; true if ``wanted`` is empty."""
    have = carried or {}
    return all(have.get(key) == value for key, value in (wanted or {}).items())


def holds(selector: Mapping[str, Any] | None, carried: Labels | None) -> bool:
    """Whether a label selector selects these labels. None selects nothing, an empty selector everything."""
    return selector is not None and not any(unmet(selector, carried or {}))


def unmet(selector: Mapping[str, Any], carried: Labels) -> Iterator[Mapping[str, Any]]:
    """The terms of a label selector that these labels do not meet, as ``matchExpressions`` entries."""
    equal = selector.get("matchLabels") or {}
    expressions = ({"key": key, "operator": "In", "values": [value]} for key, value in equal.items())
    for each in (*expressions, *(selector.get("matchExpressions") or ())):
        if not _holds(each, carried):
            yield each


def _holds(expression: Mapping[str, Any], carried: Labels) -> bool:
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
