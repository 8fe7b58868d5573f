"""Codes of Gateway API routes and of Linkerd's access policies: what of them has no effect."""

from __future__ import annotations

from meshkit.codes.code import Code

ROUTE_SHADOWED = Code(
    "MK0250",
    "warning",
    "A route of Gateway API has no effect on a port, because one before it takes all its requests.",
    "Of two routes that match alike, meshes follow the older one.",
    "Put the rules of both into one route, or give this one a more specific match.",
)
RULE_SHADOWED = Code(
    "MK0251",
    "warning",
    "A rule of a route takes no request, because a rule before it takes them all.",
    "Rules are ordered by matches, not by place: exact paths, longer ones, methods, headers, then age.",
    "Give the rule a more specific match, or remove it.",
)
BACKEND_PORT_MISSING = Code(
    "MK0252",
    "error",
    "A route sends traffic to a port that the Service does not have.",
    "Istio answers these requests with 500. Linkerd sends them to the port of that number of the pods.",
    "Name a port of the Service, not of its pods.",
)
BACKEND_KIND_UNKNOWN = Code(
    "MK0253",
    "error",
    "A route sends traffic to a kind that cannot be a backend.",
    "These requests fail with status 500.",
    'Name a Service: kind: Service, group: "".',
)
ROUTE_PARENT_MISSING = Code(
    "MK0254",
    "error",
    "A route names a parent that does not exist.",
    "The route has no effect.",
    "Correct the name and the namespace of the parent, or create it.",
)
ROUTE_PARENT_PORT_MISSING = Code(
    "MK0255",
    "error",
    "A route names a port that its parent does not have.",
    "The route has no effect there.",
    "Name a port of the Service, or leave the port out for all of them.",
)
ROUTE_PARENT_KIND_UNKNOWN = Code(
    "MK0256",
    "error",
    "A route names a parent that takes no routes: of another kind, or a headless Service for Linkerd.",
    "The route has no effect.",
    'Name a Service with a cluster address, with kind: Service and group: "", or a Gateway.',
)
ROUTE_WITHOUT_PARENT = Code(
    "MK0257",
    "warning",
    "A route names no parent.",
    "The route has no effect.",
    "Name the Service or the Gateway that the route is for.",
)
ROUTE_ON_OPAQUE_PORT = Code(
    "MK0258",
    "warning",
    "A route is attached to a port that Linkerd takes for plain TCP.",
    "Linkerd sends the connections to the Service itself, and the route has no effect.",
    "If the port speaks HTTP, take it off the opaque ports of the Service, with appProtocol http or none.",
)
ROUTE_UNDER_SERVICE_PROFILE = Code(
    "MK0259",
    "warning",
    "A route has no effect, because a ServiceProfile rules its Service.",
    "Linkerd's proxies follow the ServiceProfile, and no route, timeout, retry or circuit breaker beside it.",
    "Move what the ServiceProfile says into routes. Without routes and dstOverrides it rules no longer.",
)
ROUTE_DROPPED = Code(
    "MK0260",
    "error",
    "Linkerd drops a whole route, for a filter it does not know or an annotation it cannot read.",
    "The status of the route remains Accepted, and requests go to the Service itself.",
    "Correct what the message names.",
)
ROUTE_TIMEOUT_VOID = Code(
    "MK0261",
    "warning",
    "Linkerd cannot read a timeout of a route.",
    "There is no timeout.",
    "Write one whole number and one unit: 1500ms instead of 1s500ms.",
)
ROUTE_KIND_NOT_SERVED = Code(
    "MK0262",
    "warning",
    "Linkerd serves another kind of route on the port of this one.",
    "One kind is served on a port: GRPCRoutes before HTTPRoutes, and HTTPRoutes alone with appProtocol http.",
    "Use one kind of route for the port.",
)
ROUTE_FIELD_IGNORED = Code(
    "MK0263",
    "warning",
    "Linkerd ignores a field of a route, or takes it for another.",
    "The route does less than it says.",
    "Use what Linkerd has for it: the annotations retry.linkerd.io and timeout.linkerd.io.",
)
SERVICE_ANNOTATION_UNREADABLE = Code(
    "MK0264",
    "warning",
    "Linkerd cannot read an annotation of a Service.",
    "The Service has no timeout, retries or circuit breaker.",
    "Write whole numbers, and durations as one number and one unit: 1500ms.",
)
ROUTED_BY_TWO_APIS = Code(
    "MK0265",
    "warning",
    "A VirtualService and a route of Gateway API are for one Service, and one of them has no effect.",
    "Istio does not merge the two. The older one rules the Service, but for a route of Gateway API in the "
    "namespace of the caller, which comes first.",
    "Write all rules of the Service in one of the two APIs.",
)
SERVER_SELECTS_NOTHING = Code(
    "MK1901",
    "warning",
    "A Server selects no port of any pod with a proxy.",
    "It rules nothing.",
    "Correct its podSelector or port.",
)
SERVER_CONFLICT = Code(
    "MK1902",
    "warning",
    "Two Servers select one port of a pod.",
    "Linkerd follows one of them, and its webhook refuses the second.",
    "Let one Server select the port.",
)
SERVER_REFUSES_ALL = Code(
    "MK1903",
    "warning",
    "A Server closes a port, and no policy lets anybody in.",
    "All requests but kubelet's probes are refused with status 403.",
    "Add an AuthorizationPolicy for the Server, or set its accessPolicy.",
)
POLICY_TARGET_MISSING = Code(
    "MK1904",
    "warning",
    "An AuthorizationPolicy targets what does not exist.",
    "It lets nobody in.",
    "Correct its targetRef, or create the target.",
)
POLICY_IGNORED = Code(
    "MK1905",
    "error",
    "Linkerd leaves out an AuthorizationPolicy, because it names an authentication that does not exist.",
    "Callers that it should let in are refused.",
    "Create the authentication that the message names.",
)
IDENTITY_MISSING = Code(
    "MK1906",
    "warning",
    "A policy names a ServiceAccount or a Namespace that does not exist.",
    "No caller has that identity.",
    "Correct the name and the namespace.",
)
POLICY_UNREADABLE = Code(
    "MK1907",
    "error",
    "The cluster holds a policy that Linkerd's webhook refuses.",
    "It came in while the webhook was missing or down, and Linkerd's policy controller leaves it out.",
    "Correct the field that the message names.",
)
RATE_LIMIT_IGNORED = Code(
    "MK1908",
    "warning",
    "An HTTPLocalRateLimitPolicy limits nothing.",
    "Its Server does not exist, has a port of plain TCP, or has an older policy, which alone counts.",
    "Correct its targetRef, or put the limits into the older policy.",
)
