"""Checks of the validity of a mesh's certificates: its CAs and the CA bundles of webhooks."""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.facts import Finding
from meshkit.meshes.certificates import certificates_in, check_secret, check_validity, decoded
from meshkit.meshes.checks import MeshChecks
from meshkit.meshes.view import View


def check(view: View, rules: MeshChecks) -> Iterator[Finding]:
    """Find certificates that are not valid now or expire soon."""
    for authority in rules.authorities:
        secret = view.named("Secret", authority.secret)
        if secret is not None:
            yield from check_secret(secret, authority.keys, view.now)
            break
    for hook in (*view.hooks, *view.validators):
        bundle = certificates_in(decoded(hook["clientConfig"].get("caBundle") or ""))
        yield from check_validity(f"webhook {hook['name']}", "its CA", bundle, view.now)
