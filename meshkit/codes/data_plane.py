"""Codes of what a running mesh does with traffic: routes, injection, mutual TLS, certificates, ports."""

from __future__ import annotations

from meshkit.codes.code import Code

SHADOWED_VIRTUAL_SERVICE = Code(
    "MK0206",
    "warning",
    "A VirtualService has no effect for a host, because another one routes that host. An info where it has "
    "none for some callers only.",
    "Istio's sidecars do not merge two VirtualServices for one host: what a namespace keeps to itself comes "
    "first, then the oldest.",
    "Put the rules of both into one VirtualService.",
    also="info",
)
SUBSET_UNDEFINED = Code(
    "MK0207",
    "error",
    "A VirtualService sends traffic to a subset that no DestinationRule defines. A warning where it is so "
    "for some callers only.",
    "These requests fail with status 503.",
    "Define the subset in the DestinationRule that applies to the callers of that host.",
    also="warning",
)
SUBSET_WITHOUT_PODS = Code(
    "MK0208",
    "error",
    "A VirtualService sends traffic to a subset without pods.",
    "These requests fail with status 503.",
    "Deploy the pods of the subset, or give it no weight.",
)
BACKEND_MISSING = Code(
    "MK0209",
    "error",
    "A route sends traffic to a Service that does not exist.",
    "These requests fail with status 500.",
    "Create the Service, or give it no weight.",
)
ROUTE_NOT_ACCEPTED = Code(
    "MK0210",
    "error",
    "The mesh does not accept a route, or cannot resolve what it refers to.",
    "The route has no effect, or requests fail.",
    "Correct what the condition of the route names.",
)
INJECTION_CONTRADICTS = Code(
    "MK0601",
    "error",
    "A namespace has both istio-injection and istio.io/rev.",
    "Istio ignores the revision as long as istio-injection is set.",
    "Remove one of the two labels.",
)
INJECT_LABEL_IGNORED = Code(
    "MK0602",
    "warning",
    "A namespace has linkerd.io/inject as a label.",
    "Linkerd reads it as an annotation only, so the label has no effect.",
    "Make it an annotation.",
)
UNKNOWN_REVISION = Code(
    "MK0603",
    "error",
    "A namespace asks for a revision of Istio that no webhook serves.",
    "Its new pods get no sidecar.",
    "Name a revision or tag that is installed.",
)
POD_WITHOUT_PROXY = Code(
    "MK0604",
    "warning",
    "Pods were created before injection was on, and have no sidecar.",
    "They are outside the mesh until they are created again.",
    "Restart the workload.",
)
INJECTION_PREVENTED = Code(
    "MK0605",
    "warning",
    "The pods of a workload get no sidecar although their namespace asks for injection.",
    "The workload stays outside the mesh and nothing reports that.",
    "Remove what prevents it, or opt the workload out on purpose.",
)
PROXY_NOT_READY = Code(
    "MK0606",
    "warning",
    "The sidecar of a pod is not ready.",
    "The pod gets no traffic.",
    "Look at the log of the sidecar's container.",
)
PROXY_UID = Code(
    "MK0607",
    "error",
    "A container runs as user 1337, the user of Istio's sidecar.",
    "Its traffic bypasses the sidecar: no mutual TLS, no routes.",
    "Run the container as another user.",
)
PROXY_VERSION_DIFFERS = Code(
    "MK0608",
    "warning",
    "Sidecars have another version than their control plane.",
    "They were not restarted after an upgrade and miss its fixes.",
    "Restart the workloads of the namespace.",
)
PROXY_OF_GONE_REVISION = Code(
    "MK0609",
    "error",
    "Sidecars belong to a revision whose control plane is gone.",
    "They get no new routes and no new certificates.",
    "Restart the workloads of the namespace.",
)
LABEL_ANNOTATION_SWAPPED = Code(
    "MK0611",
    "warning",
    "A label of Linkerd is set as an annotation, or an annotation as a label.",
    "Linkerd does not read it there, so it has no effect.",
    "Move it to where Linkerd reads it.",
)
ALPHA_ANNOTATIONS = Code(
    "MK0612",
    "info",
    "Alpha annotations of Istio are in use.",
    "The next version of Istio may change or drop them.",
    "Check before an upgrade that the new version still supports them.",
)
PROXY_VERSION_UNSUPPORTED = Code(
    "MK0613",
    "error",
    "Sidecars have a version that no installed control plane supports.",
    "The mesh's makers do not test or support this combination.",
    "Upgrade the control plane first, or restart the workloads of the namespace.",
)
RIVAL_POLICIES = Code(
    "MK0701",
    "warning",
    "Several PeerAuthentications apply to a whole namespace, or to the same pods.",
    "Istio follows the oldest only and ignores the others.",
    "Keep one of them.",
)
PLAINTEXT_TO_STRICT = Code(
    "MK0702",
    "error",
    "A DestinationRule makes clients send no mutual TLS to a port that accepts nothing else.",
    "These requests fail with status 503.",
    "Remove tls from the DestinationRule: Istio chooses mutual TLS by itself.",
)
POLICY_NOT_FOLLOWED = Code(
    "MK0703",
    "warning",
    "Pods were created before the inbound policy of their namespace changed.",
    "Linkerd copies the policy onto a pod when it is created, so these pods follow the old one.",
    "Restart the workloads of the namespace.",
)
CERTIFICATE_NOT_VALID = Code(
    "MK0801",
    "error",
    "A certificate of the mesh has expired or is not valid yet.",
    "Connections that depend on it fail.",
    "Replace the certificate, then restart the workloads.",
)
CERTIFICATE_EXPIRES_SOON = Code(
    "MK0802",
    "warning",
    "A certificate of the mesh expires within 60 days.",
    "The rotation of a root restarts every workload twice, which takes weeks in a large organisation.",
    "Plan its rotation now.",
)
CERTIFICATE_UNREADABLE = Code(
    "MK0803",
    "error",
    "A Secret holds no readable certificate where the mesh expects one.",
    "The mesh cannot use it.",
    "Store the certificate there in PEM.",
)
KEY_TYPE_REFUSED = Code(
    "MK0804",
    "error",
    "The issuer or a trust anchor has a key or signature that Linkerd does not accept.",
    "Linkerd's identity service does not start.",
    "Create it again with ECDSA P-256 and SHA-256.",
)
ISSUER_NOT_ANCHORED = Code(
    "MK0805",
    "error",
    "None of the trust anchors has signed the issuer.",
    "Sidecars reject each certificate of that issuer.",
    "Add the anchor that signed the issuer to the bundle, or sign the issuer again.",
)
NO_TRUST_ANCHOR = Code(
    "MK0806",
    "error",
    "The mesh has no readable trust anchor.",
    "No sidecar can verify its peers.",
    "Store the anchors in the bundle in PEM.",
)
NO_ISSUER = Code(
    "MK0807",
    "error",
    "The mesh has no issuer.",
    "A sidecar that starts gets no certificate.",
    "Create one with mk.plan_identity and mk.apply.",
)
ISSUER_NOT_A_CA = Code(
    "MK0808",
    "error",
    "The issuer's certificate is not one of a CA (basicConstraints, keyUsage).",
    "No peer accepts the certificates that it signs.",
    "Create it again as a CA that signs certificates.",
)
ISSUER_KEY_MISMATCH = Code(
    "MK0809",
    "error",
    "The issuer's private key is missing, or does not belong to its certificate.",
    "No certificate can be issued.",
    "Store the issuer's certificate and key as they were created together.",
)
ANCHOR_PATH_LENGTH = Code(
    "MK0810",
    "error",
    "The trust anchor of the issuer allows no CA below it (path length 0).",
    "Peers reject every certificate of the issuer.",
    "Rotate to an anchor with path length 1 or none.",
)
SPARE_ANCHOR_EXPIRED = Code(
    "MK0811",
    "info",
    "A trust anchor that has not signed the issuer has expired.",
    "It does no harm, but 'linkerd check' fails because of it.",
    "Remove it from the bundle.",
)
PROXY_TRUSTS_OLD_ANCHORS = Code(
    "MK0812",
    "warning",
    "Sidecars have other trust anchors than the present bundle.",
    "They reject peers whose certificate was issued under a new anchor.",
    "Restart the workloads of the namespace, or continue with 'meshkit identity rotate'.",
)
WEBHOOK_CA_MISMATCH = Code(
    "MK0813",
    "error",
    "The CA bundle of a webhook is not the CA that signed the certificate of its server.",
    "The API server rejects the answers of the webhook.",
    "Upgrade the Helm release of linkerd-control-plane, which creates both again.",
)
WEBHOOK_NAME_MISMATCH = Code(
    "MK0814",
    "error",
    "The certificate of a webhook's server is not valid for the name that the API server calls.",
    "The API server rejects the answers of the webhook.",
    "Upgrade the Helm release of linkerd-control-plane, which creates both again.",
)
UNKNOWN_APP_PROTOCOL = Code(
    "MK0901",
    "warning",
    "A Service declares an appProtocol that the mesh does not know.",
    "The mesh guesses the protocol or takes the port as plain TCP, without routes and metrics.",
    "Use 'http' or 'kubernetes.io/h2c', which both meshes know.",
)
NO_PROTOCOL = Code(
    "MK0902",
    "info",
    "A port of a Service declares no protocol, neither by appProtocol nor by its name.",
    "The mesh has to detect the protocol from the first bytes, and may be wrong.",
    "Set appProtocol, or name the port http-..., grpc-..., tcp-...",
)
OPAQUE_ON_ONE_SIDE = Code(
    "MK0903",
    "warning",
    "A port is opaque on a Service and not on its pods, or the other way round.",
    "One of the two sidecars waits for bytes of a protocol that never come.",
    "Annotate both sides alike.",
)
TARGET_PORT_MISSING = Code(
    "MK0904",
    "error",
    "A port of a Service leads to a named port that none of its pods has.",
    "The port has no endpoint, so requests to it fail with status 503.",
    "Give the container's port that name, or name the number in targetPort.",
)
