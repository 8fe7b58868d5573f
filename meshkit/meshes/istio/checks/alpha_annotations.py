"""Checks for alpha annotations of Istio, which the next version may not support."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import annotations_of
from meshkit.meshes.view import View

_TEMPLATES = "inject.istio.io/templates"
_ALPHA_ELSEWHERE = {
    *("networking.istio.io/exportTo", "networking.istio.io/traffic-distribution"),
    *("istio.io/use-waypoint-canary-weight", "topology.istio.io/controlPlaneClusters"),
    *("alpha.istio.io/kubernetes-serviceaccounts", "alpha.istio.io/canonical-serviceaccounts"),
}
_ALPHA_ON_PODS = {
    *("prometheus.istio.io/merge-metrics", "proxy.istio.io/overrides", _TEMPLATES),
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
"""The alpha annotations of Istio's API (annotation/annotations.yaml of 1.31), without Istio's own."""


def check(view: View) -> Iterator[Finding]:
    """Find the alpha annotations that users set, by namespace.

    It reads pod templates and not pods, because Istio adds annotations to pods.
    """
    used: dict[str, set[str]] = defaultdict(set)
    for kind in ("Namespace", "Service"):
        for obj in view.of(kind):
            namespace = obj["metadata"].get("namespace", obj["metadata"]["name"])
            used[namespace] |= _ALPHA_ELSEWHERE & set(annotations_of(obj))
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for workload in view.of(kind):
            used[workload["metadata"]["namespace"]] |= _on_template(workload)
    for namespace, keys in sorted(used.items()):
        if keys and namespace != view.home:
            message = f"alpha annotations of Istio are in use: {', '.join(sorted(keys))}."
            yield codes.finding(codes.ALPHA_ANNOTATIONS, f"Namespace {namespace}", message)


def _on_template(workload: Object) -> set[str]:
    on_template = annotations_of(workload["spec"].get("template") or {})
    by_charts = {_TEMPLATES} if on_template.get(_TEMPLATES) == "gateway" else set()
    return (_ALPHA_ON_PODS & set(on_template)) - by_charts
