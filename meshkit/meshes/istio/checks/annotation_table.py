"""The annotations of Istio 1.31's API (annotation/annotations.yaml), and where they are read."""

from __future__ import annotations

from collections.abc import Mapping

_BY_KINDS = {
    "Any": """
        galley.istio.io/analyze-suppress
        gateway.istio.io/controller-version
    """,
    "AuthorizationPolicy": """
        istio.io/dry-run
    """,
    "Gateway": """
        gateway.istio.io/name-override
        gateway.istio.io/service-account
        networking.istio.io/service-type
    """,
    "Gateway GatewayClass": """
        ambient.istio.io/waypoint-inbound-binding
    """,
    "Ingress": """
        kubernetes.io/ingress.class
    """,
    "Namespace": """
        topology.istio.io/controlPlaneClusters
    """,
    "Namespace Service ServiceEntry": """
        istio.io/use-waypoint-canary-weight
        networking.istio.io/traffic-distribution
    """,
    "Pod": """
        ambient.istio.io/bypass-inbound-capture
        ambient.istio.io/dns-capture
        ambient.istio.io/redirection
        inject.istio.io/templates
        istio.io/reroute-virtual-interfaces
        istio.io/rev
        prometheus.istio.io/merge-metrics
        proxy.istio.io/config
        proxy.istio.io/overrides
        readiness.status.sidecar.istio.io/applicationPorts
        readiness.status.sidecar.istio.io/failureThreshold
        readiness.status.sidecar.istio.io/initialDelaySeconds
        readiness.status.sidecar.istio.io/periodSeconds
        sidecar.istio.io/agentLogLevel
        sidecar.istio.io/bootstrapOverride
        sidecar.istio.io/componentLogLevel
        sidecar.istio.io/discoveryAddress
        sidecar.istio.io/extraStatTags
        sidecar.istio.io/inject
        sidecar.istio.io/interceptionMode
        sidecar.istio.io/logLevel
        sidecar.istio.io/nativeSidecar
        sidecar.istio.io/proxyCPU
        sidecar.istio.io/proxyCPULimit
        sidecar.istio.io/proxyImage
        sidecar.istio.io/proxyImageType
        sidecar.istio.io/proxyMemory
        sidecar.istio.io/proxyMemoryLimit
        sidecar.istio.io/rewriteAppHTTPProbers
        sidecar.istio.io/statsCompression
        sidecar.istio.io/statsEvictionInterval
        sidecar.istio.io/statsFlushInterval
        sidecar.istio.io/statsHistogramBins
        sidecar.istio.io/statsHistogramBuckets
        sidecar.istio.io/statsInclusionPrefixes
        sidecar.istio.io/statsInclusionRegexps
        sidecar.istio.io/statsInclusionSuffixes
        sidecar.istio.io/status
        sidecar.istio.io/userVolume
        sidecar.istio.io/userVolumeMount
        status.sidecar.istio.io/port
        traffic.sidecar.istio.io/excludeInboundPorts
        traffic.sidecar.istio.io/excludeInterfaces
        traffic.sidecar.istio.io/excludeOutboundIPRanges
        traffic.sidecar.istio.io/excludeOutboundPorts
        traffic.sidecar.istio.io/includeInboundPorts
        traffic.sidecar.istio.io/includeOutboundIPRanges
        traffic.sidecar.istio.io/includeOutboundPorts
        traffic.sidecar.istio.io/kubevirtInterfaces
    """,
    "Service": """
        alpha.istio.io/canonical-serviceaccounts
        alpha.istio.io/kubernetes-serviceaccounts
        networking.istio.io/exportTo
        traffic.istio.io/nodeSelector
    """,
    "WorkloadEntry": """
        istio.io/autoRegistrationGroup
        istio.io/connectedAt
        istio.io/disconnectedAt
        istio.io/workloadController
    """,
}
KINDS: Mapping[str, frozenset[str]] = {
    name: frozenset(kinds.split()) for kinds, names in _BY_KINDS.items() for name in names.split()
}
"""Annotation -> the kinds of objects that Istio reads it on; ``Any`` is every kind."""
DEPRECATED = frozenset(
    {
        "alpha.istio.io/canonical-serviceaccounts",
        "alpha.istio.io/kubernetes-serviceaccounts",
        "sidecar.istio.io/discoveryAddress",
        "sidecar.istio.io/extraStatTags",
        "sidecar.istio.io/inject",
        "sidecar.istio.io/statsCompression",
        "sidecar.istio.io/statsInclusionPrefixes",
        "sidecar.istio.io/statsInclusionRegexps",
        "sidecar.istio.io/statsInclusionSuffixes",
        "traffic.sidecar.istio.io/kubevirtInterfaces",
    }
)
SET_BY_ISTIO = frozenset({"sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"})
"""Annotations that Istio itself writes."""
