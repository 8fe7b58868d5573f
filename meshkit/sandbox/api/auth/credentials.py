"""The sandbox's credentials, which are its certificate authority, server certificate, tokens and kubeconfig.

Secrets and the authority are created once and reused. The server certificate is created at each start, so it
does not expire while the server runs. Private files are created with mode 0600 in a directory of mode 0700,
so other users can never read them.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshkit.errors import SandboxError
from meshkit.sandbox import certificates
from meshkit.sandbox.home import SandboxHome

CONTEXT = "meshkit-sandbox"  # name of the kubeconfig's context, cluster and user
_CA_LIFETIME = timedelta(days=3650)
_SHORTEST_SECRET = 32
_SERVER_LIFETIME = timedelta(days=365)
_DNS_NAMES = ("localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True)
class Credentials:
    """Hold the secrets that the server keeps in memory."""

    admin_token: str
    signing_key: bytes


def ensure(home: SandboxHome) -> Credentials:
    """Create missing credentials in a home, and a new server certificate.

    Raises SandboxError when existing files cannot be used.
    """
    try:
        return _ensured(home)
    except (OSError, ValueError) as error:
        raise SandboxError(
            f"The sandbox's keys in {home.path} cannot be used: {error}.",
            remedy="Free the disk if it is full; else delete ca.crt, ca.key, token and service-account.key "
            "there; the next start creates new ones.",
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
    credentials = Credentials(home.token.read_text(encoding="ascii").strip(), home.signing_key.read_bytes())
    for path, secret in ((home.token, credentials.admin_token), (home.signing_key, credentials.signing_key)):
        if len(secret) < _SHORTEST_SECRET:  # an empty secret would authenticate any client
            raise ValueError(f"{path.name} is too short")
    return credentials


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 atomically."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(path)


def write_kubeconfig(home: SandboxHome, port: int) -> None:
    """Write the administrator's kubeconfig for the server at this port.

    The file is JSON, which is valid YAML.
    """
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


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _make_authority(home: SandboxHome) -> None:
    certificate, key = certificates.self_signed(_name("meshkit-sandbox-ca"), _CA_LIFETIME)
    write_private(home.ca_key, certificates.key_pem(key).encode())
    home.ca_certificate.write_text(certificates.certificate_pem(certificate))


def _make_server_certificate(home: SandboxHome) -> None:
    names = [
        *(x509.DNSName(name) for name in _DNS_NAMES),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate, key = certificates.issued(
        x509.load_pem_x509_certificate(home.ca_certificate.read_bytes()),
        certificates.load_key(home.ca_key.read_bytes()),
        subject=_name("meshkit-sandbox"),
        alternatives=names,
        purposes=[ExtendedKeyUsageOID.SERVER_AUTH],
        lifetime=_SERVER_LIFETIME,
    )
    write_private(home.server_key, certificates.key_pem(key).encode())
    home.server_certificate.write_text(certificates.certificate_pem(certificate))
