"""The certificates with which Linkerd's webhooks answer: valid, trusted by the API server, of the right name.

The charts make them anew with each ``helm upgrade``, for a year; nobody rotates them in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography import x509

from meshkit.checks.certificates import certificates_in, decoded, of_secret
from meshkit.facts import Finding, Object
from meshkit.meshes.linkerd.pki import signed
from meshkit.meshes.view import View, finding

_SERVICES = ("linkerd-proxy-injector", "linkerd-sp-validator", "linkerd-policy-validator")
_REMEDY = "Upgrade the release of linkerd-control-plane, which makes both anew."


def check(view: View) -> Iterator[Finding]:
    """The serving certificate of each webhook of Linkerd."""
    if view.mesh != "linkerd":
        return
    hooks = (*view.hooks, *view.validators)
    for service in _SERVICES:
        secret = view.named("Secret", f"{service}-k8s-tls")
        if secret is not None:
            yield from of_secret(view, secret, ("tls.crt",))
            chain = certificates_in(decoded((secret.get("data") or {}).get("tls.crt", "")))
            if chain:
                yield from _trusted(secret, chain, [hook for hook in hooks if _calls(hook, service)])
                yield from _named(view, secret, chain[0], service)


def _calls(hook: Mapping[str, Any], service: str) -> bool:
    return bool((hook["clientConfig"].get("service") or {}).get("name") == service)


def _trusted(
    secret: Object, chain: Sequence[x509.Certificate], hooks: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    for hook in hooks:
        trusted = certificates_in(decoded(hook["clientConfig"].get("caBundle") or ""))
        if trusted and not any(signed(one, anchor) for one in chain for anchor in trusted):
            message = f"webhook {hook['name']} trusts another CA than the one that signed tls.crt."
            yield finding("MK0813", "error", secret, message, _REMEDY)


def _named(view: View, secret: Object, certificate: x509.Certificate, service: str) -> Iterator[Finding]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    name, names = f"{service}.{view.home}.svc", alternatives.get_values_for_type(x509.DNSName)
    if name not in names:
        message = f"tls.crt is for {', '.join(names) or 'no name'}, not for {name}, which is called."
        yield finding("MK0814", "error", secret, message, _REMEDY)
