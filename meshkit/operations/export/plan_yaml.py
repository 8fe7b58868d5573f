"""Write the objects of a plan as YAML, in the order in which they are applied.

An object that the plan writes several times is written once, as it is at last. What is no desired state of
an object, such as a restart or the install of a chart, is a comment; the data of a Secret is never written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from meshkit.facts import Object
from meshkit.kube import yaml_output
from meshkit.kube.helm import RELEASE, merged
from meshkit.kube.metadata import identity
from meshkit.kube.steps import RESTART_MANAGER, Step

if TYPE_CHECKING:
    from meshkit.operations.plan import Plan

_HIDDEN = "(secret)"
_SECRET_FIELD = re.compile(r"(password|passwd|token|secret|credentials?|private_?key|keypem)$", re.IGNORECASE)
_OF_OTHERS = "others own this object; meshkit writes these fields of it only"


def plan_yaml(plan: Plan) -> str:
    """The objects of a plan as documents, also those that are already as desired, below a comment."""
    heading = yaml_output.comment(
        f"{plan.heading}\nObjects in the order in which they are applied, without what a server adds."
    )
    pending = [one.step for one in plan.steps]
    steps = [step for step in plan.wanted or pending if not step.removed or step in pending]
    return yaml_output.stream(heading, _documents(steps))


def _documents(steps: Iterable[Step]) -> Iterator[str]:
    """One text for each object; comments about other steps stand where the steps do."""
    objects: dict[tuple[str, ...], Object] = {}
    places: list[tuple[str, ...] | str] = []
    borrowed: set[tuple[str, ...]] = set()
    for step in steps:
        told, key = _told(step), identity(step.object)
        if step.removed:
            objects.pop(key, None)
        if told is not None:
            places.append(told)
            continue
        if key not in objects:
            places.append(key)
            if step.partial:
                borrowed.add(key)
        elif not step.partial:
            borrowed.discard(key)
        objects[key] = merged(objects[key], step.object) if step.partial and key in objects else step.object
    for place in places:
        if isinstance(place, str):
            yield yaml_output.comment(place)
        elif place in objects:
            note = yaml_output.comment(_OF_OTHERS) if place in borrowed else ""
            yield note + yaml_output.document(objects[place])


def _told(step: Step) -> str | None:
    """The comment about a step that leaves no object to declare; None for any other."""
    if step.removed:
        return f"removed: {step.title}"
    if step.manager == RESTART_MANAGER:
        return f"restarted, which is no state to declare: {step.title}"
    if step.kind == RELEASE:
        return _chart(step)
    if step.kind.kind == "Secret":
        return f"{step.title} is not written, because it holds secret data; 'meshkit apply' makes it."
    return None


def _chart(step: Step) -> str:
    """A Helm release: its chart, version and values."""
    spec = step.object["spec"]
    source, directory = str(spec["source"]), str(spec["directories"][0])
    lines = [
        f"Helm release {step.namespace}/{step.name}",
        f"chart: {directory}",
        f"from: {source}",
        f"version: {spec['version'] or 'the one that is there'}",
    ]
    values = yaml_output.document(_shown(spec["values"])) if spec["values"] else ""
    return "\n".join([*lines, "values:", *(f"  {line}" for line in values.splitlines())])


def _shown(value: Any, name: str = "") -> Any:
    """Values without texts that are secret by their content or by the name of their field."""
    if isinstance(value, Mapping):
        return {key: _shown(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner, name) for inner in value]
    if isinstance(value, str) and value and ("PRIVATE KEY" in value or _SECRET_FIELD.search(name)):
        return _HIDDEN
    return value
