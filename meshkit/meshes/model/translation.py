"""The work of one translation: what is looked up, for whom, and the problems found on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshkit.meshes.model.outbound import Object, Problem
from meshkit.meshes.model.registry import Registry


@dataclass
class Translation:
    """For the callers of one namespace."""

    registry: Registry
    namespace: str
    problems: list[Problem] = field(default_factory=list)

    def ignore(self, item: Object, message: str) -> None:
        """A field of ``item`` has no effect here, and its author is told so."""
        self.problems.append(Problem(item, "NotSupported", message))
