"""X.509 as the sandbox needs it, for its API server and its meshes: an authority, and what it signs.

All keys are ECDSA P-256 (Linkerd takes nothing else). Key usage and key identifiers are always set: Python
3.13 checks certificates strictly and refuses them without.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

CLOCK_SKEW = dt.timedelta(seconds=20)
"""How far back a new certificate is valid, for clocks that are late: as much as Linkerd allows."""

Key = ec.EllipticCurvePrivateKey


def self_signed(name: x509.Name, lifetime: dt.timedelta) -> tuple[x509.Certificate, Key]:
    """A new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, key.public_key(), lifetime, signs_certificates=True)
    return builder.sign(key, hashes.SHA256()), key


def issued(
    issuer: x509.Certificate,
    issuer_key: Key,
    *,
    alternatives: Sequence[x509.GeneralName],
    purposes: Sequence[ObjectIdentifier],
    lifetime: dt.timedelta,
    subject: x509.Name | None = None,
) -> tuple[x509.Certificate, Key]:
    """A new leaf for these names. Without a subject its names are critical, as SPIFFE asks."""
    key = ec.generate_private_key(ec.SECP256R1())
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    named = x509.SubjectAlternativeName(alternatives)
    builder = (
        _builder(
            subject or x509.Name([]), issuer.subject, key.public_key(), lifetime, signs_certificates=False
        )
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(named, critical=subject is None)
        .add_extension(above, critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256()), key


def certificate_pem(certificate: x509.Certificate) -> str:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    """The private key as PEM, not encrypted: whoever stores it guards it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def load_key(pem: bytes) -> Key:
    """A private key from PEM. Raises ValueError when it is none, or not ECDSA."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not ECDSA")
    return key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    lifetime: dt.timedelta,
    *,
    signs_certificates: bool,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
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
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.BasicConstraints(ca=signs_certificates, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
