"""Codes of Istio's ambient mode: what has no effect there, and what a move to it needs."""

from __future__ import annotations

from meshkit.codes.code import Code

POLICY_NEEDS_WAYPOINT = Code(
    "MK2101",
    "error",
    "An AuthorizationPolicy with fields of HTTP, or with action CUSTOM or AUDIT, selects pods of the ambient "
    "mode.",
    "ztunnel follows it and reads no HTTP: an ALLOW policy refuses what it should let in, up to every "
    "connection, and other policies are not enforced as written.",
    "Let a waypoint serve the Service (istio.io/use-waypoint), and name the Service in targetRefs instead of "
    "a selector.",
)
POLICY_WITHOUT_WAYPOINT = Code(
    "MK2102",
    "error",
    "An AuthorizationPolicy names a target that no waypoint serves.",
    "Nothing enforces it: sidecars and ztunnel ignore policies with targetRefs.",
    "Let a waypoint serve the Service (istio.io/use-waypoint), or correct the target.",
)
WAYPOINT_CANNOT_SERVE = Code(
    "MK2103",
    "error",
    "The label istio.io/use-waypoint names a waypoint that does not take these requests.",
    "They go to the pods directly, without the routes and policies of the waypoint.",
    "Create the waypoint, correct the label, or remove it.",
)
POD_NOT_CAPTURED = Code(
    "MK2104",
    "warning",
    "A pod is of the ambient mode by its labels, and Istio's CNI agent has not redirected its connections.",
    "It sends and takes plain text, as if it were outside the mesh.",
    "Check that the DaemonSets istio-cni-node and ztunnel run on its node, and look at their logs.",
)
ROUTE_NEEDS_WAYPOINT = Code(
    "MK2105",
    "warning",
    "A VirtualService or HTTPRoute is for a Service of the ambient mode that no waypoint serves.",
    "Callers of the ambient mode do not follow it; only callers with a sidecar do.",
    "Let a waypoint serve the Service (istio.io/use-waypoint).",
)
TWO_MODES = Code(
    "MK2106",
    "warning",
    "A namespace asks for the ambient mode and for sidecars.",
    "New pods get a sidecar, which takes precedence, and the ambient mode has no effect on them.",
    "Remove one of the two labels.",
)
NEEDS_WAYPOINT = Code(
    "MK2110",
    "error",
    "A planned Access with paths or methods, Route, DestinationPolicy or Release is for a Service of the "
    "ambient mode that no waypoint serves.",
    "ztunnel reads no HTTP: such an Access would refuse every request, and the others would have no effect.",
    "Let a waypoint serve the Service first: create a Gateway of class istio-waypoint and label the Service "
    "or namespace with istio.io/use-waypoint.",
)
SIDECAR_IN_AMBIENT = Code(
    "MK2111",
    "error",
    "A planned Injection is for a namespace of the ambient mode. A warning for single workloads that ask for "
    "the mode themselves.",
    "A sidecar takes its pod out of the ambient mode.",
    "Leave the pods without a sidecar, or remove the label istio.io/dataplane-mode first.",
    also="warning",
)
ROUTE_AT_WAYPOINT = Code(
    "MK2112",
    "warning",
    "A planned Route is for a Service whose requests a waypoint takes.",
    "Istio calls VirtualServices alpha at waypoints, and callers with a sidecar bypass the waypoint.",
    "Check with requests of every caller that the route holds.",
)
ACCESS_AT_WAYPOINT = Code(
    "MK2113",
    "warning",
    "A planned Access is for a Service whose requests a waypoint takes.",
    "The waypoint enforces it: callers with a sidecar, and requests to the address of a pod, bypass it.",
    "Move these callers to the ambient mode, or refuse everyone but the waypoint by a policy for the pods.",
)
RELEASE_NOT_MEASURED = Code(
    "MK2114",
    "error",
    "A Release is for a Service whose requests a waypoint takes. A warning where callers have sidecars.",
    "meshkit counts requests at the sidecars of callers; those of the ambient mode have none.",
    "Shift the weights without a Release, or give the callers sidecars.",
    also="warning",
)
MUTUAL_TLS_IN_AMBIENT = Code(
    "MK2115",
    "warning",
    "A planned MutualTLS of mode strict or disable is for pods of the ambient mode.",
    "ztunnel refuses plain text in strict mode, and meshkit does not read its counts; it does not follow "
    "disable.",
    "Look at ztunnel's logs for refused connections after the change.",
)
