"""Checks for images and hubs on hosts that Istio switches off: pods, templates, the injector's values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from meshkit import codes
from meshkit.facts import Finding, Object, Severity
from meshkit.kube.metadata import annotations_of, title
from meshkit.kube.pods import all_containers, is_live
from meshkit.meshes.istio.retired_hosts import OFF_FROM, new_place, retired
from meshkit.meshes.view import View

_IMAGE = "sidecar.istio.io/proxyImage"
"""The annotation of a pod that names the image of its sidecar."""
_INJECTOR = "istio-sidecar-injector"
"""The ConfigMap with the values of the injector, followed by the name of its revision."""


def check(view: View) -> Iterator[Finding]:
    """Find what still names the old hosts, with the place that replaces them."""
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for workload in view.of(kind):
            yield from _of(view, workload, _images((workload.get("spec") or {}).get("template") or {}))
    for pod in view.of("Pod"):
        # Pods made up for the workloads of files have no node; their template is what names the image.
        placed = (pod.get("spec") or {}).get("nodeName") or not pod["metadata"].get("ownerReferences")
        if placed and is_live(pod):
            yield from _of(view, pod, _images(pod))
    for config in view.of("ConfigMap"):
        if config["metadata"]["name"].startswith(_INJECTOR):
            yield from _of(view, config, _values(config))


def _images(template: Object) -> Iterator[tuple[str, str]]:
    for container in all_containers(template):
        yield f"container {container['name']}", str(container.get("image") or "")
    yield f"annotation {_IMAGE}", annotations_of(template).get(_IMAGE, "")


def _values(config: Object) -> Iterator[tuple[str, str]]:
    for key in ("values", "merged-values"):
        try:
            written = json.loads((config.get("data") or {}).get(key) or "{}")
        except ValueError:
            continue
        yield from ((f"data.{key}: {path}", text) for path, text in retired(written))


def _of(view: View, item: Object, named: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    severity: Severity = "error" if view.now >= OFF_FROM else "warning"
    found = {text: where for where, text in named if new_place(text)}
    if found:
        listed = "; ".join(f"{where} names {text}, now {new_place(text)}" for text, where in found.items())
        yield codes.finding(codes.RETIRED_HOST, title(item), f"{listed}.", severity=severity)
