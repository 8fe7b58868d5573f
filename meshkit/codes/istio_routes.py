"""Codes of VirtualServices and DestinationRules, and of their policies for mutual TLS and access."""

from __future__ import annotations

from meshkit.codes.code import Code

DESTINATION_HOST_UNKNOWN = Code(
    "MK0220",
    "error",
    "A VirtualService sends traffic to a host that no Service and no ServiceEntry has. A warning where "
    "only some callers do not see the host.",
    "These requests fail with status 503.",
    "Correct the host: a name without dots is a Service of the VirtualService's namespace, any other "
    "name must be complete.",
    also="warning",
)
DESTINATION_PORT_UNKNOWN = Code(
    "MK0221",
    "error",
    "A VirtualService sends traffic to a port that its destination does not have. A warning where it is "
    "so for some callers only.",
    "These requests fail with status 503.",
    "Name a port of the Service or ServiceEntry.",
    also="warning",
)
DESTINATION_PORT_MISSING = Code(
    "MK0222",
    "warning",
    "A destination with several ports is named without a port.",
    "Istio takes the port of the request, and requests to a port that the destination lacks fail with 503.",
    "Name the port in the destination.",
)
DELEGATE_UNKNOWN = Code(
    "MK0223",
    "error",
    "A VirtualService delegates to one that does not exist, has hosts of its own, or is not exported to it.",
    "The route has no effect, so later routes or the Service itself answer.",
    "Create the delegate without hosts, correct its name and namespace, or export it to this namespace.",
)
DELEGATE_MATCH_CONFLICT = Code(
    "MK0224",
    "warning",
    "A match of a delegate does not fit within the match of the route that delegates to it.",
    "Istio leaves the route of the delegate out.",
    "Narrow the match of the delegate, so that it is contained in the other.",
)
ROUTE_UNREACHABLE = Code(
    "MK0225",
    "warning",
    "A route of a VirtualService is never used, because earlier routes take all of its requests.",
    "Its timeouts, retries and destinations have no effect.",
    "Move the route before the more general one, or remove it.",
)
MATCH_DUPLICATE = Code(
    "MK0226",
    "info",
    "A match of a VirtualService repeats a match of an earlier route.",
    "The earlier route takes these requests, so this match has no effect.",
    "Remove one of the two matches.",
)
ROUTE_FOR_UNKNOWN_HOST = Code(
    "MK0227",
    "info",
    "A VirtualService for sidecars names a host that no Service and no ServiceEntry has.",
    "Sidecars follow it for plain HTTP on port 80 only, and for no other port.",
    "Correct the host, or register it with a ServiceEntry.",
)
RULE_FOR_UNKNOWN_HOST = Code(
    "MK0228",
    "warning",
    "A DestinationRule names a host that no Service and no ServiceEntry has.",
    "The rule has no effect.",
    "Correct the host: a name without dots is a Service of the rule's namespace, any other name must be "
    "complete.",
)
SUBSET_SELECTS_NOTHING = Code(
    "MK0229",
    "warning",
    "A subset of a DestinationRule selects no pod, and no VirtualService sends traffic to it.",
    "A route to it would fail with status 503; often a label is misspelled.",
    "Correct the labels of the subset, or remove it.",
)
DUPLICATE_SUBSET = Code(
    "MK0230",
    "warning",
    "A subset is defined twice for one host.",
    "Istio follows the definition in the oldest rule and ignores the others.",
    "Keep one definition.",
)
RIVAL_TRAFFIC_POLICY = Code(
    "MK0237",
    "warning",
    "The trafficPolicy of a DestinationRule holds for no caller, because of another rule for the same host.",
    "Istio merges rules that are exported to the same namespaces, and the oldest policy holds; of rules that "
    "it does not merge the youngest holds alone.",
    "Put both policies into one rule.",
)
INVALID_ROUTE = Code(
    "MK0232",
    "error",
    "A route of a VirtualService is not valid.",
    "Istio rejects the object or ignores the route.",
    "Correct the field that the message names.",
)
EXPORTED_TO_UNKNOWN_NAMESPACE = Code(
    "MK0233",
    "warning",
    "An object is exported to a namespace that does not exist.",
    "No caller there sees it; often the name is misspelled.",
    "Correct exportTo.",
)
SUBSET_BYPASSED = Code(
    "MK0234",
    "info",
    "A VirtualService of a gateway sends traffic to a host without a subset, while another "
    "VirtualService routes that host to subsets.",
    "Routes for sidecars have no effect on requests that a gateway sends, so these reach every version.",
    "Name the subsets in the VirtualService of the gateway too.",
)
CLAIM_WITHOUT_AUTHENTICATION = Code(
    "MK0235",
    "error",
    "A VirtualService routes by a claim of a token, and no RequestAuthentication applies to its gateway.",
    "No claim is ever read there, so the match never holds.",
    "Add a RequestAuthentication for the pods of the gateway.",
)
DEPRECATED_FIELD = Code(
    "MK0236",
    "info",
    "An object uses a field that Istio has deprecated.",
    "Istio ignores the field, or may do so in a later version.",
    "Use the field that the message names.",
)
MUTUAL_TLS_TO_PLAINTEXT = Code(
    "MK0704",
    "error",
    "A DestinationRule makes clients send mutual TLS to servers none of which accepts it.",
    "These requests fail with status 503.",
    "Remove tls from the DestinationRule: Istio chooses mutual TLS by itself.",
)
POLICY_SELECTS_NOTHING = Code(
    "MK0705",
    "warning",
    "A policy selects no pod of the mesh.",
    "It has no effect; often a label is misspelled.",
    "Correct the selector, or remove the policy.",
)
POLICY_NAMES_UNKNOWN = Code(
    "MK0706",
    "warning",
    "An AuthorizationPolicy names a namespace or ServiceAccount that does not exist.",
    "No caller can have that name, so the rule lets nobody in, or keeps nobody out.",
    "Correct the name.",
)
SERVER_NOT_VERIFIED = Code(
    "MK0707",
    "warning",
    "A DestinationRule sends TLS without verifying the certificate of the server.",
    "Anybody on the way can answer in place of the server.",
    "Remove insecureSkipVerify, and set caCertificates if the server has a CA of its own.",
)
SELECTOR_WITHOUT_EFFECT = Code(
    "MK0708",
    "warning",
    "A policy has a selector that Istio does not follow.",
    "Istio ignores the selector of policies for pods of a Gateway of the Gateway API, and a "
    "PeerAuthentication with a selector in the root namespace.",
    "Use targetRefs for gateways; write a PeerAuthentication in the namespace of the pods.",
)
JWKS_UNRESTRICTED = Code(
    "MK0709",
    "info",
    "RequestAuthentications exist, and istiod may fetch keys from any address.",
    "Who may write a RequestAuthentication can make istiod send requests to internal addresses.",
    "Set BLOCKED_CIDRS_IN_JWKS_URIS on istiod.",
)
HTTP_ROUTE_ON_TCP = Code(
    "MK0238",
    "warning",
    "A VirtualService has http routes for a port that Istio reads as TCP.",
    "The routes have no effect on that port.",
    "If the port speaks HTTP, set appProtocol: http on it in the Service; else remove the routes.",
)
HTTP_POLICY_ON_TCP = Code(
    "MK0710",
    "warning",
    "An AuthorizationPolicy has fields of HTTP and reaches a port that Istio reads as TCP.",
    "A DENY rule without these fields refuses more than it says, and an ALLOW rule with them lets nobody in.",
    "Name the HTTP ports of the rule in to.operation.ports.",
)
METHOD_UNKNOWN = Code(
    "MK0711",
    "warning",
    "An AuthorizationPolicy names a method that HTTP does not have.",
    "Methods are compared with regard to case, so the rule lets nobody in, or keeps nobody out.",
    "Write the method in capitals: GET. All calls of gRPC have the method POST; their names are paths.",
)
POLICY_HOST_UNKNOWN = Code(
    "MK0712",
    "warning",
    "An AuthorizationPolicy names a host of the cluster that does not exist.",
    "No request has that host, so the rule lets nobody in, or keeps nobody out.",
    "Correct the host. It is compared with the request's own, so name each form that callers use.",
)
IDENTITY_WITHOUT_TLS = Code(
    "MK0713",
    "error",
    "An AuthorizationPolicy asks for identities of callers that send no mutual TLS.",
    "A caller without mutual TLS has no identity: ALLOW lets none of them in, and DENY refuses none of them.",
    "Turn mutual TLS on for these callers and ports, or write the rule without identities.",
)
STRICT_WITHOUT_TLS = Code(
    "MK0714",
    "error",
    "Sidecars send plaintext to a port that accepts mutual TLS only, because automatic mutual TLS is off for "
    "its host.",
    "These requests fail with status 503.",
    "Turn enableAutoMtls on in the mesh config, and let no PeerAuthentication of the namespace have mode "
    "DISABLE; or write a DestinationRule with tls mode ISTIO_MUTUAL.",
)
