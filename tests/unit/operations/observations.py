"""Cluster observations and calls for tests of the guided path."""

from __future__ import annotations

from typing import Any

from meshkit.facts import Snapshot
from meshkit.meshes.metrics import Link
from meshkit.observe.callers import Calls
from meshkit.operations.setup.status import ClusterObservation
from tests.unit.meshes.injected_objects import deployment, namespace, pod, webhook

TLS = Link("shop/client", "shop/web", "mutual_tls")
PLAIN = Link("unknown", "shop/web", "plain")


def calls(window: dict[Link, int], ever: dict[Link, int] | None = None, answered: int = 2) -> Calls:
    return Calls(10.0, 600.0, 2, answered, window, ever or window)


def sight(mesh: str, *objects: dict[str, Any], seen: Calls | None = None) -> ClusterObservation:
    return ClusterObservation(mesh, "shop", Snapshot((namespace(mesh), *objects)), seen)


def meshed(mesh: str) -> tuple[dict[str, Any], ...]:
    return webhook(mesh), deployment(), pod(1, f"{mesh}-proxy")
