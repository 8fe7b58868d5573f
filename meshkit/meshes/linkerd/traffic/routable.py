"""Refuse what Linkerd would not carry out: fields that it lacks, and rules that it would not follow.

It follows none on opaque ports and beside a ServiceProfile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshkit.errors import BadInput, UnsupportedByMesh
from meshkit.facts import Object, Snapshot
from meshkit.intent.base import kind
from meshkit.intent.destination import DestinationPolicy
from meshkit.intent.edges.exposure import Exposure
from meshkit.intent.release import Release
from meshkit.intent.traffic import Route
from meshkit.meshes.linkerd.meaning import protocols, services
from meshkit.meshes.model.pods import port_numbers
from meshkit.meshes.routing.capabilities import Limits

_REMEDY = (
    f"If the port speaks HTTP, list the opaque ports without it in {protocols.OPAQUE} of the Service,"
    " and leave appProtocol out or set it to http; else leave the rules out."
)
_WHOLE_ROUTE = "Linkerd drops a whole route with this filter."
_FASTEST = "Leave it out: Linkerd always prefers the pods that answer fastest."
_ZONES = "Set trafficDistribution: PreferClose in the Service: Linkerd then prefers the caller's zone."
_EVERY_REQUEST = "Leave it out: Linkerd looks at every request and may set all pods aside."
_HEADERS = "Set a header in the calling program and match it with exact or regex."

_OF_DESTINATIONS: Limits = {
    "connection_limits": "Use outlier_detection, or leave it out. The time to connect is the annotation "
    "config.linkerd.io/proxy-outbound-connect-timeout of the callers' pods.",
    "load_balancing.algorithm": _FASTEST,
    "load_balancing.hash_header": _FASTEST,
    "load_balancing.hash_cookie": _FASTEST,
    "load_balancing.hash_query": _FASTEST,
    "load_balancing.hash_source": _FASTEST,
    "load_balancing.warm_up_s": _FASTEST,
    "load_balancing.failover": _ZONES,
    "load_balancing.distribute": _ZONES,
    "outlier_detection.interval_s": _EVERY_REQUEST,
    "outlier_detection.max_ejection_percent": _EVERY_REQUEST,
    "outlier_detection.consecutive_gateway_errors": "Use consecutive_5xx: Linkerd counts every 5xx.",
    "outlier_detection.consecutive_local_failures": "Use consecutive_5xx: Linkerd counts every 5xx, and "
    "sends nothing to a pod that it cannot connect to.",
    "outlier_detection.min_healthy_percent": _EVERY_REQUEST,
}
"""What Routes and DestinationPolicies have in common."""
_OTHER_GATEWAY = (
    "Run an ingress controller or a controller of Gateway API of another project, let Linkerd inject its"
    " pods, and configure it by its own objects: Linkerd treats its requests like those of any caller."
)
EXPOSURE_LIMITS: Limits = {
    **dict.fromkeys(Exposure.model_fields, "See hosts."),
    "hosts": _OTHER_GATEWAY,
}
"""All fields of an Exposure: Linkerd has no gateway."""
LIMITS: Limits = {
    "protocol: tcp": "Let callers name the Service of a version. Linkerd splits connections by TCPRoutes in a"
    " version of Gateway API (v1alpha2) that newer definitions do not serve.",
    "fault": "Send a share to a version that fails on purpose instead.",
    **_OF_DESTINATIONS,
    "retries.backoff_s": "Leave it out: Linkerd retries at once.",
    "rules[].retries": "Set retries of the route: Linkerd has retries for whole routes only.",
    "rules[].fault": "Send a share to a version that fails on purpose instead.",
    "rules[].respond": "Send these requests to a Service that answers so.",
    "rules[].rewrite": f"Let the destination take the path as it is asked for: {_WHOLE_ROUTE}",
    "rules[].mirror": f"Send a share of the requests there instead: {_WHOLE_ROUTE}",
    "rules[].cors": "Let the destination answer cross-origin requests.",
    "rules[].services[].namespace": "Name a Service of the route's own namespace.",
    "rules[].redirect.status: 303": "Use 301 or 302.",
    "rules[].redirect.status: 307": "Use 301 or 302.",
    "rules[].redirect.status: 308": "Use 301 or 302.",
    "rules[].matches[].source_labels": _HEADERS,
    "rules[].matches[].source_namespace": _HEADERS,
    "rules[].matches[].headers.*.prefix": "Use regex, such as 'beta-.*'.",
    "rules[].matches[].headers.*.present: False": "Put a rule for requests that have the header before it.",
    "rules[].matches[].query.*.prefix": "Use regex, such as 'beta-.*'.",
    "rules[].matches[].query.*.present: False": "Put a rule for requests that have the parameter before it.",
}
"""The fields of a Route that Linkerd cannot carry out, each with what it can do instead."""
POLICY_LIMITS: Limits = {
    "port": "Leave it out: Linkerd has one circuit breaker for all ports of a Service.",
    "tls": "Let the calling program speak TLS: Linkerd's proxy passes it on as it is.",
    "callers": "Leave it out: Linkerd's circuit breaker is for every caller.",
    **_OF_DESTINATIONS,
}
"""The fields of a DestinationPolicy that Linkerd cannot carry out, likewise."""


def refuse_void(intent: Route | Release | DestinationPolicy, snapshot: Snapshot) -> None:
    """Raise ``BadInput`` for an intent that Linkerd would accept and not follow."""
    asked = intent.host if isinstance(intent, DestinationPolicy) else intent.service
    service = snapshot.find("Service", asked, intent.namespace)
    if service is None:
        return
    what, name = kind(type(intent)), f"{intent.namespace}/{asked}"
    ports = list(_ports(service, intent.port))
    void = {int(port["port"]): why for port in ports if (why := services.opaque_reason(service, port))}
    if void and len(void) == len(ports):
        number, why = next(iter(void.items()))
        problem = (
            f"Linkerd takes port {number} of Service {name} for plain TCP because of {why}:"
            f" the {what} would have no effect."
        )
        raise BadInput(f"{what}.port", problem, remedy=_REMEDY)
    for profile in _profiles(service, snapshot):
        problem = (
            f"ServiceProfile {profile['metadata']['namespace']}/{profile['metadata']['name']} rules Service"
            f" {name}: Linkerd's proxies follow it, and the {what} would have no effect."
        )
        remedy = "Move its retries and timeouts into a Route. Without routes and dstOverrides it is void."
        field = "host" if isinstance(intent, DestinationPolicy) else "service"
        raise BadInput(f"{what}.{field}", problem, remedy=remedy)


def _ports(service: Object, number: int | None) -> Iterator[Mapping[str, Any]]:
    for port in service["spec"].get("ports") or ():
        if number in (None, port["port"]):
            yield port


def _profiles(service: Object, snapshot: Snapshot) -> Iterator[Object]:
    """The ServiceProfiles that rule a Service for all its callers."""
    for profile in snapshot.of("ServiceProfile", service["metadata"]["namespace"]):
        if profile["metadata"]["name"] == services.profile_name(service) and services.is_active(profile):
            yield profile


def opaque_reason(service: Object, port: Mapping[str, Any], pods: tuple[Object, ...]) -> str:
    """Why the callers' or the servers' proxies take a port of a Service for plain TCP; empty if none does."""
    if why := services.opaque_reason(service, port):
        return why
    for pod in pods:
        target = port.get("targetPort") or port["port"]
        if any(protocols.of_pod(pod, number) == "tcp" for number in port_numbers(pod, target)):
            return f"the opaque ports of pod {pod['metadata']['name']}"
    return ""


def cannot_expose() -> UnsupportedByMesh:
    """The error for an Exposure."""
    return UnsupportedByMesh(kind(Exposure), "Linkerd has no gateway of its own.", remedy=_OTHER_GATEWAY)
