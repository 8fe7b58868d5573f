"""Creates X.509 authorities and leaf certificates for the sandbox's API server and meshes.

All keys are ECDSA P-256, because Linkerd accepts no other type. Key usage and key identifiers are always set,
because Python 3.13 rejects certificates without them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

CLOCK_SKEW = dt.timedelta(seconds=20)
"""How far a certificate's validity starts in the past, to tolerate slow clocks (Linkerd's allowance)."""

Key = ec.EllipticCurvePrivateKey


def self_signed(name: x509.Name, lifetime: dt.timedelta) -> tuple[x509.Certificate, Key]:
    """Create a self-signed authority."""
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
    """Issue a leaf for these names; without a subject the names are critical, as SPIFFE requires."""
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
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    """Return the private key as unencrypted PEM; the caller must protect the file."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def load_key(pem: bytes) -> Key:
    """Load a private key from PEM; raise ValueError if it is not a valid ECDSA key."""
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
