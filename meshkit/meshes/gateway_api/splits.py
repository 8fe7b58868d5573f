"""Find the rules of Gateway API routes, whoever wrote them, that split requests between two versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.facts import Kind, Object, Snapshot
from meshkit.intent.release import Release
from meshkit.meshes.base import WeightedRoute
from meshkit.meshes.gateway_api.rules import backend_name


def splits(release: Release, obj: Object, snapshot: Snapshot) -> Iterator[WeightedRoute]:
    """The rules of an HTTPRoute or GRPCRoute that have a backend for each version of the release."""
    for rule in obj["spec"].get("rules") or ():
        if found := split_of(rule, release, obj, snapshot):
            yield found


def split_of(
    rule: Mapping[str, Any], release: Release, obj: Object, snapshot: Snapshot, port: int | None = None
) -> WeightedRoute | None:
    """A rule as the place of a release's weights, if it has a backend for each version, perhaps at a port."""
    meta = obj["metadata"]
    names = [
        ref["name"]
        for ref in rule.get("backendRefs") or ()
        if _is_service(ref, release, meta["namespace"]) and port in (None, ref.get("port"))
    ]
    stable, canary = (
        [name for name in names if leads_to(name, version, release, snapshot)]
        for version in (release.stable, release.canary)
    )
    if len(stable) != 1 or len(canary) != 1 or stable == canary:
        return None
    return WeightedRoute(
        Kind(obj["apiVersion"], obj["kind"]),
        meta["name"],
        meta["namespace"],
        rules="rules",
        destinations="backendRefs",
        version_at=("name",),
        stable=stable[0],
        canary=canary[0],
        rule=rule.get("name"),
        conditions=rule.get("matches") or [],
        weight=1,
        services={release.stable: stable[0], release.canary: canary[0]},
    )


def leads_to(service: str, version: str, release: Release, snapshot: Snapshot) -> bool:
    """Whether a Service in the release's namespace is that of a version, by its name or by its selector."""
    if service in (version, backend_name(release.service, version)):
        return True
    found = snapshot.find("Service", service, release.namespace) or {}
    selector: Mapping[str, Any] = (found.get("spec") or {}).get("selector") or {}
    return selector.get("version") == version


def _is_service(reference: Mapping[str, Any], release: Release, home: str) -> bool:
    namespace = reference.get("namespace") or home
    return reference.get("kind", "Service") == "Service" and namespace == release.namespace
