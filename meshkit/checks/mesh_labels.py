"""Labels and annotations of a mesh that it does not read where they stand, or may take away."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from meshkit.facts import Finding, Object
from meshkit.kube.metadata import labels, notes
from meshkit.meshes.linkerd.injection import INJECT
from meshkit.meshes.view import View, finding

_ANNOTATIONS_ONLY = (INJECT, "config.linkerd.io/", "config.alpha.linkerd.io/")
_LABEL_ONLY = "mirror.linkerd.io/exported"
_GATEWAY = "inject.istio.io/templates"
_ALPHA_ELSEWHERE = {
    *("networking.istio.io/exportTo", "networking.istio.io/traffic-distribution"),
    *("istio.io/use-waypoint-canary-weight", "topology.istio.io/controlPlaneClusters"),
    *("alpha.istio.io/kubernetes-serviceaccounts", "alpha.istio.io/canonical-serviceaccounts"),
}
_ALPHA_ON_PODS = {
    *("prometheus.istio.io/merge-metrics", "proxy.istio.io/overrides", _GATEWAY),
    *("ambient.istio.io/bypass-inbound-capture", "ambient.istio.io/dns-capture"),
    *("istio.io/reroute-virtual-interfaces", "status.sidecar.istio.io/port"),
    *(
        f"sidecar.istio.io/{name}"
        for name in (
            *("agentLogLevel", "bootstrapOverride", "componentLogLevel", "discoveryAddress"),
            *("extraStatTags", "interceptionMode", "logLevel", "nativeSidecar", "proxyCPU", "proxyCPULimit"),
            *("proxyImage", "proxyImageType", "proxyMemory", "rewriteAppHTTPProbers", "statsCompression"),
            *("statsEvictionInterval", "statsFlushInterval", "statsHistogramBins", "statsHistogramBuckets"),
            *("statsInclusionPrefixes", "statsInclusionRegexps", "statsInclusionSuffixes", "userVolume"),
        )
    ),
    *(
        f"readiness.status.sidecar.istio.io/{name}"
        for name in ("applicationPorts", "failureThreshold", "initialDelaySeconds", "periodSeconds")
    ),
    *(
        f"traffic.sidecar.istio.io/{name}"
        for name in (
            *("excludeInboundPorts", "excludeInterfaces", "excludeOutboundIPRanges", "excludeOutboundPorts"),
            *("includeOutboundIPRanges", "includeOutboundPorts", "kubevirtInterfaces"),
        )
    ),
}
"""What Istio's API (annotation/annotations.yaml of 1.31) calls alpha, without what Istio writes by itself."""


def check(view: View) -> Iterator[Finding]:
    """Labels that Linkerd reads as annotations, and the other way round."""
    if view.mesh != "linkerd":
        return
    found: Counter[tuple[str, str, str, str]] = Counter()
    for kind in ("Pod", "Service"):
        for one in view.of(kind):
            where = one["metadata"]["namespace"]
            for key in labels(one):
                if key.startswith(_ANNOTATIONS_ONLY):
                    found[where, kind, key, "label"] += 1
            if kind == "Service" and _LABEL_ONLY in notes(one):
                found[where, kind, _LABEL_ONLY, "annotation"] += 1
    for (namespace, kind, key, given), count in sorted(found.items()):
        other = "annotation" if given == "label" else "label"
        message = f"{key} is the {given} of {count} {kind}s, and Linkerd reads it as {other} only."
        yield finding("MK0611", "warning", f"Namespace {namespace}", message, f"Make it the {other}.")


def alpha(view: View) -> Iterator[Finding]:
    """Annotations that the next Istio may not know, as people wrote them: on pod templates, not on the pods
    that Istio has added its own to.
    """
    if view.mesh != "istio":
        return
    used: dict[str, set[str]] = defaultdict(set)
    for kind in ("Namespace", "Service"):
        for one in view.of(kind):
            home = one["metadata"].get("namespace", one["metadata"]["name"])
            used[home] |= _ALPHA_ELSEWHERE & set(notes(one))
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for workload in view.of(kind):
            used[workload["metadata"]["namespace"]] |= _on_template(workload)
    for namespace, keys in sorted(used.items()):
        if keys and namespace != view.home:
            message = f"alpha annotations of Istio are in use: {', '.join(sorted(keys))}."
            remedy = "Before an upgrade look whether the new version still knows them."
            yield finding("MK0612", "info", f"Namespace {namespace}", message, remedy)


def _on_template(workload: Object) -> set[str]:
    written = notes(workload["spec"].get("template") or {})
    by_charts = {_GATEWAY} if written.get(_GATEWAY) == "gateway" else set()
    return (_ALPHA_ON_PODS & set(written)) - by_charts
