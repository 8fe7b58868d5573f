"""The weights of a release, and the JSON patch that changes only these weights.

The lists that contain the weights (``spec.http``, ``spec.rules``) are atomic: server-side apply can only own
them whole. So the patch changes two values and tests everything it relies on: the resourceVersion and both
destinations. The mesh's planner knows their location in the object (``WeightedRoute``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshkit.decide.ladder import share_percent
from meshkit.errors import BadInput
from meshkit.facts import Finding, Kind, Object
from meshkit.meshes import registry

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.meshes.base import WeightedRoute
    from meshkit.observe.counters import Target

Operation = dict[str, Any]


@dataclass(frozen=True)
class Destination:
    """One weighted destination: its JSON pointer, its target (tested by every patch) and its weight."""

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
    rule: int
    """The number of their rule in the object, from 0."""

    @property
    def canary_percent(self) -> float:
        """The canary's share in percent; 0 if both weights are 0."""
        return share_percent(*self.pair)

    @property
    def pair(self) -> tuple[int, int]:
        """The weights of the stable version and of the canary."""
        return self.stable.weight, self.canary.weight

    @property
    def tests(self) -> list[Operation]:
        """The tests of every JSON patch: the object has not changed since, and neither destination."""
        tests = [{"op": "test", "path": "/metadata/resourceVersion", "value": self.resource_version}]
        for each in (self.stable, self.canary):
            tests.append({"op": "test", "path": each.identity, "value": each.value})
        return tests

    def patch(self, stable: int, canary: int) -> list[Operation]:
        """Build the JSON patch that sets both weights, if nothing has changed since they were read."""
        writes = [
            {"op": "add", "path": f"{destination.pointer}/weight", "value": weight}
            for destination, weight in ((self.stable, stable), (self.canary, canary))
        ]
        return [*self.tests, *writes]


def route_object(mesh: str, release: Release) -> WeightedRoute:
    """Return where a Route writes the weights of a release; raise ``UnknownName`` for an unknown mesh."""
    return registry.mesh(mesh).planner.weighted_route(release)


@dataclass(frozen=True)
class Found:
    """The live route of a release, a sentence for each route that other callers follow, and findings."""

    route: WeightedRoute
    unmoved: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What keeps a release from being measured or followed there."""
    edges: tuple[WeightedRoute, ...] = ()
    """The rules at gateways that split the requests from outside between both versions."""

    def require_usable(self) -> None:
        """Raise ``BadInput`` for the first finding that is an error."""
        _require_no_error(self.findings)


def find_route(mesh: str, release: Release, cluster: Cluster) -> Found:
    """Find the rules whose weights a release moves, whoever wrote them, by what rules requests to its port.

    One rule is for callers in the mesh, or the first one at a gateway where no rule is for those; others are
    at gateways.

    Raises ``BadInput`` if several could be meant, if the object that rules the port does not fit, and if the
    mesh cannot carry the release out for this Service.
    """
    from meshkit.cluster import snapshot
    from meshkit.meshes.routing import release_problems, releases
    from meshkit.operations.which_mesh import home_of

    row = registry.mesh(mesh)
    checks = row.intent_checks
    own = checks.needs(release) if checks else ()
    seen = snapshot.read(cluster, (*releases.needs(row, release, home_of(cluster, row)), *own))
    found = tuple(checks.check(release, seen)) if checks else ()
    _require_no_error(found)
    route, edge = releases.live_routes(release, seen, row)
    findings = (*found, *release_problems.problems(release, route, seen, row))
    unmeasured = tuple(
        f"The requests from outside by {rule} are shifted, and not measured: it leads to other Services than"
        f" {route}."
        for rule in edge.rules
        if rule.services != route.services
    )
    unmoved = (*releases.unmoved(release, route, seen, row), *edge.unmoved, *unmeasured)
    return Found(route, unmoved, findings, edge.rules)


def _require_no_error(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity == "error":
            raise BadInput(finding.object, finding.message, remedy=f"{finding.remedy} See {finding.code}.")


def target_of(release: Release, route: WeightedRoute) -> Target:
    """What to measure of a release whose weights are in this route."""
    from meshkit.observe.counters import Target

    versions = (release.stable, release.canary)
    return Target(
        release.namespace, release.service, release.port, versions, dict(route.services), dict(route.labels)
    )


def owners(obj: Object, route: WeightedRoute) -> tuple[str, ...]:
    """The field managers that own the list with the weights, each once."""
    entries: Iterable[Mapping[str, Any]] = obj["metadata"].get("managedFields") or ()
    return tuple(
        dict.fromkeys(
            entry["manager"]
            for entry in entries
            if not entry.get("subresource")
            and f"f:{route.rules}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        )
    )


def record_of(route: WeightedRoute) -> dict[str, Any]:
    """The route as a JSON-ready mapping; ``route_of`` is its inverse."""
    return {**vars(route), "kind": list(route.kind), "version_at": list(route.version_at)}


def route_of(record: Mapping[str, Any]) -> WeightedRoute:
    """The route from the record of a journal. Raises ``BrokenJournal`` if it is none."""
    from meshkit.cluster.journal import reading_records
    from meshkit.meshes.base import WeightedRoute

    with reading_records("this release"):
        version_at = tuple(record["version_at"])
        return WeightedRoute(**{**record, "kind": Kind(*record["kind"]), "version_at": version_at})


def weights_of(obj: Object, route: WeightedRoute, release: Release) -> Weights:
    """Read the weights of the object; raise ``BadInput`` if it does not match the release."""
    splits = dict(_splits(obj, route))
    fitting = [number for number, split in splits.items() if {route.stable, route.canary} <= set(split)]
    if len(fitting) != 1:
        raise BadInput(
            f"release.{_missing(splits.values(), route)}",
            f"{route} has no single route {release.route!r} with both {release.stable} and {release.canary}.",
            remedy="Apply a Route with both versions first; the release only changes their weights.",
        )
    split = splits[fitting[0]]
    ours = (route.stable, route.canary)
    others = sorted(name for name, found in split.items() if name not in ours and found.weight)
    if others:
        raise BadInput(
            "release.route",
            f"{route} also sends requests to {', '.join(others)}.",
            remedy="Give all weight to the stable version before the release.",
        )
    version = str(obj["metadata"]["resourceVersion"])
    return Weights(version, split[route.stable], split[route.canary], fitting[0])


def _missing(splits: Collection[Mapping[str, Destination]], route: WeightedRoute) -> str:
    """Return the field of the release that names something missing in the object."""
    known = {name for split in splits for name in split}
    named = (("stable", route.stable), ("canary", route.canary))
    return next((field for field, name in named if known and name not in known), "route")


def _splits(obj: Object, route: WeightedRoute) -> Iterator[tuple[int, dict[str, Destination]]]:
    """Yield the number and the destinations of each candidate rule, by the mesh's name of the version."""
    for i, rule in enumerate(obj["spec"].get(route.rules) or []):
        if not route.may_be(rule):
            continue
        split = {}
        for j, entry in enumerate(rule.get(route.destinations) or []):
            pointer = f"/spec/{route.rules}/{i}/{route.destinations}/{j}"
            field = route.version_at[0]
            weight = int(entry.get("weight", route.weight))
            split[route.version_of(entry)] = Destination(
                pointer, f"{pointer}/{field}", entry.get(field), weight
            )
        yield i, split
