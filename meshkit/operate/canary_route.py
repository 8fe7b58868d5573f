"""Where a mesh keeps the weights of a release, and the JSON patch that moves them and nothing else.

The lists that hold the weights (``spec.http``, ``spec.rules``) are atomic: server-side apply can only own
them whole. So the patch changes two values and tests everything it relies on: the resourceVersion read and
both destinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.errors import BadInput, UnknownName
from meshkit.facts import Kind, Object
from meshkit.planners.gateway_api import HTTP_ROUTE, backend_name
from meshkit.planners.istio import VIRTUAL_SERVICE

if TYPE_CHECKING:
    from meshkit.intent.release import Release

Operation = dict[str, Any]


@dataclass(frozen=True)
class RouteObject:
    """The object that holds a release's weights."""

    kind: Kind
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Destination:
    """One weighted destination: its JSON pointer, what it sends to (tested by every patch), and its
    weight.
    """

    pointer: str
    identity: str
    value: Any
    weight: int


@dataclass(frozen=True)
class Weights:
    """The two weights of a release, as read at one resourceVersion."""

    resource_version: str
    stable: Destination
    canary: Destination

    @property
    def canary_percent(self) -> float:
        """The canary's share in percent; 0 when both weights are."""
        total = self.stable.weight + self.canary.weight
        return 100 * self.canary.weight / total if total else 0.0

    def patch(self, stable: int, canary: int) -> list[Operation]:
        """The JSON patch that sets both weights if nothing it relies on has changed since they were read."""
        tests = [{"op": "test", "path": "/metadata/resourceVersion", "value": self.resource_version}]
        writes = []
        for destination, weight in ((self.stable, stable), (self.canary, canary)):
            tests.append({"op": "test", "path": destination.identity, "value": destination.value})
            writes.append({"op": "add", "path": f"{destination.pointer}/weight", "value": weight})
        return [*tests, *writes]


def route_object(mesh: str, release: Release) -> RouteObject:
    """The object whose weights a release moves on a mesh. Raises UnknownName for a mesh without weights."""
    if mesh == "istio":
        return RouteObject(VIRTUAL_SERVICE, release.service, release.namespace)
    if mesh == "linkerd":
        return RouteObject(HTTP_ROUTE, f"{release.service}-{release.route}", release.namespace)
    raise UnknownName("mesh", mesh, ("istio", "linkerd"))


def weights_of(obj: Object, release: Release) -> Weights:
    """The weights in the object. Raises BadInput when the release does not fit what the object says."""
    if obj["kind"] == VIRTUAL_SERVICE.kind:
        splits = list(_istio_splits(obj, release))
    else:
        splits = list(_gateway_splits(obj))
    names = _names(obj, release)
    fitting = [split for split in splits if set(names.values()) <= {name for name, _ in split}]
    what = f"{obj['kind']} {release.namespace}/{obj['metadata']['name']}"
    if len(fitting) != 1:
        missing = _missing(splits, names)
        raise BadInput(
            f"release.{missing or 'route'}",
            f"{what} has no single route {release.route!r} with both {release.stable} and {release.canary}.",
            remedy="Plan a Route with both versions first; the release only moves their weights.",
        )
    split = dict(fitting[0])
    others = {name: d.weight for name, d in split.items() if name not in names.values() and d.weight}
    if others:
        raise BadInput(
            "release.route",
            f"{what} also sends requests to {', '.join(sorted(others))}.",
            remedy="Give all weight to the stable version first: a release moves it from there.",
        )
    version = str(obj["metadata"]["resourceVersion"])
    return Weights(version, split[names["stable"]], split[names["canary"]])


def _names(obj: Object, release: Release) -> dict[str, str]:
    """What the object calls the two versions: subsets, or Services of their own."""
    if obj["kind"] == VIRTUAL_SERVICE.kind:
        return {"stable": release.stable, "canary": release.canary}
    return {
        "stable": backend_name(release.service, release.stable),
        "canary": backend_name(release.service, release.canary),
    }


def _missing(splits: Sequence[Sequence[tuple[str, Destination]]], names: Mapping[str, str]) -> str | None:
    """Which field of the release names a version that no split has."""
    known = {name for split in splits for name, _ in split}
    return next((field for field, name in names.items() if name not in known), None)


def _istio_splits(obj: Object, release: Release) -> Iterator[list[tuple[str, Destination]]]:
    for i, http in enumerate(obj["spec"].get("http") or []):
        if http.get("name") != release.route:
            continue
        split = []
        for j, entry in enumerate(http.get("route") or []):
            pointer = f"/spec/http/{i}/route/{j}"
            target = entry["destination"]
            found = Destination(pointer, f"{pointer}/destination", target, int(entry.get("weight", 0)))
            split.append((str(target.get("subset")), found))
        yield split


def _gateway_splits(obj: Object) -> Iterator[list[tuple[str, Destination]]]:
    for i, rule in enumerate(obj["spec"].get("rules") or []):
        split = []
        for j, entry in enumerate(rule.get("backendRefs") or []):
            pointer = f"/spec/rules/{i}/backendRefs/{j}"
            found = Destination(pointer, f"{pointer}/name", entry["name"], int(entry.get("weight", 1)))
            split.append((str(entry["name"]), found))
        yield split
