"""Proxies and control planes of versions that their makers do not support together.

Istio: the control plane may be one minor version ahead of its proxies. Linkerd the same for 2.x; its edge
releases promise nothing about older proxies. Neither lets a proxy be ahead of every control plane.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import notes
from meshkit.meshes.injection import rules_of
from meshkit.meshes.view import View, finding

_CONTROL_PLANE = {"istio": ("/pilot",), "linkerd": ("linkerd/controller",)}
_PROXY_VERSION = "linkerd.io/proxy-version"
MINORS_BEHIND = 1


class _Version(NamedTuple):
    edge: bool
    major: int
    minor: int


def check(view: View) -> Iterator[Finding]:
    """Proxies that no installed control plane supports, by namespace and version."""
    planes = {version for text in _of_control_planes(view) if (version := _parsed(text))}
    found = Counter((pod["metadata"]["namespace"], _of_proxy(view.mesh, pod)) for pod in view.meshed)
    for (namespace, text), count in sorted(found.items()):
        proxy = _parsed(text)
        comparable = [plane for plane in planes if proxy and plane.edge == proxy.edge]
        if proxy is None or not comparable or any(_supported(proxy, plane) for plane in comparable):
            continue
        ahead = proxy > max(comparable)
        how = "ahead of the control plane" if ahead else "more than one minor version behind it"
        message = f"{count} proxies are of version {text}, {how}: its makers do not support that."
        remedy = "Upgrade the control plane first." if ahead else "Restart its workloads."
        yield finding("MK0613", "error", f"Namespace {namespace}", message, remedy)


def _supported(proxy: _Version, plane: _Version) -> bool:
    if proxy.edge:
        return proxy <= plane
    return proxy.major == plane.major and plane.minor - MINORS_BEHIND <= proxy.minor <= plane.minor


def _of_control_planes(view: View) -> Iterator[str]:
    for component in view.components:
        template = (component["spec"].get("template") or {}).get("spec") or {}
        for image in _images(template.get("containers") or ()):
            if image.partition("@")[0].rpartition(":")[0].endswith(_CONTROL_PLANE[view.mesh]):
                yield _tag(image)


def _of_proxy(mesh: str, pod: Object) -> str:
    if mesh == "linkerd":
        return notes(pod).get(_PROXY_VERSION, "")
    containers = (*pod["spec"].get("containers", ()), *(pod["spec"].get("initContainers") or ()))
    return next((_tag(each["image"]) for each in containers if each["name"] == rules_of(mesh).sidecar), "")


def _images(containers: Iterable[Object]) -> list[str]:
    return [str(each["image"]) for each in containers]


def _tag(image: str) -> str:
    return image.partition("@")[0].rpartition(":")[2]


def _parsed(text: str) -> _Version | None:
    """The first two numbers of a version: of ``edge-26.6.3`` year and month. None for what is none.

    >>> _parsed("1.31.4-distroless"), _parsed("edge-26.6.3"), _parsed("latest")
    (_Version(edge=False, major=1, minor=31), _Version(edge=True, major=26, minor=6), None)
    """
    found = re.match(r"(edge-|stable-|v)?(\d+)\.(\d+)(?:\.\d+|$)", text)
    return _Version(found[1] == "edge-", int(found[2]), int(found[3])) if found else None
