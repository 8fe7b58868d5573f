"""The seam between meshes: what a planner of any mesh can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from meshkit.errors import BadInput
from meshkit.facts import Kind, Snapshot
from meshkit.intent.base import Intent, Part, kind
from meshkit.planners.steps import Step


@dataclass(frozen=True)
class Need:
    """Objects that a planner must see: all of a kind, in one namespace or (None) in the cluster."""

    kind: Kind
    namespace: str | None = None


class MeshPlanner(Protocol):
    """Turns intents into steps for one mesh."""

    @property
    def mesh(self) -> str:
        """The name of the mesh: ``istio``."""

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        """What ``plan`` and the checks must see of the cluster for this intent."""

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        """The steps that make the intent true, in order. Raises ``BadInput`` for what the mesh cannot do."""


def not_plannable(intent: Intent) -> BadInput:
    """The answer to an intent that is not a change by itself."""
    return BadInput(
        kind(type(intent)),
        "it is not planned but run.",
        remedy="Run releases with mk.canary or 'meshkit canary run'.",
    )


def cannot(mesh: str, model: type[Part], field: str, instead: str) -> BadInput:
    """The answer to a field that a mesh cannot honour: never imitated, never dropped in silence."""
    return BadInput(f"{kind(model)}.{field}", f"{mesh} cannot do this.", remedy=instead)
