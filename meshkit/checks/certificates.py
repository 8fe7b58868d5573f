"""The certificates that a mesh lives by: valid, of a kind that it accepts, and how long still.

60 days before the end is a warning: what a root needs (every workload restarted twice) takes weeks in a
company; it is the horizon of ``linkerd check`` too.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from meshkit.checks.view import View, finding
from meshkit.facts import Finding, Object
from meshkit.planners.pki import BUNDLE, BUNDLE_KEY, signed

HORIZON = dt.timedelta(days=60)
_AUTHORITIES = {
    "istio": (("cacerts", ("root-cert.pem", "ca-cert.pem")), ("istio-ca-secret", ("ca-cert.pem",))),
    "linkerd": (("linkerd-identity-issuer", ("ca.crt", "tls.crt", "crt.pem")),),
}
"""Secrets of the control plane's namespace, and the keys of the certificates; the first counts."""


def check(view: View) -> Iterator[Finding]:
    """The horizon of authorities and webhooks; for Linkerd, whether issuer and trust anchors fit."""
    for name, keys in _AUTHORITIES[view.mesh]:
        secret = next((s for s in view.of("Secret", view.home) if s["metadata"]["name"] == name), None)
        if secret is not None:
            yield from _secret(view, secret, keys)
            if view.mesh == "linkerd":
                yield from _issuer(view, secret)
            break
    for hook in view.hooks:
        bundle = _decoded(hook["clientConfig"].get("caBundle") or "")
        yield from _horizon(view, f"webhook {hook['name']}", "its CA", _certificates(bundle))


def _secret(view: View, secret: Object, keys: tuple[str, ...]) -> Iterator[Finding]:
    for key in keys:
        text = _decoded((secret.get("data") or {}).get(key, ""))
        if text:
            found = _certificates(text)
            if not found:
                message = f"{key} holds no certificate that can be read."
                yield finding("MK0803", "error", secret, message, "Put the certificate there in PEM.")
            yield from _horizon(view, secret, key, found)


def _horizon(
    view: View, obj: Object | str, what: str, certificates: list[x509.Certificate]
) -> Iterator[Finding]:
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


def _issuer(view: View, secret: Object) -> Iterator[Finding]:
    """Linkerd takes ECDSA P-256 only, and every proxy must trust who signed the issuer."""
    data = secret.get("data") or {}
    own = _certificates(_decoded(data.get("tls.crt") or data.get("crt.pem") or ""))
    if not own:
        return
    issuer, key = own[0], own[0].public_key()
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        message = "the issuer's key is not ECDSA P-256, and Linkerd takes no other."
        yield finding("MK0804", "error", secret, message, "Make it anew with that algorithm.")
    roots = next((c for c in view.of("ConfigMap", view.home) if c["metadata"]["name"] == BUNDLE), None)
    anchors = _certificates(((roots or {}).get("data") or {}).get(BUNDLE_KEY, ""))
    signers = [anchor for anchor in anchors if signed(issuer, anchor)]
    if anchors and not signers:
        message = f"none of the trust anchors in ConfigMap {view.home}/{BUNDLE} has signed the issuer."
        remedy = "Add the anchor that signed it to the bundle, or sign the issuer anew."
        yield finding("MK0805", "error", secret, message, remedy)
    elif roots:
        # Others in the bundle come or go: a rotation leaves an old one there until every proxy has the new.
        told = _certificates(_decoded(data.get("ca.crt", "")))
        yield from _horizon(view, roots, "the issuer's trust anchor", [a for a in signers if a not in told])


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _decoded(written: str) -> str:
    try:
        return base64.b64decode(written, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
