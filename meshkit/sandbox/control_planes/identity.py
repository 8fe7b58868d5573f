"""Creates the mesh's CA, workload certificates and the webhook's serving certificate.

All keys are ECDSA P-256, because Linkerd accepts no other type. A workload's name is a SPIFFE URI in Istio
and a DNS name in Linkerd. The leaf has an empty subject and the name in a critical subjectAltName, and is
valid for both sides of mutual TLS.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshkit.meshes.model.pods import Proxy
from meshkit.sandbox import certificates
from meshkit.sandbox.dataplane import envoy
from meshkit.sandbox.dataplane.pod_directory import secret_sources

ROOT_LIFETIME = dt.timedelta(days=3650)  # Istio's self-signed root
LEAF_LIFETIME = dt.timedelta(hours=24)  # the default of both meshes
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@dataclass(frozen=True)
class Leaf:
    """A certificate with its key as PEM; ``renew_after`` is the middle of its lifetime."""

    certificate: str
    key: str
    renew_after: dt.datetime


@dataclass(frozen=True)
class Authority:
    """A certificate authority as PEM, with the roots that verify its leaves."""

    certificate: str
    key: str
    roots: str

    @classmethod
    def create(cls, common_name: str, *, organization: str = "cluster.local") -> Authority:
        """Create a self-signed CA that is valid for ten years."""
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        made, key = certificates.self_signed(name, ROOT_LIFETIME)
        certificate = certificates.certificate_pem(made)
        return cls(certificate=certificate, key=certificates.key_pem(key), roots=certificate)

    def leaf(
        self, *, uris: Iterable[str] = (), names: Iterable[str] = (), lifetime: dt.timedelta = LEAF_LIFETIME
    ) -> Leaf:
        """Issue a leaf for the given names; an intermediate issuer's certificate completes its chain."""
        alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        alternatives += [x509.DNSName(name) for name in names]
        certificate, key = certificates.issued(
            x509.load_pem_x509_certificate(self.certificate.encode()),
            certificates.load_key(self.key.encode()),
            alternatives=alternatives,
            purposes=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
            lifetime=lifetime,
        )
        chain = certificates.certificate_pem(certificate)
        chain += self.certificate if self.certificate not in self.roots else ""
        return Leaf(chain, certificates.key_pem(key), certificate.not_valid_after_utc - lifetime / 2)


def ca_problem(authority: Authority) -> str | None:
    """Return why a CA cannot sign for its mesh, or None if it can."""
    try:
        issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
        roots = x509.load_pem_x509_certificates(authority.roots.encode())
        key = certificates.load_key(authority.key.encode())
    except ValueError as problem:
        return f"it cannot be read ({problem})"
    if key.public_key() != issuer.public_key():
        return "the private key does not match the certificate"
    if issuer.not_valid_after_utc <= dt.datetime.now(dt.UTC):
        return "the certificate has expired"
    if not any(issuer == root or _signed(issuer, root) for root in roots):
        return "no trusted root has signed the certificate"
    return None


def _signed(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def workload_leaf(
    authority: Authority,
    proxy: Proxy,
    namespace: str,
    service_account: str,
    lifetime: dt.timedelta = LEAF_LIFETIME,
) -> Leaf:
    """Issue a certificate for a workload, with its name in the mesh."""
    name = proxy.identity(namespace, service_account)
    if proxy.san_type == "URI":
        return authority.leaf(uris=[name], lifetime=lifetime)
    return authority.leaf(names=[name], lifetime=lifetime)


def write_secrets(pod_dir: Path, leaf: Leaf, roots: str) -> None:
    """Write the certificate and the trusted roots for a pod's Envoy.

    A running Envoy applies them without interruption.
    """
    certificate_path, root_path = secret_sources(pod_dir)
    certificate = {
        "certificate_chain": {"inline_string": leaf.certificate},
        "private_key": {"inline_string": leaf.key},
    }
    trusted = {"trusted_ca": {"inline_string": roots}}
    envoy.write(root_path, [{"@type": _TLS, "name": "ROOTCA", "validation_context": trusted}])
    secret = {"@type": _TLS, "name": "default", "tls_certificate": certificate}
    envoy.write(certificate_path, [secret], mode=0o600)
