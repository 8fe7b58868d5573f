"""Checks of the version skew between sidecars and control planes.

A control plane may be one minor version ahead of its sidecars. Releases by date (Linkerd's edge releases)
guarantee no support of older sidecars. A sidecar must not be ahead of all control planes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from meshkit import codes
from meshkit.facts import Finding
from meshkit.meshes.control_plane import facts_of
from meshkit.meshes.injection import proxy_origin
from meshkit.meshes.view import View

MINORS_BEHIND = 1


class _Version(NamedTuple):
    edge: bool
    major: int
    minor: int


def check(view: View) -> Iterator[Finding]:
    """Find sidecars that no installed control plane supports, by namespace and version."""
    installed = {
        version
        for component in view.components
        if (version := _parsed(facts_of(view.mesh).version_of(component)))
    }
    proxies = Counter((pod["metadata"]["namespace"], proxy_origin(pod, view.mesh)[1]) for pod in view.meshed)
    for (namespace, text), count in sorted(proxies.items()):
        proxy = _parsed(text)
        comparable = [version for version in installed if proxy and version.edge == proxy.edge]
        if proxy is None or not comparable or any(_supports(version, proxy) for version in comparable):
            continue
        ahead = proxy > max(comparable)
        how = "ahead of the control plane" if ahead else "more than one minor version behind it"
        message = f"{count} sidecars have version {text}, {how}: {view.mesh} does not support that."
        remedy = "Upgrade the control plane first." if ahead else "Restart its workloads."
        yield codes.finding(codes.PROXY_VERSION_UNSUPPORTED, f"Namespace {namespace}", message, remedy)


def newest_control_plane(proxy: str) -> str:
    """The newest minor version of a control plane that supports sidecars of this version; empty if unknown.

    >>> newest_control_plane("1.31.4"), newest_control_plane("edge-26.6.3")
    ('1.32', '')
    """
    version = _parsed(proxy)
    return f"{version.major}.{version.minor + MINORS_BEHIND}" if version and not version.edge else ""


def _supports(control_plane: _Version, proxy: _Version) -> bool:
    if proxy.edge:
        return proxy <= control_plane
    oldest = control_plane.minor - MINORS_BEHIND
    return proxy.major == control_plane.major and oldest <= proxy.minor <= control_plane.minor


def _parsed(text: str) -> _Version | None:
    """Parse the first two numbers of a version (year and month of ``edge-26.6.3``); None if it has none.

    >>> _parsed("1.31.4-distroless"), _parsed("edge-26.6.3"), _parsed("latest")
    (_Version(edge=False, major=1, minor=31), _Version(edge=True, major=26, minor=6), None)
    """
    match = re.match(r"(edge-|stable-|v)?(\d+)\.(\d+)(?:\.\d+|$)", text)
    return _Version(match[1] == "edge-", int(match[2]), int(match[3])) if match else None
