"""Codes of ``check --to-ambient``: what stands in the way of moving a namespace to Istio's ambient mode."""

from __future__ import annotations

from meshkit.codes.code import Code

_WAYPOINT = "Create a waypoint (a Gateway of class istio-waypoint) and label the Service or namespace with "
_WAYPOINT += "istio.io/use-waypoint"

MOVE_POLICY = Code(
    "MK2201",
    "error",
    "An AuthorizationPolicy has fields of HTTP or an action that ztunnel does not know.",
    "Once the sidecars are gone, ztunnel follows it: an ALLOW policy refuses up to every connection, others "
    "are not enforced as written.",
    f"{_WAYPOINT}, and write a policy with targetRefs for the Service before the move; take the selector's "
    "policy back once the sidecars are gone.",
)
MOVE_ROUTE = Code(
    "MK2202",
    "error",
    "A VirtualService or HTTPRoute routes requests to a Service that no waypoint serves. A warning for a "
    "VirtualService where one does.",
    "Callers of the ambient mode follow routes at waypoints only; Istio calls VirtualServices alpha there.",
    f"{_WAYPOINT}, and move a VirtualService to an HTTPRoute.",
    also="warning",
)
MOVE_TRAFFIC_POLICY = Code(
    "MK2203",
    "warning",
    "A DestinationRule sets a traffic policy for a Service that no waypoint serves.",
    "Load balancing, connection limits and outlier detection have no effect for callers of the ambient mode.",
    f"{_WAYPOINT}.",
)
MOVE_SUBSETS = Code(
    "MK2204",
    "warning",
    "A DestinationRule defines subsets.",
    "An HTTPRoute, the route that Istio supports at waypoints, splits requests between Services alone.",
    "Create a Service for each version before the routes are moved.",
)
MOVE_ENVOY_FILTER = Code(
    "MK2205",
    "error",
    "An EnvoyFilter changes the proxies of pods that are to lose them.",
    "ztunnel and waypoints ignore it, and nothing tells so.",
    "Replace it by Istio's own objects or by a WasmPlugin at a waypoint; where that is not enough, keep the "
    "sidecars.",
)
MOVE_WASM = Code(
    "MK2206",
    "error",
    "A WasmPlugin is for the sidecars of pods that are to lose them.",
    "ztunnel runs no plugins.",
    f"{_WAYPOINT}, and name the waypoint in targetRefs.",
)
MOVE_SIDECAR = Code(
    "MK2207",
    "warning",
    "A Sidecar limits what the sidecars of pods know or may call.",
    "It has no effect on pods without a sidecar: what it keeps them from calling, they can call.",
    "Limit the calls by AuthorizationPolicies at the servers or by NetworkPolicies.",
)
MOVE_PEER_AUTHENTICATION = Code(
    "MK2208",
    "error",
    "A PeerAuthentication has the mode DISABLE.",
    "The ambient mode does not turn mutual TLS off between its pods; plain text of others is accepted.",
    "Use PERMISSIVE, and check that callers outside the mesh still reach the port.",
)
MOVE_REQUEST_AUTHENTICATION = Code(
    "MK2209",
    "error",
    "A RequestAuthentication is for the sidecars of pods that are to lose them.",
    "ztunnel verifies no tokens: policies that ask for a token refuse every request.",
    f"{_WAYPOINT}, and name the Service or the waypoint in targetRefs.",
)
MOVE_TELEMETRY = Code(
    "MK2210",
    "warning",
    "A Telemetry selects sidecars of pods that are to lose them.",
    "ztunnel reports connections only; a waypoint follows a Telemetry that names it.",
    "Name the waypoint in targetRefs.",
)
MOVE_HOST_NETWORK = Code(
    "MK2220",
    "info",
    "Pods use the host's network.",
    "They stay outside the mesh, as before.",
    "Nothing is to be done.",
)
MOVE_OPTED_OUT = Code(
    "MK2221",
    "warning",
    "A workload refuses the sidecar, and would be in the ambient mode. An info where it refuses that too.",
    "The annotation and label that refuse a sidecar do not keep ztunnel from carrying its connections.",
    "To keep it outside, label its pods with istio.io/dataplane-mode=none.",
    also="info",
)
MOVE_ANNOTATIONS = Code(
    "MK2222",
    "info",
    "Pods have annotations for their sidecar. A warning for ports and addresses that it leaves out.",
    "They have no effect without a sidecar; ztunnel carries what they leave out.",
    "Remove them after the move; check that what they leave out works over ztunnel.",
    also="warning",
)
MOVE_RESTART = Code(
    "MK2223",
    "info",
    "Workloads of the namespace run a sidecar, which takes precedence over the ambient mode.",
    "Each pod moves when it is created again without one.",
    "First label the namespace with istio.io/dataplane-mode=ambient, then remove its injection label and "
    "restart its workloads one by one.",
)
MOVE_MACHINES = Code(
    "MK2224",
    "error",
    "A WorkloadEntry or WorkloadGroup brings machines outside the cluster into the mesh.",
    "The ambient mode has none.",
    "Keep the namespace of the machines on sidecars.",
)
MOVE_SPIRE = Code(
    "MK2225",
    "error",
    "Pods get their identity from SPIRE.",
    "ztunnel takes certificates from istiod only.",
    "Keep these namespaces on sidecars.",
)
MOVE_CLOSED_PORT = Code(
    "MK2226",
    "error",
    "A NetworkPolicy admits callers to some ports of pods, and not to port 15008.",
    "In the ambient mode every connection of the mesh arrives on port 15008, so these callers are cut off.",
    "Admit TCP port 15008 from the same callers before the move.",
)
MOVE_CALLERS = Code(
    "MK2227",
    "warning",
    "Callers with a sidecar bypass waypoints.",
    "The routes and policies of a waypoint do not hold for them.",
    "Move the namespaces of these callers first, or let both ways have the same policies meanwhile.",
)
MOVE_NOT_INSTALLED = Code(
    "MK2230",
    "error",
    "The cluster lacks a part of Istio that the ambient mode needs.",
    "Pods of the ambient mode would be outside the mesh.",
    "Install ztunnel and the CNI agent with the profile 'ambient' of Istio's charts.",
)
MOVE_NO_GATEWAY_API = Code(
    "MK2231",
    "error",
    "The Gateway API's definition of Gateways is not installed, and a waypoint is needed.",
    "A waypoint is a Gateway.",
    "Install the Gateway API.",
)
