"""What a client needs to trust and be trusted: a certificate authority, the server's certificate, tokens,
a kubeconfig.

Secrets and the authority are made once and kept; the server's certificate is made anew at each start, so
it never expires in use. Private files are created with mode 0600 in a folder of mode 0700: there is no
moment at which others could read them.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshkit.errors import SandboxError
from meshkit.sandbox.home import SandboxHome

CONTEXT = "meshkit-sandbox"  # name of the kubeconfig's context, cluster and user
_CA_LIFETIME = timedelta(days=3650)
_SHORTEST_SECRET = 32
_SERVER_LIFETIME = timedelta(days=365)
_DNS_NAMES = ("localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True)
class Credentials:
    """The secrets that the running server holds in memory."""

    admin_token: str
    signing_key: bytes


def ensure(home: SandboxHome) -> Credentials:
    """Make what is missing in a home, and a new server certificate.

    Raises SandboxError for what is damaged.
    """
    try:
        return _ensured(home)
    except (OSError, ValueError) as error:
        raise SandboxError(
            f"The sandbox's keys in {home.path} cannot be used: {error}.",
            remedy="Free the disk if it is full; else delete ca.crt, ca.key, token and service-account.key "
            "there: they are made anew.",
        ) from error


def _ensured(home: SandboxHome) -> Credentials:
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.path.chmod(0o700)
    if not home.ca_certificate.exists() or not home.ca_key.exists():
        _make_authority(home)
    _make_server_certificate(home)
    if not home.token.exists():
        write_private(home.token, secrets.token_urlsafe(32).encode())
    if not home.signing_key.exists():
        write_private(home.signing_key, secrets.token_bytes(32))
    found = Credentials(home.token.read_text(encoding="ascii").strip(), home.signing_key.read_bytes())
    for path, secret in ((home.token, found.admin_token), (home.signing_key, found.signing_key)):
        if len(secret) < _SHORTEST_SECRET:  # an empty one would let everybody in
            raise ValueError(f"{path.name} is too short")
    return found


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    unfinished.replace(path)


def write_kubeconfig(home: SandboxHome, port: int) -> None:
    """The administrator's kubeconfig for the server at this port. (JSON is YAML, too.)"""
    token = home.token.read_text(encoding="ascii").strip()
    authority = base64.b64encode(home.ca_certificate.read_bytes()).decode()
    server = f"https://127.0.0.1:{port}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [
            {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}
        ],
        "current-context": CONTEXT,
    }
    write_private(home.kubeconfig, json.dumps(document, indent=1).encode())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _make_authority(home: SandboxHome) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("meshkit-sandbox-ca")
    certificate = (
        _builder(name, name, key.public_key(), _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(home.ca_key, _pem(key))
    home.ca_certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _make_server_certificate(home: SandboxHome) -> None:
    authority_key = serialization.load_pem_private_key(home.ca_key.read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate(home.ca_certificate.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        *(x509.DNSName(name) for name in _DNS_NAMES),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        _builder(_name("meshkit-sandbox"), authority.subject, key.public_key(), _SERVER_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    write_private(home.server_key, _pem(key))
    home.server_certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
