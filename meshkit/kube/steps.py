"""One step of a plan: an object as it shall be (or gone), by whom it is owned, and what to wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import title

Condition = Literal["available", "established", "trusted"]
"""What a step waits for: a Deployment's replicas all new and available, a CustomResourceDefinition served, a
webhook given the CA that its control plane signs with."""


RESTART_MANAGER = "meshkit-restart"
"""The field manager of rolling restarts."""
RELEASE_MANAGER = "meshkit-release"
"""The field manager of a route's weights while a release runs."""


@dataclass(frozen=True)
class Wait:
    """A condition that the step's object must meet before the next step, within ``timeout_s`` seconds."""

    condition: Condition
    timeout_s: float


@dataclass(frozen=True)
class Step:
    """Apply one object server-side, or take it away.

    ``object`` holds only the fields that shall be owned: the whole of a new object, or one label of a
    namespace that belongs to someone else. ``manager`` is the field manager: what is written into someone
    else's object for one purpose has a manager of its own, because applying again with the same manager gives
    up every field that is not repeated.
    """

    object: Object
    manager: str = "meshkit"
    wait: Wait | None = None
    partial: bool = False
    """The object belongs to someone else and must exist already."""
    wave: int = field(default=0, compare=False)
    """Neighbouring steps of the same wave are applied together and then waited for; 0 waits for its own."""
    force: bool = False
    """Take fields that others own; the plan names them."""
    removed: bool = False
    """The object is taken away instead. ``wait`` is then what an undo, which brings it back, waits for."""

    @property
    def kind(self) -> Kind:
        """The object's apiVersion and kind."""
        return Kind(self.object["apiVersion"], self.object["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.object["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        """The object's namespace, or None when it has none."""
        namespace: str | None = self.object["metadata"].get("namespace")
        return namespace

    @property
    def title(self) -> str:
        """Kind and name, as a person reads them: ``Deployment istio-system/istiod``."""
        return title(self.object)


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Steps of several intents as one list: what is asked for twice is done once, and restarts come last.

    So a Deployment that must be restarted for two reasons restarts once, after both have been written.
    """
    distinct: list[Step] = []
    for step in steps:
        if step not in distinct:
            distinct.append(step)
    return tuple(sorted(distinct, key=lambda step: step.manager == RESTART_MANAGER))
