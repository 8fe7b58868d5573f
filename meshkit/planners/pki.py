"""The Secrets that hold a Linkerd mesh's identity, as steps. The keys come from elsewhere: nothing is random
here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from meshkit.planners.kubernetes import obj
from meshkit.planners.linkerd_control_plane import ISSUER, SECRET
from meshkit.planners.steps import Step

ANCHOR = "linkerd-trust-anchor"
"""cert-manager's walk-through for Linkerd keeps the trust anchor under this name too."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM. The key is left out of every representation."""

    certificate: str
    key: str = field(repr=False)


def identity_steps(namespace: str, anchor: Pair, issuer: Pair) -> list[Step]:
    """The trust anchor, and the issuer in the form that Linkerd's charts and cert-manager share: type
    ``kubernetes.io/tls`` with the anchor as ``ca.crt``.
    """
    return [
        Step(_secret(ANCHOR, namespace, anchor, anchor)),
        Step(_secret(ISSUER, namespace, issuer, anchor)),
    ]


def _secret(name: str, namespace: str, pair: Pair, signed_by: Pair) -> dict[str, object]:
    texts = {"ca.crt": signed_by.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return obj(SECRET, name, namespace, type="kubernetes.io/tls", data=data)
