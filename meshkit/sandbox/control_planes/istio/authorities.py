"""The Secrets of istiod's CA: a plugged-in CA, or else a self-signed one."""

from __future__ import annotations

from meshkit.sandbox.control_planes.authority import CaSecret

PLUGGED_IN = CaSecret("cacerts", "ca-cert.pem", "ca-key.pem", "root-cert.pem", "")
SELF_SIGNED = CaSecret(
    "istio-ca-secret",
    "ca-cert.pem",
    "ca-key.pem",
    "root-cert.pem",
    "istio-ca",
    "istio.io/ca-root",
    unused=("cert-chain.pem", "key.pem"),
)
