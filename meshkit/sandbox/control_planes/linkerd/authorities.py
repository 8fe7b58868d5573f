"""The Secrets of Linkerd's issuer and webhook CA, and the ConfigMap of its trust roots."""

from __future__ import annotations

from meshkit.sandbox.control_planes.authority import CaSecret

ISSUER = CaSecret(
    *("linkerd-identity-issuer", "crt.pem", "key.pem", "crt.pem", "identity.linkerd.cluster.local"),
    or_keys=("tls.crt", "tls.key", "ca.crt"),
    bundle="linkerd-identity-trust-roots",
)
WEBHOOK = CaSecret(
    *("linkerd-proxy-injector-k8s-tls", "tls.crt", "tls.key", "tls.crt"),
    *("linkerd-proxy-injector.linkerd.svc", "kubernetes.io/tls"),
)
