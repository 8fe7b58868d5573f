"""The state of one translation: its registry, the caller's namespace and the problems found."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry


@dataclass
class Translation:
    """A translation for the callers of one namespace."""

    registry: Registry
    namespace: str
    problems: list[Problem] = field(default_factory=list)

    def ignore(self, item: Object, message: str) -> None:
        """Record that a field of ``item`` has no effect; this becomes an Event."""
        self.problems.append(Problem(item, "NotSupported", message))
