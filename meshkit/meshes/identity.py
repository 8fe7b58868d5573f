"""The protocol of a mesh's identity that meshkit makes and rotates: pure, keys come from the caller.

Not every mesh has one: where the control plane signs with a root of its own, ``Mesh.identity`` is None.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from meshkit.facts import Need, Object, Snapshot
from meshkit.kube.steps import Step

CLOCK_SKEW = dt.timedelta(seconds=20)
"""How long before they are made certificates begin to be valid, for clocks that are late."""
Phase = Literal["settled", "trust", "issue", "renew", "retire"]
"""What a rotation is in the middle of: see ``IdentityState.phase``."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM. The key is left out of every representation."""

    certificate: str
    key: str = field(repr=False)


def signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """Whether one certificate was signed by the other, or is the other."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return certificate == by
    return True


class IdentityState(Protocol):
    """The identity of one control plane as its cluster holds it."""

    @property
    def anchors(self) -> Sequence[x509.Certificate]:
        """The trust anchors."""

    @property
    def issuer(self) -> x509.Certificate:
        """The certificate that signs those of proxies."""

    @property
    def newest(self) -> Pair | None:
        """The anchor whose key is kept: it signs the next issuer."""

    @property
    def joined(self) -> x509.Certificate | None:
        """The new anchor, once it is trusted beside the old one."""

    @property
    def proxies(self) -> Sequence[Object]:
        """The pods with a proxy."""

    @property
    def untrusting(self) -> Sequence[Object]:
        """The proxies that were made with other anchors than the present ones."""

    @property
    def times_taken_up(self) -> Sequence[dt.datetime]:
        """When the control plane began to use an issuer, since the present one was written."""

    @property
    def phase(self) -> Phase:
        """Whether a rotation is next to trust the new anchor, issue by it, renew the certificates of proxies,
        or retire the old anchor; ``settled`` where none is under way.
        """

    def require_rotatable(self) -> None:
        """Raise ``BadInput`` for an identity that is missing, or that another program owns."""

    def steps(self, phase: Phase, anchor: Pair | None, issuer: Pair | None, at_once: int) -> Sequence[Step]:
        """The steps of one phase, in order; ``at_once`` workloads restart together.

        ``anchor`` is the new one, unless it is trusted already; ``issuer`` is needed to issue.
        """


@dataclass(frozen=True)
class Identity:
    """How a mesh keeps a trust anchor and an issuer that meshkit makes."""

    secrets: tuple[str, ...]
    """The names of the Secrets in which they are kept."""
    anchor_name: str
    """The common name of an anchor; ``{trust_domain}`` stands for the trust domain."""
    issuer_name: str
    """The common name of an issuer, likewise."""
    create: Callable[[str, Pair, Pair], Sequence[Step]]
    """The steps that put an anchor and an issuer into a namespace."""
    needs: Callable[[str], tuple[Need, ...]]
    """What ``state`` must see of the cluster, for a control plane in that namespace."""
    state: Callable[[Snapshot, str], IdentityState]
    """The identity of the control plane in that namespace."""
