"""Find the rules of VirtualServices, whoever wrote them, that split requests between two versions.

The versions are subsets of the Service, or Services of their own. A subset is meant by its name or by the
``version`` label of its pods, a Service by its name or by its selector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.kube.metadata import labels
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.gateway_api.splits import leads_to
from meshkit.meshes.model.hosts import CLUSTER_DOMAIN, full_host
from meshkit.meshes.routing import destinations
from meshkit.meshes.routing.live import Port

_MESH = "mesh"
"""The word for all sidecars among the gateways of a VirtualService."""


class _Arm(NamedTuple):
    """The destination of a version: the field that names it, its value, and what tells its requests apart."""

    field: str
    written: str
    service: str = ""
    label: str | None = ""
    """The ``version`` label of its pods; None where they have no common one, empty where it is not needed."""


def splits(release: Release, obj: Object, snapshot: Snapshot) -> Iterator[WeightedRoute]:
    """The rules of a VirtualService for sidecars that have a destination for each version of the release."""
    for rule in obj["spec"].get("http") or ():
        matches: Sequence[Object] = rule.get("match") or [{}]
        of_port = any(match.get("port") in (None, release.port) for match in matches)
        here = of_port and holds(obj, rule, at_gateways=False)
        if here and (found := split_of(rule, release, obj, snapshot)):
            yield replace(found, port=release.port)


def holds(obj: Object, rule: Mapping[str, Any], *, at_gateways: bool) -> bool:
    """Whether a rule of a VirtualService holds for sidecars, or for a gateway."""
    bound = obj["spec"].get("gateways") or [_MESH]
    return any(
        (gateway != _MESH) == at_gateways
        for match in rule.get("match") or [{}]
        for gateway in match.get("gateways") or bound
    )


def split_of(
    rule: Mapping[str, Any], release: Release, obj: Object, snapshot: Snapshot, port: int | None = None
) -> WeightedRoute | None:
    """A rule as the place of a release's weights, if it has a destination for each version.

    With ``port``, destinations at other ports of the Service do not count.
    """
    meta = obj["metadata"]
    subsets = destinations.subsets(_port(release), snapshot)
    arms = {}
    for version in (release.stable, release.canary):
        found = [
            arm
            for entry in rule.get("route") or ()
            if port in (None, (entry["destination"].get("port") or {}).get("number", port))
            and (arm := _arm(entry["destination"], version, release, meta["namespace"], subsets, snapshot))
        ]
        if len(found) == 1:
            arms[version] = found[0]
    if len(arms) < 2 or arms[release.stable].field != arms[release.canary].field:
        return None
    stable, canary = arms[release.stable], arms[release.canary]
    if stable.written == canary.written:
        return None
    return WeightedRoute(
        Kind(obj["apiVersion"], obj["kind"]),
        meta["name"],
        meta["namespace"],
        rules="http",
        destinations="route",
        version_at=("destination", stable.field),
        stable=stable.written,
        canary=canary.written,
        rule=rule.get("name"),
        conditions=rule.get("match") or [],
        services={version: arm.service for version, arm in arms.items() if arm.service},
        labels={version: arm.label or "" for version, arm in arms.items() if arm.label not in ("", version)},
    )


def _arm(
    destination: Mapping[str, Any],
    version: str,
    release: Release,
    namespace: str,
    subsets: Mapping[str, Mapping[str, str]],
    snapshot: Snapshot,
) -> _Arm | None:
    written = str(destination["host"])
    host, subset = full_host(written.lower(), namespace), destination.get("subset")
    name, _, domain = host.partition(".")
    if domain != f"{release.namespace}.svc.{CLUSTER_DOMAIN}":
        return None
    if name == release.service:
        if not subset:
            return None
        label = _label(subsets.get(str(subset)), release, snapshot)
        return _Arm("subset", str(subset), label=label) if version in (subset, label) else None
    return _Arm("host", written, service=name) if leads_to(name, version, release, snapshot) else None


def _label(subset: Mapping[str, str] | None, release: Release, snapshot: Snapshot) -> str | None:
    """The ``version`` label of a subset's pods; None if they have no common one, empty for no subset."""
    if subset is None:
        return ""
    if "version" in subset:
        return subset["version"]
    values = {labels(pod).get("version") for pod in destinations.pods(_port(release), subset, snapshot)}
    return values.pop() if len(values) == 1 else None


def _port(release: Release) -> Port:
    return Port(release.namespace, release.service, release.port)
