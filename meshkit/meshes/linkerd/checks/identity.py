"""Linkerd's identity: an issuer that may issue, anchors that have signed it, sidecars that trust both.

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

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.meshes.certificates import certificates_in, check_validity, decoded
from meshkit.meshes.identity import signed
from meshkit.meshes.linkerd.pki import BUNDLE, BUNDLE_KEY, ISSUER, is_known, trusts
from meshkit.meshes.view import View

_RSA_BITS = (2048, 4096)


def check(view: View) -> Iterator[Finding]:
    """Whether the issuer, the trust anchors and the sidecars fit each other."""
    bundle = view.named("ConfigMap", BUNDLE)
    anchors = certificates_in(str(((bundle or {}).get("data") or {}).get(BUNDLE_KEY, "")))
    if bundle is None or not anchors:
        message = f"it holds no trust anchor under {BUNDLE_KEY}: no sidecar can verify its peers."
        yield codes.finding(codes.NO_TRUST_ANCHOR, f"ConfigMap {view.home}/{BUNDLE}", message)
    else:
        yield from _outdated_proxies(view, bundle)
    secret = view.named("Secret", ISSUER)
    data: Mapping[str, str] = (secret or {}).get("data") or {}
    certificate = data.get("tls.crt") or data.get("crt.pem") or ""
    if secret is None or not certificate:
        message = "there is no issuer: a sidecar that starts gets no certificate."
        yield codes.finding(codes.NO_ISSUER, f"Secret {view.home}/{ISSUER}", message)
        return
    chain = certificates_in(decoded(certificate))
    if chain:
        yield from _issuer(title(secret), chain[0])
        yield from _key(secret, chain[0])
        if bundle is not None and anchors:
            yield from _anchors(view, secret, chain[0], bundle, anchors)


def _issuer(secret: str, issuer: x509.Certificate) -> Iterator[Finding]:
    key = issuer.public_key()
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        message = "the issuer's key is not ECDSA P-256, and Linkerd accepts no other."
        yield codes.finding(codes.KEY_TYPE_REFUSED, secret, message)
    if not isinstance(issuer.signature_hash_algorithm, SHA256):
        message = "the issuer is not signed with SHA-256, and Linkerd accepts no other signature."
        yield codes.finding(codes.KEY_TYPE_REFUSED, secret, message)
    if not _may_sign(issuer):
        message = "the issuer is not a CA (basicConstraints, keyUsage): no peer accepts what it signs."
        yield codes.finding(codes.ISSUER_NOT_A_CA, secret, message)


def _may_sign(issuer: x509.Certificate) -> bool:
    constraints = _basic_constraints(issuer)
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return bool(constraints and constraints.ca)
    return bool(constraints and constraints.ca and usage.key_cert_sign)


def _basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _key(secret: Object, issuer: x509.Certificate) -> Iterator[Finding]:
    data = secret["data"]
    try:
        key = load_pem_private_key(decoded(data.get("tls.key") or data.get("key.pem") or "").encode(), None)
        matches = key.public_key() == issuer.public_key()
    except (ValueError, TypeError):
        matches = False
    if not matches:
        message = "its private key is missing or does not belong to its certificate: nothing can be issued."
        yield codes.finding(codes.ISSUER_KEY_MISMATCH, title(secret), message)


def _anchors(
    view: View, secret: Object, issuer: x509.Certificate, bundle: Object, anchors: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    where = title(bundle)
    signers = [anchor for anchor in anchors if signed(issuer, anchor)]
    if not signers:
        message = f"none of the trust anchors in {where} has signed the issuer."
        yield codes.finding(codes.ISSUER_NOT_ANCHORED, title(secret), message)
    elif all(_allows_no_ca_below(anchor) and anchor != issuer for anchor in signers):
        message = "the issuer's trust anchor has path length 0, which allows no issuer below it."
        yield codes.finding(codes.ANCHOR_PATH_LENGTH, where, message)
    for anchor in anchors:
        if not _is_accepted(anchor):
            message = f"trust anchor {_name(anchor)} is neither ECDSA P-256 nor RSA with 2048 or 4096 bits."
            remedy = "Replace it with an anchor that Linkerd accepts."
            yield codes.finding(codes.KEY_TYPE_REFUSED, where, message, remedy)
    # The check of authorities reports the anchor in the issuer's own Secret.
    reported = certificates_in(decoded((secret.get("data") or {}).get("ca.crt", "")))
    unreported = [anchor for anchor in signers if anchor not in reported]
    yield from check_validity(where, "the issuer's trust anchor", unreported, view.now)
    # During a rotation the old anchor stays until every sidecar has the new one.
    for anchor in anchors:
        if anchor not in signers and anchor.not_valid_after_utc <= view.now:
            message = f"trust anchor {_name(anchor)}, which has not signed the issuer, has expired."
            yield codes.finding(codes.SPARE_ANCHOR_EXPIRED, where, message)


def _allows_no_ca_below(anchor: x509.Certificate) -> bool:
    constraints = _basic_constraints(anchor)
    return constraints is not None and constraints.path_length == 0


def _is_accepted(anchor: x509.Certificate) -> bool:
    key = anchor.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size in _RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"number {certificate.serial_number}"


def _outdated_proxies(view: View, bundle: Object) -> Iterator[Finding]:
    """Sidecars that still trust the bundle that was injected when their pod was created."""
    outdated: Counter[str] = Counter()
    for pod in view.meshed:
        if is_known(pod) and not trusts(pod, bundle):
            outdated[pod["metadata"]["namespace"]] += 1
    for namespace, count in sorted(outdated.items()):
        message = f"{count} sidecars have other trust anchors than {title(bundle)} holds now."
        yield codes.finding(codes.PROXY_TRUSTS_OLD_ANCHORS, f"Namespace {namespace}", message)
