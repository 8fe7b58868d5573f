"""What istiod writes into a cluster by itself: the objects, and the fields of them that it owns.

``installed_mesh.json`` holds what a real istiod wrote after Istio's charts were installed and a shop was
injected; ``UPDATE_INVENTORY=1`` with ``make cluster`` writes it again. The sandbox's istiod is compared with
it, and each difference has its reason on the page ``PAGE``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshkit.cluster.connect import Cluster
from meshkit.facts import Kind, Object
from meshkit.kube.metadata import title

Inventory = dict[str, list[str]]
"""The fields that istiod owns, by the title of their object."""

FILE = Path(__file__).with_name("installed_mesh.json")
PAGE = Path(__file__).parents[2] / "docs" / "ideas" / "inventory.md"
MANAGER = "pilot-discovery"
KINDS = (
    *(Kind("v1", name) for name in ("ConfigMap", "Secret")),
    Kind("coordination.k8s.io/v1", "Lease"),
    *(
        Kind("admissionregistration.k8s.io/v1", f"{name}WebhookConfiguration")
        for name in ("Mutating", "Validating")
    ),
)
SPACES = ("istio-system", "shop", "default", "kube-system", "kube-public", "kube-node-lease", None)
"""The namespaces that both clusters have; None for objects without one."""


def written(cluster: Cluster) -> Inventory:
    """What istiod has written into a cluster."""
    found = (obj for kind in KINDS for obj in cluster.api.list(kind))
    return {
        title(obj): fields
        for obj in found
        if obj["metadata"].get("namespace") in SPACES and (fields := sorted(set(_owned(obj))))
    }


def recorded() -> Inventory:
    """What a real istiod wrote."""
    found: Inventory = json.loads(FILE.read_text())
    return found


def metric_names(cluster: Cluster, pod: Object, port: int, path: str) -> set[str]:
    """The names of the metrics on a page of a pod."""
    meta = pod["metadata"]
    page = cluster.api.pod_get(meta["namespace"], meta["name"], port, path)
    return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")}


def update(now: Inventory) -> None:
    """Write the file again, if that was asked for."""
    if os.environ.get("UPDATE_INVENTORY"):
        FILE.write_text(json.dumps(now, indent=2, sort_keys=True) + "\n")


def differences(sandbox: Inventory) -> list[str]:
    """How the sandbox differs from the real one, as the page names it."""
    return sorted(_differences(recorded(), sandbox))


def explained() -> list[str]:
    """The differences for which the page gives a reason."""
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return sorted(row[0].removeprefix("| ").strip("`") for row in rows)


def _differences(real: Inventory, sandbox: Inventory) -> Iterator[str]:
    for name in {**real, **sandbox}:
        if name not in sandbox:
            yield f"{name}: only istiod"
        elif name not in real:
            yield f"{name}: only the sandbox"
        else:
            yield from (f"{name} {field}: only istiod" for field in real[name] if field not in sandbox[name])
            yield from (
                f"{name} {field}: only the sandbox" for field in sandbox[name] if field not in real[name]
            )


def _owned(obj: Object) -> Iterator[str]:
    for entry in obj["metadata"].get("managedFields") or ():
        if entry["manager"] == MANAGER:
            yield from _paths(entry.get("fieldsV1") or {}, "")


def _paths(fields: Mapping[str, Any], at: str) -> Iterator[str]:
    """The leaves of a set of fields; items of lists are ``[]``, whatever their names are."""
    inner = {key: below for key, below in fields.items() if key != "."}
    if not inner and at:
        yield at
    for key, below in inner.items():
        kind, _, name = key.partition(":")
        yield from _paths(below, f"{at}.{name}".lstrip(".") if kind == "f" else f"{at}[]")
