"""The certificates that a mesh lives by: valid, and how long still.

60 days before the end is a warning: what a root needs (every workload restarted twice) takes weeks in a
company; it is the horizon of ``linkerd check`` too.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Iterable, Iterator

from cryptography import x509

from meshkit.facts import Finding, Object
from meshkit.meshes.linkerd.pki import ISSUER
from meshkit.meshes.view import View, finding

HORIZON = dt.timedelta(days=60)
_AUTHORITIES = {
    "istio": (("cacerts", ("root-cert.pem", "ca-cert.pem")), ("istio-ca-secret", ("ca-cert.pem",))),
    "linkerd": ((ISSUER, ("ca.crt", "tls.crt", "crt.pem")),),
}
"""Secrets of the control plane's namespace, and the keys of the certificates; the first counts."""


def check(view: View) -> Iterator[Finding]:
    """The horizon of the authorities, and of those that webhooks trust."""
    for name, keys in _AUTHORITIES[view.mesh]:
        secret = view.named("Secret", name)
        if secret is not None:
            yield from of_secret(view, secret, keys)
            break
    for hook in (*view.hooks, *view.validators):
        bundle = certificates_in(decoded(hook["clientConfig"].get("caBundle") or ""))
        yield from horizon(view, f"webhook {hook['name']}", "its CA", bundle)


def of_secret(view: View, secret: Object, keys: Iterable[str]) -> Iterator[Finding]:
    """The horizon of the certificates under these keys of a Secret, and whether they can be read."""
    for key in keys:
        text = decoded((secret.get("data") or {}).get(key, ""))
        if text:
            found = certificates_in(text)
            if not found:
                message = f"{key} holds no certificate that can be read."
                yield finding("MK0803", "error", secret, message, "Put the certificate there in PEM.")
            yield from horizon(view, secret, key, found)


def horizon(
    view: View, obj: Object | str, what: str, certificates: Iterable[x509.Certificate]
) -> Iterator[Finding]:
    """Which of these certificates are not valid now, and which end soon."""
    for certificate in certificates:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if end <= view.now:
            message = f"{what} has expired on {end:%Y-%m-%d}: no connection of the mesh is proven any more."
            yield finding("MK0801", "error", obj, message, "Replace it, then restart the workloads.")
        elif begin > view.now:
            message = f"{what} is not valid before {begin:%Y-%m-%d %H:%M} UTC."
            yield finding("MK0801", "error", obj, message, "Wait, or correct the clocks.")
        elif end - view.now < HORIZON:
            days = (end - view.now).days
            message = f"{what} expires in {days} days, on {end:%Y-%m-%d}."
            yield finding("MK0802", "warning", obj, message, "Plan its rotation now.")


def certificates_in(pem: str) -> list[x509.Certificate]:
    """The certificates of a text in PEM; none where it cannot be read."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def decoded(written: str) -> str:
    """The text of a Secret's value; empty where it is none."""
    try:
        return base64.b64decode(written, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
