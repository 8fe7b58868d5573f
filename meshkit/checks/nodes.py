"""Checks of the Kubernetes version and the clock of nodes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.checks import KubernetesRange, MeshChecks
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.view import View

HEARTBEAT = dt.timedelta(minutes=5, seconds=20)
"""The maximum age of a heartbeat that does not indicate clock skew, as in ``linkerd check``: kubelets
report at least every five minutes, and clocks may differ by 20 s.
"""


def check(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find nodes that are too old or too new for the mesh, or whose clock differs from this machine's."""
    facts = facts_of(view.mesh)
    installed = [*dict.fromkeys(map(facts.version_of, view.components))] or [facts.default_version]
    supported = {version: found for version in installed if (found := rules.kubernetes(version))}
    for node in view.of("Node"):
        yield from _kubernetes(view.mesh, node, supported)
        yield from _clock(view, node)


def _kubernetes(mesh: str, node: Object, supported: Mapping[str, KubernetesRange]) -> Iterator[Finding]:
    """Find nodes with a Kubernetes that a version of the mesh does not support.

    Kubelets are never newer than the API server, so this covers an API server that is too old.
    """
    info = (node.get("status") or {}).get("nodeInfo") or {}
    version = str(info.get("kubeletVersion", ""))
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if not match:
        return
    runs = (int(match[1]), int(match[2]))
    for of_mesh, versions in supported.items():
        message = f"it runs Kubernetes {version}; {mesh} {of_mesh} supports {versions}."
        if runs < versions.oldest:
            yield codes.finding(codes.KUBERNETES_TOO_OLD, title(node), message)
        elif versions.newest and runs > versions.newest:
            yield codes.finding(codes.KUBERNETES_TOO_NEW, title(node), message)


def _clock(view: View, node: Object) -> Iterator[Finding]:
    for condition in (node.get("status") or {}).get("conditions") or ():
        heartbeat = condition.get("lastHeartbeatTime")
        if condition["type"] != "Ready" or condition["status"] != "True" or not heartbeat:
            continue
        age = view.now - dt.datetime.fromisoformat(str(heartbeat))
        if abs(age) > HEARTBEAT:
            direction = "ago" if age > dt.timedelta() else "ahead"
            minutes = abs(age) / dt.timedelta(minutes=1)
            message = f"its last heartbeat is {minutes:.0f} minutes {direction} by the clock of this machine."
            yield codes.finding(codes.CLOCKS_APART, title(node), message)
