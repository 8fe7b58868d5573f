"""Put a case into the world, ask Linkerd's controllers and meshkit the same, and say where they differ."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from meshkit.meshes.linkerd.meaning import sidecar
from meshkit.meshes.model.registry import Registry
from tests.conformance.linkerd import meant, told
from tests.conformance.linkerd.cases import Case, pod_port, service_port
from tests.conformance.linkerd.control_plane import ControlPlane
from tests.conformance.linkerd.world import Object, World

WAIT_S = 8.0
Said = Mapping[str, Any]


def differences(case: Case, world: World, linkerd: ControlPlane) -> dict[str, str]:
    """What is not the same, by what was asked. The controllers are asked again until it is, for a while."""
    world.apply(case.objects)
    try:
        registry = world.registry()
        ours = {**_meant(case, registry), **_statuses_meant(case, registry)}
        left = set(ours)
        deadline = time.monotonic() + WAIT_S
        while True:
            theirs = {asked: _told(case, asked, world, linkerd) for asked in sorted(left)}
            left = {asked for asked in left if theirs[asked] != ours[asked]}
            if not left or time.monotonic() > deadline:
                return {asked: _difference(theirs[asked], ours[asked]) for asked in sorted(left)}
            time.sleep(0.5)
    finally:
        world.remove(case.objects)


def _told(case: Case, asked: str, world: World, linkerd: ControlPlane) -> Said:
    if asked in case.outbound:
        service, namespace, port, caller = service_port(asked)
        world.touch(service, namespace)
        policy = linkerd.outbound(service, namespace, port, caller)
        profile = linkerd.profile(service, namespace, port, caller)
        return told.outbound(policy, profile, f"{service}.{namespace}:{port}")
    if asked in case.inbound:
        return told.inbound(linkerd.inbound(*pod_port(asked)))
    return world.conditions(_named(case.objects, asked))


def _meant(case: Case, registry: Registry) -> dict[str, Said]:
    return {
        **{asked: meant.outbound(registry, *service_port(asked)) for asked in case.outbound},
        **{asked: meant.inbound(registry, *pod_port(asked)) for asked in case.inbound},
    }


def _statuses_meant(case: Case, registry: Registry) -> dict[str, Said]:
    wanted = {asked: _named(case.objects, asked)["metadata"] for asked in case.statuses}
    found: dict[str, Said] = {asked: {} for asked in wanted}
    for status in sidecar.statuses(registry):
        meta = status.item["metadata"]
        for asked, one in wanted.items():
            if (meta["namespace"], meta["name"]) == (one["namespace"], one["name"]):
                found[asked] = {
                    f"{parent.reference['kind']} {parent.reference['name']} {each.type}": (
                        f"{each.holds} {each.reason}"
                    )
                    for parent in status.parents
                    for each in parent.conditions
                }
    return found


def _named(objects: Iterable[Object], asked: str) -> Object:
    kind, _, name = asked.partition(" ")
    (found,) = (item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found


def _difference(theirs: Said, ours: Said) -> str:
    write: Callable[[Any], str] = lambda said: json.dumps(said, indent=1, sort_keys=True)  # noqa: E731
    return f"Linkerd: {write(theirs)}\nmeshkit: {write(ours)}"
