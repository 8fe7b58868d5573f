"""``mk.export_intents`` reads the intents of a cluster back from the objects that plans of them wrote.

An intent is read back only if planning it again would change nothing, except the scale of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.diff import changes
from meshkit.errors import MeshkitError
from meshkit.facts import ClusterRef, Need, Object, Snapshot
from meshkit.intent.base import Intent
from meshkit.intent.document import dump_intents
from meshkit.intent.injection import Injection
from meshkit.intent.security import MutualTLS
from meshkit.intent.traffic import Route
from meshkit.kube import yaml_output
from meshkit.kube.kinds import NAMESPACE, SERVICE
from meshkit.kube.metadata import identity, managers, title
from meshkit.kube.steps import RELEASE_MANAGER, RESTART_MANAGER, Step
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.definitions import defaulted
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.meshes.ownership import MANAGER, is_ours
from meshkit.meshes.routing.planned import needs_of
from meshkit.operations.export.live_mesh import export_mesh
from meshkit.operations.which_mesh import home_of

_MODES: tuple[Literal["permissive", "strict", "disable"], ...] = get_args(
    MutualTLS.model_fields["mode"].annotation
)
_NEVER = (
    "ControlPlane: what an installation was made from; 'meshkit init ControlPlane' writes one to begin with."
)


@dataclass(frozen=True)
class IntentsExport:
    """The intents that were read back, and a sentence for everything of the mesh that was not."""

    mesh: str
    cluster: ClusterRef
    intents: tuple[Intent, ...]
    not_read_back: tuple[str, ...] = ()

    @cached_property
    def yaml(self) -> str:
        """A file of intents, whose comment names what is not among them."""
        counted = f"{len(self.intents)} intent{'' if len(self.intents) == 1 else 's'}"
        head = [
            f"{counted} of {registry.mesh(self.mesh).title}, read back from cluster {self.cluster}.",
            *(f"not read back: {text}" for text in self.not_read_back),
        ]
        documents = dump_intents(self.intents)
        return yaml_output.stream(yaml_output.comment("\n".join(head)), [documents] if documents else [])

    def as_record(self) -> dict[str, Any]:
        """The export as a JSON-ready mapping."""
        found = [{"kind": type(each).__name__, **each.model_dump(mode="json")} for each in self.intents]
        return {
            "mesh": self.mesh,
            "cluster": vars(self.cluster),
            "intents": found,
            "not_read_back": list(self.not_read_back),
        }

    def __str__(self) -> str:
        return self.yaml

    __repr__ = __str__


def export_intents(
    cluster: Cluster, namespaces: Iterable[str] = (), *, mesh: str | None = None
) -> IntentsExport:
    """Read the intents of a cluster, or of some namespaces, back from what plans of them wrote.

    Routes, injection and mutual TLS are read back; objects from which no intent can be read are named, and
    ``mk.export_mesh`` writes them as they are. Changes nothing. Raises what ``export_mesh`` raises.
    """
    within = tuple(dict.fromkeys(namespaces))
    held = export_mesh(cluster, within, mesh=mesh)
    row, home = registry.mesh(held.mesh), home_of(cluster, registry.mesh(held.mesh))
    spaces = sorted({_space(obj) for obj in held.objects} - {home})
    seen = _read(cluster, row, home, spaces)
    found = [
        *_written(_of_injection(spaces, seen, row), seen, row),
        *_written(_of_mutual_tls(spaces), seen, row),
    ]
    if not within or home in within:  # an intent for the whole mesh, unless those of namespaces say the same
        whole = list(_written(_of_mutual_tls([None]), seen, row))
        found += [each for each in whole if not _objects([each], seen, row) <= _objects(found, seen, row)]
    routes, problems = _routes(spaces, seen, row)
    covered = _objects([*found, *routes], seen, row)
    left = [
        problems.get(identity(obj)) or f"{title(obj)}: no intent is read back from this kind of object."
        for obj in held.objects
        if identity(obj) not in covered
    ]
    return IntentsExport(
        row.name,
        cluster.ref,
        (*found, *routes),
        (_NEVER, *left, *(f"{what} (no right)" for what in held.not_read)),
    )


def _space(obj: Object) -> str:
    meta = obj["metadata"]
    return str(meta["name"] if obj["kind"] == NAMESPACE.kind else meta.get("namespace") or "")


def _read(cluster: Cluster, row: Mesh, home: str, spaces: Sequence[str]) -> Snapshot:
    """What plans of all intents that can be read back look at."""
    intents: list[Intent] = [MutualTLS(mode="strict")]
    needs: list[Need] = []
    for name in spaces:
        intents += [Injection(namespace=name), MutualTLS(mode="strict", namespace=name), _any_route(name)]
        needs += [Need(SERVICE, name), *(row.written_routes.needs(name) if row.written_routes else ())]
    needs += [Need(kind, where) for kind in (row.kinds.mutual_tls,) if kind for where in (home, *spaces)]
    return snapshot.read(cluster, (*needs_of(intents, row, home), *needs))


def _any_route(namespace: str) -> Route:
    fields: dict[str, Any] = {
        "service": "any",
        "port": 80,
        "versions": [{"name": "any"}],
        "split": {"any": 100},
    }
    return Route(namespace=namespace, **fields)


def _of_injection(spaces: Iterable[str], seen: Snapshot, row: Mesh) -> Iterator[Intent]:
    for name in spaces:
        namespace = seen.find(NAMESPACE.kind, name)
        asked = row.injection.asked(namespace) if namespace else ""
        if asked:
            yield Injection(namespace=name, revision=None if asked == DEFAULT_REVISION else asked)


def _of_mutual_tls(spaces: Iterable[str | None]) -> Iterator[Intent]:
    for name in spaces:
        yield from (MutualTLS(mode=mode, namespace=name) for mode in _MODES)


def _written(intents: Iterable[Intent], seen: Snapshot, row: Mesh) -> Iterator[Intent]:
    """The intents of which every field that a plan would write is there."""
    for intent in intents:
        try:
            steps = _lasting(intent, seen, row)
        except MeshkitError:
            continue  # the mesh cannot do this
        if steps and all(_is_there(step, seen) for step in steps):
            yield intent


def _lasting(intent: Intent, seen: Snapshot, row: Mesh) -> list[Step]:
    """The steps of an intent without restarts, which leave no state."""
    return [step for step in row.planner.plan(intent, seen) if step.manager != RESTART_MANAGER]


def _objects(intents: Iterable[Intent], seen: Snapshot, row: Mesh) -> set[tuple[str, ...]]:
    """The objects that plans of these intents write."""
    return {identity(step.object) for each in intents for step in _lasting(each, seen, row)}


def _is_there(step: Step, seen: Snapshot) -> bool:
    live = seen.at(step.object)
    return live is not None and not step.removed and _holds(live, step.object)


def _holds(live: Any, wanted: Any) -> bool:
    """Whether a value has every field of another."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key in live and _holds(live[key], wanted[key]) for key in wanted
        )
    if isinstance(wanted, list | tuple):
        same = isinstance(live, list | tuple) and len(live) == len(wanted)
        return same and all(map(_holds, live, wanted))
    return bool(live == wanted)


def _routes(
    spaces: Sequence[str], seen: Snapshot, row: Mesh
) -> tuple[list[Route], dict[tuple[str, ...], str]]:
    """The Routes that are read back, and why others are not, by the identity of their object."""
    problems: dict[tuple[str, ...], str] = {}
    found: list[Route] = []
    if row.written_routes is None or not spaces:
        return found, problems
    for namespace in spaces:
        for service in seen.of(SERVICE.kind, namespace):
            for written in row.written_routes.routes(namespace, service["metadata"]["name"], seen):
                reason = _not_ours(written.object) or written.problem
                if not reason and written.route:
                    reason = _lost(written.route, seen, row)
                if reason or written.route is None:
                    problems[identity(written.object)] = f"{title(written.object)}: {reason}"
                else:
                    found.append(written.route)
    return found, problems


def _not_ours(obj: Object) -> str:
    """Why an object is not what a plan of meshkit wrote; empty if it is."""
    writers = managers(obj, "spec")
    if RELEASE_MANAGER in writers:
        return "a release shifts its weights now."
    if is_ours(obj) and MANAGER in writers:
        return ""
    return f"it is managed by {', '.join(dict.fromkeys(writers)) or 'nobody that it names'}, not by meshkit."


def _lost(route: Route, seen: Snapshot, row: Mesh) -> str:
    """What planning a Route that was read back would change; empty if nothing but the scale of weights."""
    try:
        steps = row.planner.plan(route, seen)
    except MeshkitError as error:
        return error.message
    definitions = {(each["spec"]["group"], each["spec"]["names"]["kind"]): each for each in row.crds()}
    for step in steps:
        live = seen.at(step.object)
        definition = definitions.get((step.kind.group, step.kind.kind))
        whole = definition is not None and not step.partial
        if step.removed or live is None or not (whole or _holds(live, step.object)):
            return f"planned again, its Route would change {step.title}."
        if not whole:  # others, or the server, write fields of their own
            continue
        found = changes(*(_spec(defaulted(each, definition)) for each in (live, step.object)))
        changed = [each.path for each in found if not each.path.endswith(".weight")]
        if changed:
            return f"it has more than a Route writes: {changed[0]} of {step.title}."
    return ""


def _spec(obj: Object) -> Object:
    return {"metadata": {}, "spec": obj.get("spec")}
