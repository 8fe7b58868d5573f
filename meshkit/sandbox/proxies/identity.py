"""Certificates: the mesh's own CA, workload identities, and the webhook's serving certificate.

All keys are ECDSA P-256 (Linkerd takes nothing else). A workload's name is a SPIFFE URI in Istio and a DNS
name in Linkerd; both stand in a critical subjectAltName of a leaf with an empty subject, good for both ends
of mutual TLS.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshkit.sandbox.proxies import envoy
from meshkit.sandbox.proxies.poddir import secret_sources
from meshkit.sandbox.proxies.pods import ISTIO, workload_identity

ROOT_LIFETIME = dt.timedelta(days=3650)  # Istio's self-signed root
LEAF_LIFETIME = dt.timedelta(hours=24)  # the default of both meshes
CLOCK_SKEW = dt.timedelta(seconds=20)
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@dataclass(frozen=True)
class Leaf:
    """A certificate with its key, as PEM. ``renew_after`` is its half life."""

    certificate: str
    key: str
    renew_after: dt.datetime


@dataclass(frozen=True)
class Authority:
    """A certificate authority, as PEM, and the roots that its leaves are checked against."""

    certificate: str
    key: str
    roots: str

    @classmethod
    def create(cls, common_name: str, *, organization: str = "cluster.local") -> Authority:
        """A new self-signed CA, good for ten years."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        builder = (
            _builder(name, name, key.public_key(), ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        certificate = _pem(builder.sign(key, hashes.SHA256()))
        return cls(certificate=certificate, key=_key_pem(key), roots=certificate)

    def leaf(
        self, *, uris: Iterable[str] = (), names: Iterable[str] = (), lifetime: dt.timedelta = LEAF_LIFETIME
    ) -> Leaf:
        """A new leaf for the given names, with the issuer's certificate behind it in the chain."""
        issuer = x509.load_pem_x509_certificate(self.certificate.encode())
        issuer_key = serialization.load_pem_private_key(self.key.encode(), password=None)
        if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
            raise TypeError("the issuer's key is not ECDSA")
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        alternatives += [x509.DNSName(name) for name in names]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            _builder(x509.Name([]), issuer.subject, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        certificate = builder.sign(issuer_key, hashes.SHA256())
        chain = _pem(certificate) + (self.certificate if self.certificate not in self.roots else "")
        return Leaf(chain, _key_pem(key), certificate.not_valid_after_utc - lifetime / 2)


def workload_leaf(
    authority: Authority,
    mesh: str,
    namespace: str,
    service_account: str,
    lifetime: dt.timedelta = LEAF_LIFETIME,
) -> Leaf:
    """A new certificate for a workload."""
    name = workload_identity(mesh, namespace, service_account)
    if mesh == ISTIO:
        return authority.leaf(uris=[name], lifetime=lifetime)
    return authority.leaf(names=[name], lifetime=lifetime)


def write_secrets(pod_dir: Path, leaf: Leaf, roots: str) -> None:
    """Give a pod's Envoy its certificate and the roots it trusts.

    A running Envoy takes them up without a pause.
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


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
