"""Check steps against the API server: what each would change, and whether the server takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from meshkit.cluster.api import REQUESTS_AT_ONCE, Api
from meshkit.cluster.connect import Cluster
from meshkit.cluster.diff import FieldChange, changes, digest
from meshkit.cluster.helm import Helm, client_for
from meshkit.cluster.steps import reading
from meshkit.errors import Rejected
from meshkit.facts import Kind, Object
from meshkit.kube.helm import RELEASE
from meshkit.kube.steps import Step

_SECRET = Kind("v1", "Secret")
_MAKERS = (RELEASE.kind, "Namespace", "CustomResourceDefinition")
"""The kinds of objects that other objects of a plan may need."""

Action = Literal["create", "change", "keep", "remove"]


@dataclass(frozen=True)
class Seen:
    """The state of an object when it was checked."""

    uid: str
    resource_version: str
    digest: str


@dataclass(frozen=True)
class PlannedStep:
    """A step, its field changes, and the state of the object they apply to (``seen`` None: no object)."""

    step: Step
    action: Action
    changes: tuple[FieldChange, ...] = ()
    seen: Seen | None = None
    needs: Step | None = None
    """The step that creates this object's namespace or kind; the server can check this step only after it."""
    warnings: tuple[str, ...] = ()
    """The warnings of the server about the object."""
    after: Object | None = field(default=None, repr=False, compare=False)
    """The object as the server's dry run returned it; None if it was not dry-run, and for a Secret."""


def check(cluster: Cluster, steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
    """Dry-run every step that the server can check. Raises the error of the first step that it refuses."""
    live = reading.read(cluster, [place_of(step) for step in steps])
    pairs = list(zip(steps, live, strict=True))
    makers = [step for step, found in pairs if found is None and step.kind.kind in _MAKERS]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return tuple(
            _continued(list(pool.map(lambda pair: _check(cluster, pair[0], pair[1], makers), pairs)))
        )


def place_of(step: Step) -> reading.Place:
    """The place of a step's object."""
    return reading.Place(step.kind, step.namespace, step.name)


def _continued(planned: Sequence[PlannedStep]) -> Iterator[PlannedStep]:
    """Compare a step that applies an object again with the state that the step before it leaves."""
    whole: dict[tuple[reading.Place, str], PlannedStep] = {}
    for one in planned:
        key = (place_of(one.step), one.step.manager)
        earlier = whole.get(key) if not (one.step.partial or one.step.removed) else None
        if not (one.step.partial or one.step.removed):
            whole[key] = one
        left = earlier.after if earlier else None
        if left is None or one.after is None:
            yield one
            continue
        found = changes(left, one.after)
        yield replace(one, action="change" if found else "keep", changes=found)


def _check(cluster: Cluster, step: Step, live: dict[str, Any] | None, makers: Iterable[Step]) -> PlannedStep:
    if step.removed:
        return PlannedStep(step, "remove", seen=_seen(live)) if live else PlannedStep(step, "keep")
    if step.kind == RELEASE:
        Helm(cluster).require_chart(step.object)
    if live is None:
        if step.partial:
            raise Rejected(f"{step.title} does not exist.", remedy="Create it first.", status=404)
        needs = next((maker for maker in makers if _makes(cluster.api, maker, step)), None)
        if needs is not None:
            return PlannedStep(step, "create", changes(None, step.object), needs=needs)
    warned: list[str] = []
    client = client_for(cluster, step.kind)
    after = client.apply(
        step.object, dry_run=True, force=step.force, manager=step.manager, on_warning=warned.append
    )
    kept = None if step.kind == _SECRET else after
    if live is None:
        return PlannedStep(step, "create", changes(None, after), warnings=tuple(warned), after=kept)
    found = changes(live, after)
    action: Action = "change" if found else "keep"
    return PlannedStep(step, action, found, _seen(live), warnings=tuple(warned), after=kept)


def _makes(api: Api, maker: Step, step: Step) -> bool:
    """Whether a step creates the namespace or kind of another. A chart is assumed to create missing kinds."""
    if maker is step:
        return False
    if maker.kind == RELEASE:
        return step.kind == RELEASE or api.resource(step.kind) is None
    if maker.kind.kind == "Namespace":
        return step.namespace == maker.name
    if maker.kind.kind == "CustomResourceDefinition":
        spec = maker.object["spec"]
        return bool(step.kind.group == spec["group"] and step.kind.kind == spec["names"]["kind"])
    return False


def _seen(obj: Object) -> Seen:
    meta = obj["metadata"]
    return Seen(meta["uid"], meta["resourceVersion"], digest(obj))
