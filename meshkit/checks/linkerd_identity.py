"""Linkerd's identity: an issuer that may issue, anchors that have signed it, proxies that trust both.

The rules are those of Linkerd's identity controller, which does not start, or issues nothing, where one is
broken. Private keys are compared with their certificates and never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from meshkit.checks.certificates import certificates_in, decoded, horizon
from meshkit.facts import Finding, Object
from meshkit.meshes.linkerd.pki import BUNDLE, BUNDLE_KEY, ISSUER, is_known, signed, trusts
from meshkit.meshes.view import View, finding

_RSA_BITS = (2048, 4096)


def check(view: View) -> Iterator[Finding]:
    """Whether the issuer, the trust anchors and the proxies fit each other."""
    if view.mesh != "linkerd":
        return
    roots = view.named("ConfigMap", BUNDLE)
    bundle = str(((roots or {}).get("data") or {}).get(BUNDLE_KEY, ""))
    anchors = certificates_in(bundle)
    if roots is None or not anchors:
        message = f"it holds no trust anchor under {BUNDLE_KEY}: no proxy can prove whom it talks to."
        where = roots or f"ConfigMap {view.home}/{BUNDLE}"
        yield finding("MK0806", "error", where, message, "Put the anchors there in PEM.")
    else:
        yield from _lagging(view, roots)
    secret = view.named("Secret", ISSUER)
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    written = data.get("tls.crt") or data.get("crt.pem") or ""
    if secret is None or not written:
        where = secret or f"Secret {view.home}/{ISSUER}"
        message = "there is no issuer: a proxy that starts gets no certificate."
        yield finding("MK0807", "error", where, message, "Make one: mk.plan_identity(cluster).")
        return
    own = certificates_in(decoded(written))
    if own:
        yield from _issuer(secret, own[0])
        yield from _key(secret, own[0])
        if roots is not None and anchors:
            yield from _anchors(view, secret, own[0], roots, anchors)


def _issuer(secret: Object, issuer: x509.Certificate) -> Iterator[Finding]:
    key, remedy = issuer.public_key(), "Make it anew with ECDSA P-256 and SHA-256."
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        message = "the issuer's key is not ECDSA P-256, and Linkerd takes no other."
        yield finding("MK0804", "error", secret, message, remedy)
    if not isinstance(issuer.signature_hash_algorithm, SHA256):
        message = "the issuer is not signed with SHA-256, and Linkerd takes no other."
        yield finding("MK0804", "error", secret, message, remedy)
    if not _may_sign(issuer):
        message = "the issuer is no CA (basicConstraints, keyUsage): nobody takes what it signs."
        yield finding("MK0808", "error", secret, message, "Make it anew as a CA that signs certificates.")


def _may_sign(issuer: x509.Certificate) -> bool:
    limits = _limits(issuer)
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return bool(limits and limits.ca)
    return bool(limits and limits.ca and usage.key_cert_sign)


def _limits(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _key(secret: Object, issuer: x509.Certificate) -> Iterator[Finding]:
    data = secret["data"]
    try:
        key = load_pem_private_key(decoded(data.get("tls.key") or data.get("key.pem") or "").encode(), None)
        fits = key.public_key() == issuer.public_key()
    except (ValueError, TypeError):
        fits = False
    if not fits:
        message = "its private key is missing, or is not that of its certificate: nothing can be issued."
        yield finding("MK0809", "error", secret, message, "Put the issuer's pair there as it was made.")


def _anchors(
    view: View, secret: Object, issuer: x509.Certificate, roots: Object, anchors: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    signers = [anchor for anchor in anchors if signed(issuer, anchor)]
    if not signers:
        message = f"none of the trust anchors in ConfigMap {view.home}/{BUNDLE} has signed the issuer."
        remedy = "Add the anchor that signed it to the bundle, or sign the issuer anew."
        yield finding("MK0805", "error", secret, message, remedy)
    elif all(_allows_none_below(anchor) and anchor != issuer for anchor in signers):
        message = "the issuer's trust anchor has path length 0: no CA may stand below it, so not the issuer."
        yield finding("MK0810", "error", roots, message, "Rotate to an anchor with path length 1 or none.")
    for anchor in anchors:
        if not _is_taken(anchor):
            message = f"trust anchor {_name(anchor)} is neither ECDSA P-256 nor RSA with 2048 or 4096 bits."
            yield finding("MK0804", "error", roots, message, "Replace it with one that Linkerd takes.")
    told = certificates_in(decoded((secret.get("data") or {}).get("ca.crt", "")))
    yield from horizon(view, roots, "the issuer's trust anchor", [a for a in signers if a not in told])
    # The others come or go: a rotation leaves an old one there until every proxy has the new.
    for anchor in anchors:
        if anchor not in signers and anchor.not_valid_after_utc <= view.now:
            message = f"trust anchor {_name(anchor)}, which has not signed the issuer, has expired."
            yield finding(
                "MK0811", "info", roots, message, "Take it out of the bundle: 'linkerd check' fails."
            )


def _allows_none_below(anchor: x509.Certificate) -> bool:
    limits = _limits(anchor)
    return limits is not None and limits.path_length == 0


def _is_taken(anchor: x509.Certificate) -> bool:
    key = anchor.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size in _RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"number {certificate.serial_number}"


def _lagging(view: View, bundle: Object) -> Iterator[Finding]:
    """A proxy trusts the bundle of its birth."""
    behind: Counter[str] = Counter()
    for pod in view.meshed:
        if is_known(pod) and not trusts(pod, bundle):
            behind[pod["metadata"]["namespace"]] += 1
    for namespace, count in sorted(behind.items()):
        message = f"{count} proxies were made with other trust anchors than those of today."
        remedy = "Restart its workloads, or go on with 'meshkit identity rotate'."
        yield finding("MK0812", "warning", f"Namespace {namespace}", message, remedy)
