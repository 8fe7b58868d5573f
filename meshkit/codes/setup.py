"""Codes of the stages of the guided setup."""

from __future__ import annotations

from meshkit.codes.code import Code

SETUP_NAMESPACE_MISSING = Code(
    "MK1701",
    "error",
    "The namespace that the guided setup is for does not exist.",
    "Its later stages have nothing to change.",
    "Create the namespace, or name another.",
)
COMPONENT_UNAVAILABLE = Code(
    "MK1711",
    "error",
    "A Deployment of the control plane does not have all of its replicas available.",
    "New pods of meshed namespaces may have to wait until it is back.",
    "Look at the events of its pods.",
)
INJECTOR_UNTRUSTED = Code(
    "MK1712",
    "error",
    "The injection webhook has no CA yet.",
    "The API server cannot call the injector, so it refuses new pods.",
    "The control plane writes the CA: look at its logs.",
)
WORKLOAD_OPTED_OUT = Code(
    "MK1721",
    "warning",
    "A workload refuses the sidecar.",
    "Its calls are refused once mutual TLS is strict.",
    "Remove what refuses the sidecar, or keep the workload outside the mesh.",
)
POD_WITHOUT_OWNER = Code(
    "MK1722",
    "warning",
    "Pods without a sidecar have no Deployment, StatefulSet or DaemonSet that could restart them.",
    "Only a new pod gets a sidecar.",
    "Delete the pods; create those again that have no controller.",
)
ALL_CALLS_ENCRYPTED = Code(
    "MK1730",
    "info",
    "All observed calls use mutual TLS.",
    "Strict mutual TLS would refuse none of the observed callers.",
    "A caller that is rarer than the window is not seen: measure for as long as your rarest caller needs.",
)
PLAINTEXT_CALLS = Code(
    "MK1731",
    "warning",
    "A server was called in plain text. Information only where the calls are not recent.",
    "Strict mutual TLS would refuse these calls.",
    "Inject a sidecar into the caller before mutual TLS becomes strict.",
    also="info",
)
CONNECTIONS_REFUSED = Code(
    "MK1732",
    "warning",
    "A server refuses connections because they do not use mutual TLS.",
    "The callers get errors now.",
    "Inject a sidecar into the callers, or go back to permissive.",
)
CALLS_NOT_MEASURED = Code(
    "MK1733",
    "warning",
    "The calls in the namespace have not been measured yet.",
    "Plaintext calls are known only after the second reading of the sidecars.",
    "Wait for the second reading.",
)
NO_CALLS_SEEN = Code(
    "MK1734",
    "warning",
    "No call was observed in the window.",
    "Without traffic it is unknown whether strict is safe: a caller without a sidecar may come later.",
    "Send the traffic of a usual day first, or accept explicitly that callers may be refused.",
)
SIDECARS_SILENT = Code(
    "MK1735",
    "warning",
    "Some sidecars did not answer when their counters were read.",
    "Their callers are not counted.",
    "Check that the API server can reach these pods.",
)
REFUSALS_NOT_SHOWN = Code(
    "MK1736",
    "warning",
    "The sidecar of a server does not expose the connections that it refuses.",
    "Callers that are refused there are not seen. Only plaintext calls that end tell of them.",
    "A control plane of meshkit has the setting. Add it to the mesh config of another one, or to the pods as"
    " the annotation proxy.istio.io/config, then restart the pods.",
)
NOTHING_TO_VERIFY = Code(
    "MK1751",
    "warning",
    "The namespace has no traffic to verify the mesh with.",
    "Without traffic the mesh is not verified.",
    "Send some requests.",
)
REQUESTS_UNANSWERED = Code(
    "MK1752",
    "error",
    "Requests of meshed callers got no answer.",
    "Users of the namespace see errors now.",
    "Look at the pods of the servers, and at the last change in 'meshkit history'.",
)
