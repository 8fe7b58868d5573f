"""What the problems of a configuration say about one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshkit.facts import Object
from meshkit.kube.metadata import title
from meshkit.meshes.model.hosts import full_host
from meshkit.meshes.model.outbound import Problem

NOT_CARRIED = "NotSupported"
"""The reason of problems for what meshkit's meaning leaves out and the mesh carries out."""


def title_of(item: Object) -> str:
    """Kind and name of an object that may not say its kind."""
    return title({"kind": "object", **item})


def unresolved(problems: Iterable[Problem]) -> frozenset[str]:
    """The hosts of which the meaning does not know the endpoints."""
    return frozenset(
        str(host).lower()
        for problem in problems
        if problem.reason == NOT_CARRIED
        for host in (problem.object.get("spec") or {}).get("hosts") or ()
    )


@dataclass(frozen=True)
class Named:
    """The hosts that objects name, each object read once."""

    _read: dict[int, tuple[Object, frozenset[str], tuple[str, ...]]] = field(default_factory=dict)

    def names(self, item: Object, service: str) -> bool:
        """Whether an object names a host anywhere, or by a wildcard among its hosts."""
        if id(item) not in self._read:
            namespace, spec = item["metadata"].get("namespace", ""), item.get("spec") or {}
            named = frozenset(full_host(text.lower(), namespace) for text in _texts(spec))
            wild = tuple(str(host)[1:] for host in spec.get("hosts") or () if str(host).startswith("*"))
            self._read[id(item)] = item, named, wild  # with the object, whose id is then its own
        _, named, wild = self._read[id(item)]
        return service in named or any(service.endswith(end) for end in wild)

    def problems_of(self, problems: Iterable[Problem], service: str) -> tuple[str, ...]:
        """The parts of objects without effect that name the service."""
        found = (
            f"{title_of(problem.object)}: {problem.message}"
            for problem in problems
            if problem.reason != NOT_CARRIED and self.names(problem.object, service)
        )
        return tuple(dict.fromkeys(found))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
