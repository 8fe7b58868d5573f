"""Codes of annotations, Services and ServiceEntries, and of Istio's Gateways and Sidecars."""

from __future__ import annotations

from meshkit.codes.code import Code

IMAGE_NOT_REPLACED = Code(
    "MK0614",
    "error",
    "A container of the sidecar has the image 'auto', and no webhook replaces it. A warning for a "
    "workload's template.",
    "The pod cannot start, because there is no such image.",
    "Label the namespace or the pod for injection.",
    also="warning",
)
UNKNOWN_ANNOTATION = Code(
    "MK0615",
    "warning",
    "An object has an annotation of Istio that Istio does not know.",
    "It has no effect; often the name is misspelled.",
    "Correct the annotation.",
)
ANNOTATION_MISPLACED = Code(
    "MK0616",
    "warning",
    "An annotation of Istio is on a kind of object where Istio does not read it.",
    "It has no effect.",
    "Move it to the kind of object that the message names.",
)
ANNOTATION_INVALID = Code(
    "MK0617",
    "warning",
    "An annotation of Istio has a value that Istio cannot read.",
    "The webhook refuses the pod, or ignores the annotation.",
    "Correct the value.",
)
ANNOTATION_DEPRECATED = Code(
    "MK0618",
    "info",
    "An object has an annotation that Istio has deprecated.",
    "A later version may ignore it.",
    "Use what replaces it.",
)
PORT_PROTOCOLS_CLASH = Code(
    "MK0910",
    "warning",
    "Two Services select the same pods with the same port and different protocols.",
    "Istio can follow one of the two protocols only.",
    "Give the Services different ports, or the same protocol.",
)
TARGET_PORTS_CLASH = Code(
    "MK0911",
    "warning",
    "Two Services select the same pods and lead to one port of them by different ports.",
    "The sidecar of the server takes the policies of one of the two only.",
    "Use the same port in both Services.",
)
EXTERNAL_NAME_PORT = Code(
    "MK0912",
    "warning",
    "A port of a Service of type ExternalName is TCP, by its name or because it declares no protocol.",
    "Sidecars may send connections of other hosts on this port there.",
    "Name the port after its protocol, for example https-...",
)
ENTRY_WITHOUT_ADDRESSES = Code(
    "MK0913",
    "warning",
    "A ServiceEntry has a TCP port and no addresses.",
    "Sidecars cannot tell its connections from others on this port.",
    "Set addresses, or turn on automatic allocation of addresses.",
)
ENTRY_PROTOCOLS_CLASH = Code(
    "MK0914",
    "warning",
    "Two ServiceEntries declare one host and port with different protocols.",
    "Callers follow either of them.",
    "Declare the same protocol in both.",
)
GATEWAY_MISSING = Code(
    "MK1801",
    "error",
    "A VirtualService names a Gateway that does not exist.",
    "Its routes have no effect there.",
    "Correct the name; a Gateway of another namespace is named namespace/name.",
)
GATEWAY_SELECTS_NOTHING = Code(
    "MK1802",
    "warning",
    "A Gateway selects no pod.",
    "No proxy listens on its ports.",
    "Correct the selector, or install a gateway with these labels.",
)
GATEWAYS_CONFLICT = Code(
    "MK1803",
    "error",
    "Two Gateways of the same pods have a server for the same port and host.",
    "Istio follows one of the two only.",
    "Merge the two servers, or give them different hosts.",
)
GATEWAY_PORT_CLOSED = Code(
    "MK1804",
    "warning",
    "No Service of a Gateway's pods leads to the port of a server.",
    "Clients outside the cluster cannot reach it.",
    "Add the port to the Service of the gateway.",
)
GATEWAY_CERTIFICATE_SHARED = Code(
    "MK1805",
    "warning",
    "Two Gateways of the same pods present the same certificate.",
    "Browsers use one connection for the hosts of both, and get 404 for those of the other Gateway.",
    "Merge the servers into one Gateway, or use a certificate for each.",
)
HOST_NOT_IN_GATEWAY = Code(
    "MK1806",
    "warning",
    "No server of a Gateway accepts a host of the VirtualService that names it.",
    "Its routes have no effect there.",
    "Add the host to a server of the Gateway.",
)
GATEWAY_INTERNAL = Code(
    "MK1807",
    "warning",
    "A VirtualService names a Gateway that Istio makes from the Gateway API.",
    "Its name may change with any version of Istio.",
    "Write an HTTPRoute for that Gateway.",
)
SIDECARS_CONFLICT = Code(
    "MK2001",
    "error",
    "Two Sidecars apply to the same pods.",
    "Istio follows either of them.",
    "Keep one, or make their selectors distinct.",
)
SIDECAR_SELECTS_NOTHING = Code(
    "MK2002",
    "warning",
    "A Sidecar selects no pod.",
    "It has no effect; often a label is misspelled.",
    "Correct the selector.",
)
SIDECAR_WITHOUT_EFFECT = Code(
    "MK2003",
    "warning",
    "A Sidecar applies to pods or a namespace of the ambient mode.",
    "These pods have no sidecar, so it has no effect.",
    "Remove it.",
)
TELEMETRIES_CONFLICT = Code(
    "MK2004",
    "error",
    "Two Telemetries apply to the same pods.",
    "Istio follows either of them.",
    "Keep one, or make their selectors distinct.",
)
TELEMETRY_SELECTS_NOTHING = Code(
    "MK2005",
    "warning",
    "A Telemetry selects no pod.",
    "It has no effect; often a label is misspelled.",
    "Correct the selector.",
)
TELEMETRY_WITHOUT_PROVIDER = Code(
    "MK2006",
    "warning",
    "A Telemetry turns on access logs without naming a provider, and the mesh has no default provider.",
    "Istio ignores it: nothing is logged.",
    "Name a provider.",
)
SIDECAR_HOST_UNKNOWN = Code(
    "MK2007",
    "warning",
    "A Sidecar imports a host that no Service, ServiceEntry or VirtualService of the named namespace has.",
    "Its pods do not see the host that is meant, and their requests for it go unrouted or are refused.",
    "Write namespace/host with the complete host, for example shop/web.shop.svc.cluster.local or shop/*.",
)
ENVOY_FILTER_RELATIVE = Code(
    "MK2010",
    "warning",
    "An EnvoyFilter changes something relative to other filters and has no priority.",
    "It has no effect when it is applied before what it refers to.",
    "Set a priority, or use INSERT_FIRST or ADD.",
)
ENVOY_FILTER_RELATIVE_BY_VERSION = Code(
    "MK2011",
    "warning",
    "An EnvoyFilter for a version of the proxy changes something relative to other filters and has no "
    "priority.",
    "It may have no effect during an upgrade.",
    "Set a priority, or use INSERT_FIRST or ADD.",
)
ENVOY_FILTER_REPLACE = Code(
    "MK2012",
    "error",
    "An EnvoyFilter uses REPLACE on what cannot be replaced.",
    "Istio ignores the patch.",
    "Use REPLACE for HTTP_FILTER, NETWORK_FILTER and VIRTUAL_HOST only.",
)
ENVOY_FILTER_ADD = Code(
    "MK2013",
    "error",
    "An EnvoyFilter uses ADD on ROUTE_CONFIGURATION or HTTP_ROUTE.",
    "Istio ignores the patch.",
    "Use MERGE or INSERT_FIRST.",
)
ENVOY_FILTER_REMOVE = Code(
    "MK2014",
    "error",
    "An EnvoyFilter uses REMOVE on ROUTE_CONFIGURATION or HTTP_ROUTE.",
    "Istio ignores the patch.",
    "Remove the route where it is written.",
)
