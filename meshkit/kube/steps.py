"""The desired state of one object, its field manager and what to wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from meshkit.facts import Kind, Object
from meshkit.kube.metadata import title

Condition = Literal["available", "established", "trusted", "accepted"]
"""What a step waits for: a Deployment is rolled out, a CustomResourceDefinition is established, a webhook has
its CA bundle, or all parents of a Gateway API route have accepted it."""


RESTART_MANAGER = "meshkit-restart"
"""The field manager of rolling restarts."""
RELEASE_MANAGER = "meshkit-release"
"""The field manager of a route's weights during a release."""
BUCKETS_MANAGER = "meshkit-buckets"
"""The field manager of the latency buckets of proxies."""


@dataclass(frozen=True)
class Wait:
    """A condition that the object of a step must meet within ``timeout_s`` seconds before the next step.

    With ``unanswered``, an object of which no controller has said anything by then is no failure, as before
    the mesh is installed.
    """

    condition: Condition
    timeout_s: float
    unanswered: bool = False


@dataclass(frozen=True)
class Step:
    """Apply one object server-side, or delete it.

    ``object`` holds only the fields to own: all fields of a new object, or one label of a namespace that
    meshkit does not own. ``manager`` is the field manager. Fields written to an object that meshkit does not
    own have a separate manager for each purpose, because a later apply by the same manager gives up every
    field that it does not repeat.
    """

    object: Object
    manager: str = "meshkit"
    wait: Wait | None = None
    partial: bool = False
    """meshkit does not own the object, which must already exist."""
    wave: int = field(default=0, compare=False)
    """Adjacent steps of one wave are independent: they are applied side by side, then waited for. 0: the step
    is applied and waited for alone."""
    force: bool = False
    """Take over fields that other managers own; the plan lists them."""
    removed: bool = False
    """Delete the object. ``wait`` is then the condition that an undo waits for after it creates it again."""
    settle_s: float = 0.0
    """How long proxies may take to learn of the object, in seconds. Other objects refer to it: the next step
    waits for so long, and so does an undo before it takes the object back."""
    renewed: bool = False
    """A control plane writes the object again and again, so it is deleted in whatever state it then is."""

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

    def is_replaced_by(self, other: Step) -> bool:
        """Whether another step applies the same object as a whole, by the same manager."""
        return self._writes_like(other) and not (self.partial or self.removed)

    def is_part_replaced_by(self, other: Step) -> bool:
        """Whether another step applies the same part of an object, by the same manager."""
        return self._writes_like(other) and self.partial and not self.removed

    def _writes_like(self, other: Step) -> bool:
        mine, theirs = (
            (step.kind, step.namespace, step.name, step.manager, step.partial, step.removed)
            for step in (self, other)
        )
        return mine == theirs

    @property
    def title(self) -> str:
        """Kind and name of the object: ``Deployment istio-system/istiod``."""
        return title(self.object)


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Merge the steps of several intents: duplicates are dropped and restarts come last.

    A Deployment that two intents restart is then restarted once, after the changes of both.
    """
    by_object: dict[tuple[object, ...], list[Step]] = {}
    distinct: list[Step] = []
    for step in steps:
        same = by_object.setdefault((step.kind, step.namespace, step.name), [])
        if step not in same:
            same.append(step)
            distinct.append(step)
    return tuple(sorted(distinct, key=lambda step: step.manager == RESTART_MANAGER))
