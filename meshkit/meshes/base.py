"""The seam between meshes: what a planner of any mesh can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from meshkit.errors import BadInput, UnsupportedByMesh
from meshkit.facts import Kind, Need, Snapshot
from meshkit.intent.base import Intent, Part, kind
from meshkit.intent.release import Release
from meshkit.kube.steps import Step


@dataclass(frozen=True)
class WeightedRoute:
    """Where a mesh keeps the weights of a release: the object, and the way to its weighted destinations.

    ``spec[rules]`` is a list of rules, ``rule[destinations]`` the list that holds a ``weight`` for each
    version, and ``version_at`` the path within a destination to what the mesh calls the version.
    """

    kind: Kind
    name: str
    namespace: str
    rules: str
    destinations: str
    version_at: tuple[str, ...]
    stable: str
    """What the mesh calls the stable version; ``canary`` likewise."""
    canary: str
    rule: str | None = None
    """The name of the rule that is moved, None where rules have no names."""
    weight: int = 0
    """The weight of a destination that says none."""

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


class MeshPlanner(Protocol):
    """Turns intents into steps for one mesh."""

    @property
    def mesh(self) -> str:
        """The name of the mesh: ``istio``."""

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        """What ``plan`` and the checks must see of the cluster for this intent."""

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        """The steps that make the intent true, in order. Raises ``BadInput`` for what the mesh cannot do."""

    def weighted_route(self, release: Release) -> WeightedRoute:
        """Where the weights stand that a release moves. ``plan`` of a Route writes them there."""


def not_plannable(intent: Intent) -> BadInput:
    """The answer to an intent that is not a change by itself."""
    return BadInput(
        kind(type(intent)),
        "it is not planned but run.",
        remedy="Run releases with mk.run_release or 'meshkit release run'.",
    )


def cannot(mesh: str, model: type[Part], field: str, instead: str) -> UnsupportedByMesh:
    """The answer to a field that a mesh cannot honour: never imitated, never dropped in silence."""
    return UnsupportedByMesh(f"{kind(model)}.{field}", f"{mesh} cannot do this.", remedy=instead)
