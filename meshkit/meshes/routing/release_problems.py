"""Find what keeps a release through a live route from being measured or followed, before its start."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Snapshot
from meshkit.intent.release import Release
from meshkit.kube.metadata import title
from meshkit.meshes.base import Mesh, WeightedRoute
from meshkit.meshes.routing import destinations
from meshkit.meshes.routing.live import Port, callers_in, held
from meshkit.meshes.routing.release_places import elsewhere


def problems(release: Release, route: WeightedRoute, snapshot: Snapshot, row: Mesh) -> Iterator[Finding]:
    """The findings about a release through this route; an error refuses the release."""
    yield from elsewhere(release, route, snapshot)
    if route.services:
        return
    port = Port(release.namespace, release.service, release.port)
    yield from _not_told_apart(release, route, port, snapshot)
    yield from _undefined_subsets(route, port, snapshot, row)
    yield from _displaced_policies(route, port, snapshot, row)


def _not_told_apart(
    release: Release, route: WeightedRoute, port: Port, snapshot: Snapshot
) -> Iterator[Finding]:
    """Find subsets whose pods have no label ``version`` of their own, by which metrics name versions."""
    stable, canary = (route.labels.get(version, version) for version in (release.stable, release.canary))
    if stable and canary and stable != canary:
        return
    defined = destinations.subsets(port, snapshot)
    named, pods = [], []
    for name in (route.stable, route.canary):
        chosen = defined.get(name, {})
        named.append(f"{name} ({','.join(f'{key}={value}' for key, value in chosen.items())})")
        pods.append(destinations.pods(port, chosen, snapshot))
    if stable and canary:
        why = f"they have the same label version={stable}"
    elif all(pods):
        why = "they have no label version, or several"
    else:
        why = "there are none of one of them"
    yield codes.finding(
        codes.VERSIONS_NOT_TOLD_APART,
        "release.stable",
        "Metrics name the version of a request by the label version of its pod. The pods of the subsets"
        f" {' and '.join(named)} cannot be told apart by it: {why}.",
    )


def _undefined_subsets(route: WeightedRoute, port: Port, snapshot: Snapshot, row: Mesh) -> Iterator[Finding]:
    """Find callers that follow the route and a DestinationRule without a subset of it."""
    owner = f"{route.namespace}/{route.name}"
    followers = {
        namespace
        for each in held(port, snapshot, row)
        if any(one.owner == owner for one in each.routes)
        for namespace in each.namespaces
    }
    wanted = (route.stable, route.canary)
    for rule, missing, namespaces in destinations.undefined(port, wanted, snapshot, row):
        concerned = followers.intersection(namespaces)
        if concerned:
            message = destinations.without_subsets(title(rule), missing, concerned, port)
            remedy = f"Add {' and '.join(missing)} to its spec.subsets, with the labels of the pods."
            yield codes.finding(codes.DESTINATION_RULED_ELSEWHERE, "release.route", message, remedy)


def _displaced_policies(route: WeightedRoute, port: Port, snapshot: Snapshot, row: Mesh) -> Iterator[Finding]:
    """Find policies of the Service's DestinationRule, as a Route writes it, that another displaces."""
    own = snapshot.find("DestinationRule", port.service, port.namespace)
    if own is None:
        return
    subsets, policies = (route.stable, route.canary), tuple(destinations.POLICIES)
    for each in destinations.displaced(port, [own], subsets, policies, snapshot, row):
        if void := each.difference.policies:
            message = (
                f"{title(each.by)} decides how {callers_in(each.namespaces)} reach {port}:"
                f" {', '.join(void)} of {title(own)} have no effect."
            )
            remedy = f"Write them to spec.trafficPolicy of {title(each.by)}."
            yield codes.finding(
                codes.DESTINATION_RULED_ELSEWHERE, title(own), message, remedy, severity="warning"
            )
