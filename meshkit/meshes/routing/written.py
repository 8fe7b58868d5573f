"""Read a Route back from the objects that a plan of it wrote, so that it can be edited without its file.

A mesh reads what its planner writes; whoever uses the result plans it and sees whether anything would change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from meshkit.errors import BadInput
from meshkit.facts import Need, Object, Snapshot
from meshkit.intent.traffic import Route
from meshkit.kube.metadata import title

Json = Mapping[str, Any]
Fields = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """An object that routes a port of a Service, and the Route that it can have been written from.

    ``route`` is None for an object that no Route writes; ``problem`` then says why.
    """

    object: Object
    port: int | None
    route: Route | None
    problem: str = ""


class WrittenRoutes(Protocol):
    """Reads the Routes of a Service back. A module of a mesh implements it."""

    def needs(self, namespace: str, /) -> Sequence[Need]:
        """The objects that ``routes`` reads."""

    def routes(self, namespace: str, service: str, snapshot: Snapshot, /) -> Iterator[Written]:
        """The objects that route a Service, each once for each port."""


def read(obj: Object, port: int | None, fields: Callable[[], Json]) -> Written:
    """The Route of the fields that were read from an object; what cannot be read is no Route."""
    try:
        return Written(obj, port, Route(**fields()))
    except BadInput as error:
        problem = f"{error.field}: {error.problem}"
    except (KeyError, IndexError, TypeError, ValueError) as error:
        problem = f"no Route writes this ({error})"
    return Written(obj, port, None, f"{title(obj)}: {problem}")


def filled(fields: Json) -> Fields:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [], ())}


def percents(weights: Mapping[str, int]) -> dict[str, float]:
    """The percentages of weights, whose sum is not 0."""
    total = sum(weights.values())
    if total <= 0:
        raise ValueError("the weights are all 0")
    return {name: weight * 100 / total for name, weight in weights.items()}


def selector_of(service: str, snapshot: Snapshot, namespace: str) -> dict[str, str] | None:
    """The labels of a Service's pods as a Route writes them; None for the usual ones."""
    found = snapshot.find("Service", service, namespace)
    selector = dict(((found or {}).get("spec") or {}).get("selector") or {})
    return selector if selector and selector != {"app": service} else None


def version(name: str, labels: Mapping[str, str]) -> Fields:
    """A version of a Route from the labels of its pods."""
    return {"name": name} if labels == {"version": name} else {"name": name, "labels": dict(labels)}


def inherited(rules: Iterable[Fields], of_route: Json) -> list[Fields]:
    """The rules without what they have from their Route."""
    return [
        {name: value for name, value in rule.items() if name not in of_route or value != of_route[name]}
        for rule in rules
    ]
