"""What nodes say of themselves: their Kubernetes, their clock, their container runtime."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.meshes.view import View, finding

OLDEST_KUBERNETES = {"istio": (1, 32), "linkerd": (1, 31)}
"""Istio 1.31 and Linkerd 2.20 say so themselves."""
HEARTBEAT = dt.timedelta(minutes=5, seconds=20)
"""A kubelet reports at least every five minutes, and Linkerd allows clocks 20 s: what ``linkerd check`` takes
for a skewed clock beyond."""


def check(view: View) -> Iterator[Finding]:
    """Nodes that are too old for the mesh, or whose clock or runtime it cannot live with."""
    for node in view.of("Node"):
        status = node.get("status") or {}
        info = status.get("nodeInfo") or {}
        yield from _kubernetes(view, node, str(info.get("kubeletVersion", "")))
        yield from _clock(view, node)
        yield from _runtime(view, node, str(info.get("containerRuntimeVersion", "")))


def _kubernetes(view: View, node: Object, told: str) -> Iterator[Finding]:
    """No kubelet is newer than its API server, so an old server is found by its nodes."""
    oldest = OLDEST_KUBERNETES[view.mesh]
    found = re.match(r"v?(\d+)\.(\d+)", told)
    if found and (int(found[1]), int(found[2])) < oldest:
        message = f"Kubernetes {told} is older than {view.mesh} takes ({oldest[0]}.{oldest[1]})."
        yield finding("MK1401", "error", node, message, "Upgrade the node.")


def _clock(view: View, node: Object) -> Iterator[Finding]:
    """Certificates of 24 hours are refused where clocks disagree."""
    for condition in (node.get("status") or {}).get("conditions") or ():
        beat = condition.get("lastHeartbeatTime")
        if condition["type"] != "Ready" or condition["status"] != "True" or not beat:
            continue
        apart = view.now - dt.datetime.fromisoformat(str(beat))
        if abs(apart) > HEARTBEAT:
            when = "ago" if apart > dt.timedelta() else "ahead"
            minutes = abs(apart) / dt.timedelta(minutes=1)
            message = f"its last heartbeat is {minutes:.0f} minutes {when} by the clock of this machine."
            remedy = "Let both clocks be set by NTP: a certificate is refused where it is not valid yet."
            yield finding("MK1405", "warning", node, message, remedy)


def _runtime(view: View, node: Object, runtime: str) -> Iterator[Finding]:
    as_root = (view.settings.get("proxyInit") or {}).get("runAsRoot")
    if view.settings and runtime.startswith("docker:") and not as_root:
        message = "it runs Docker, where linkerd-init can write no rules unless it runs as root."
        yield finding("MK1406", "error", node, message, "Install with values proxyInit.runAsRoot=true.")
