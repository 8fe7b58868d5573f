"""Read certificates from PEM and check their validity."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Iterable, Iterator

from cryptography import x509

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title

HORIZON = dt.timedelta(days=60)
"""The time before its expiry from which a certificate is reported, as in ``linkerd check``. The rotation of a
root restarts every workload twice, which takes weeks in a large organisation.
"""


def check_secret(secret: Object, keys: Iterable[str], now: dt.datetime) -> Iterator[Finding]:
    """Check that the certificates under these keys of a Secret are readable and valid."""
    for key in keys:
        text = decoded((secret.get("data") or {}).get(key, ""))
        if text:
            certificates = certificates_in(text)
            if not certificates:
                message = f"{key} holds no certificate that can be read."
                yield codes.finding(codes.CERTIFICATE_UNREADABLE, title(secret), message)
            yield from check_validity(title(secret), key, certificates, now)


def check_validity(
    obj: str, what: str, certificates: Iterable[x509.Certificate], now: dt.datetime
) -> Iterator[Finding]:
    """Find certificates that are not valid now, or expire within ``HORIZON``."""
    for certificate in certificates:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if end <= now:
            message = f"{what} expired on {end:%Y-%m-%d}: connections that depend on it fail."
            yield codes.finding(codes.CERTIFICATE_NOT_VALID, obj, message)
        elif begin > now:
            message = f"{what} is not valid before {begin:%Y-%m-%d %H:%M} UTC."
            remedy = "Wait until then, or correct the clocks."
            yield codes.finding(codes.CERTIFICATE_NOT_VALID, obj, message, remedy)
        elif end - now < HORIZON:
            message = f"{what} expires in {(end - now).days} days, on {end:%Y-%m-%d}."
            yield codes.finding(codes.CERTIFICATE_EXPIRES_SOON, obj, message)


def certificates_in(pem: str) -> list[x509.Certificate]:
    """The certificates in a PEM text; none if it is invalid."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def decoded(value: str) -> str:
    """Decode a value of a Secret; empty if it is not base64 of a text."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
