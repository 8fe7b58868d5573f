"""Find a canary whose pods stand elsewhere than those of the stable version, before the start of a release.

Another kind of node, or a zone without pods of the other version, would be taken for a slower version; no
traffic tells the two apart. Latencies in other zones are compared within them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from meshkit import codes
from meshkit.facts import Finding, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.kube.kinds import INSTANCE_TYPE, ZONE
from meshkit.kube.metadata import labels
from meshkit.kube.pods import is_live
from meshkit.kube.selectors import selects
from meshkit.meshes.base import WeightedRoute

MOST_APART = 0.5
"""The part of the canary's pods that may have no counterpart of stable in their zone."""


def elsewhere(release: Release, route: WeightedRoute, snapshot: Snapshot) -> Iterator[Finding]:
    """One finding if most of the canary's pods are in other zones than stable's, or on other kinds of nodes.

    Pods on nodes without such a label, or on nodes that may not be read, are left out.
    """
    nodes = {node["metadata"]["name"]: labels(node) for node in snapshot.of("Node")}
    for label, place in ((ZONE, "zones"), (INSTANCE_TYPE, "kinds of nodes")):
        stable, canary = (
            _places(version, release, route, snapshot, nodes, label)
            for version in (release.stable, release.canary)
        )
        if stable and canary and _apart(stable, canary) > MOST_APART:
            common = ", ".join(sorted(stable.keys() & canary.keys())) if label == ZONE else ""
            effect = "What the place does to latency and errors"
            if common:
                effect = f"Latencies are compared in {common} only; what the place does to errors"
            message = (
                f"{release.canary}'s pods stand in other {place} than {release.stable}'s: {release.canary} in"
                f" {_listed(canary)}, {release.stable} in {_listed(stable)}. {effect} would be taken for"
                f" {release.canary}'s."
            )
            remedy = (
                f"Spread both over the same {place} (topologySpreadConstraints), with as many pods of"
                f" {release.canary} as that takes."
            )
            where = f"Release {release.namespace}/{release.name}"
            yield codes.finding(codes.CANARY_ELSEWHERE, where, message, remedy)


def _places(
    version: str,
    release: Release,
    route: WeightedRoute,
    snapshot: Snapshot,
    nodes: Mapping[str, Mapping[str, str]],
    label: str,
) -> Counter[str]:
    """How many pods of a version are on nodes with each value of a label."""
    found = [
        nodes.get(str((pod.get("spec") or {}).get("nodeName")), {}).get(label)
        for pod in _pods(version, release, route, snapshot)
    ]
    return Counter(each for each in found if each)


def _pods(version: str, release: Release, route: WeightedRoute, snapshot: Snapshot) -> Iterator[Object]:
    """The live pods of a version: those of its Service, else those with its ``version`` label."""
    service = snapshot.find("Service", route.service_of(version, release.service), release.namespace)
    wanted = route.pod_labels(version, service)
    for pod in snapshot.of("Pod", release.namespace):
        if wanted and is_live(pod) and selects(wanted, pod):
            yield pod


def _apart(stable: Counter[str], canary: Counter[str]) -> float:
    """The part of the canary's pods for which stable has no equal part in the same place."""
    return sum(max(0.0, n / canary.total() - stable[place] / stable.total()) for place, n in canary.items())


def _listed(places: Counter[str]) -> str:
    return ", ".join(f"{place} ({n})" for place, n in sorted(places.items()))
