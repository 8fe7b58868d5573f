"""``check --to-ambient``: all checks of a move to the ambient mode, object by object."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from meshkit.facts import Finding, Kind
from meshkit.meshes.injection import rules_of
from meshkit.meshes.istio.ambient.membership import is_ambient
from meshkit.meshes.istio.ambient.waypoints import GATEWAY, GATEWAY_CLASS
from meshkit.meshes.istio.checks.configuration import run as configuration
from meshkit.meshes.istio.checks.migration import cluster, objects, workloads
from meshkit.meshes.istio.checks.migration.scope import Scope
from meshkit.meshes.view import View

KINDS = (
    *configuration.KINDS,
    GATEWAY,
    GATEWAY_CLASS,
    Kind("extensions.istio.io/v1alpha1", "WasmPlugin"),
    Kind("networking.istio.io/v1", "WorkloadGroup"),
)
"""What these checks read in addition to what the checks of any mesh read."""
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")


def movable(view: View) -> tuple[str, ...]:
    """The namespaces with sidecars, or that ask for them, and that are not of the ambient mode yet."""
    spaces = {item["metadata"]["name"]: item for item in view.of("Namespace")}
    asking = {name for name, item in spaces.items() if rules_of(view.mesh).asked(item)}
    ambient = {name for name, item in spaces.items() if is_ambient(item)}
    return tuple(sorted((asking | set(view.meshed_namespaces)) - ambient - {view.home, *_SYSTEM}))


def check(view: View, namespaces: Collection[str]) -> Iterator[Finding]:
    """Find what stands in the way of moving these namespaces."""
    scope = Scope(view, frozenset(namespaces))
    found = [*objects.check(scope), *workloads.check(scope)]
    yield from found
    if view.components:
        yield from cluster.check(scope, found)
