"""The certificates of Linkerd's webhooks: valid, trusted by the API server, for the right name.

The charts create them with each ``helm upgrade``, for a year; nothing rotates them in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography import x509

from meshkit import codes
from meshkit.facts import Finding
from meshkit.kube.metadata import title
from meshkit.meshes.certificates import certificates_in, check_secret, decoded
from meshkit.meshes.identity import signed
from meshkit.meshes.view import View

_SERVICES = ("linkerd-proxy-injector", "linkerd-sp-validator", "linkerd-policy-validator")


def check(view: View) -> Iterator[Finding]:
    """The serving certificate of each webhook."""
    hooks = (*view.hooks, *view.validators)
    for service in _SERVICES:
        secret = view.named("Secret", f"{service}-k8s-tls")
        if secret is not None:
            yield from check_secret(secret, ("tls.crt",), view.now)
            chain = certificates_in(decoded((secret.get("data") or {}).get("tls.crt", "")))
            if chain:
                yield from _trust(title(secret), chain, [hook for hook in hooks if _calls(hook, service)])
                yield from _name(title(secret), chain[0], f"{service}.{view.home}.svc")


def _calls(hook: Mapping[str, Any], service: str) -> bool:
    return bool((hook["clientConfig"].get("service") or {}).get("name") == service)


def _trust(
    secret: str, chain: Sequence[x509.Certificate], hooks: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    for hook in hooks:
        anchors = certificates_in(decoded(hook["clientConfig"].get("caBundle") or ""))
        if anchors and not any(signed(certificate, anchor) for certificate in chain for anchor in anchors):
            message = f"webhook {hook['name']} trusts another CA than the one that signed tls.crt."
            yield codes.finding(codes.WEBHOOK_CA_MISMATCH, secret, message)


def _name(secret: str, certificate: x509.Certificate, name: str) -> Iterator[Finding]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    names = alternatives.get_values_for_type(x509.DNSName)
    if name not in names:
        message = f"tls.crt is for {', '.join(names) or 'no name'}; the API server calls {name}."
        yield codes.finding(codes.WEBHOOK_NAME_MISMATCH, secret, message)
