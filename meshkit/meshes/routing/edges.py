"""Find the rules at gateways, whoever wrote them, by which requests from outside reach a released Service.

A gateway follows no rule of callers in the mesh, so a release has to move the weights of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from meshkit.facts import Object, Snapshot
from meshkit.intent.release import Release
from meshkit.kube.metadata import title
from meshkit.meshes.base import Edge, WeightedRoute
from meshkit.meshes.gateway_api.splits import leads_to

Json = Mapping[str, Any]


class Target(NamedTuple):
    """What a destination leads to: a Service, and its port if the destination names one."""

    namespace: str
    service: str
    port: int | None


class Reader(NamedTuple):
    """How one kind of route is read, of those that can be bound to gateways."""

    kind: str
    group: str
    rules: str
    destinations: str
    bound: Callable[[Object, Json], bool]
    """Whether a rule of the object holds at a gateway."""
    target: Callable[[Json, str], Target | None]
    """What a destination of a route in a namespace leads to; None for anything but a Service."""
    split: Callable[[Json, Release, Object, Snapshot, int | None], WeightedRoute | None]
    """A rule as the place of a release's weights, if it has a destination for each version at a port."""


def edge(release: Release, snapshot: Snapshot, readers: Iterable[Reader]) -> Edge:
    """The rules at gateways that split requests between both versions, and the others that reach the stable.

    Those that reach the canary alone are left out: their share is measured before the first step.
    """
    found, unmoved = [], []
    for reader, obj, index, rule in at_gateways(snapshot, readers):
        if split := reader.split(rule, release, obj, snapshot, release.port):
            found.append(split)
        elif reached := reached_by(rule, reader, obj, release, snapshot, (release.stable,)):
            unmoved.append(
                f"{title(obj)} {reader.rules}[{index}] sends requests from outside to {reached}, whatever the"
                " weights; the release does not shift them. Give the rule a destination for each of"
                f" {release.stable} and {release.canary}."
            )
    return Edge(tuple(found), tuple(unmoved))


def at_gateways(snapshot: Snapshot, readers: Iterable[Reader]) -> Iterator[tuple[Reader, Object, int, Json]]:
    """Each rule that holds at a gateway: how it is read, its object, its index and the rule."""
    for reader in readers:
        objects = [each for each in snapshot.of(reader.kind) if each["apiVersion"].startswith(reader.group)]
        for obj in sorted(objects, key=title):
            for index, rule in enumerate(obj["spec"].get(reader.rules) or ()):
                if reader.bound(obj, rule):
                    yield reader, obj, index, rule


def reached_by(
    rule: Json, reader: Reader, obj: Object, release: Release, snapshot: Snapshot, versions: Iterable[str]
) -> str:
    """The Service of a release, or of one of its versions, to which a rule sends requests; empty for none."""
    for entry in rule.get(reader.destinations) or ():
        target = reader.target(entry, obj["metadata"]["namespace"])
        if target is None or entry.get("weight") == 0:
            continue
        here = target.namespace == release.namespace and target.port in (None, release.port)
        own = target.service == release.service
        if here and (own or any(leads_to(target.service, one, release, snapshot) for one in versions)):
            return f"{target.service}:{release.port}"
    return ""
