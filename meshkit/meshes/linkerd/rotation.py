"""The state of a rotation of Linkerd's identity, read from the cluster, and the steps of its next phase.

    settled   one anchor, every proxy trusts it trust     a second anchor is added to the bundle; every proxy
    restarts, as it reads the bundle at its start issue     an issuer of the new anchor replaces the old one;
    Linkerd confirms it by an Event renew     every proxy restarts and gets a certificate of the new issuer
    retire    the old anchor is removed from the bundle; every proxy restarts again

Any two proxies trust each other's certificates at all times, so no request is lost. All state is in the
cluster, so any process can continue a rotation.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509

from meshkit.errors import BadInput, Conflict, ManualActionRequired
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.kube import manifests
from meshkit.kube.helm import release_of
from meshkit.kube.kinds import CONFIG_MAP
from meshkit.kube.metadata import annotations_of, title
from meshkit.kube.steps import Step
from meshkit.kube.workloads import owners, restarts, workload_needs
from meshkit.meshes.identity import CLOCK_SKEW, Pair, Phase, signed
from meshkit.meshes.linkerd.injection import INJECTION_RULES
from meshkit.meshes.linkerd.pki import (
    ANCHOR,
    BUNDLE,
    BUNDLE_KEY,
    ISSUER,
    SECRET,
    encoded,
    tls_data,
    tls_secret,
    trusts,
    written_at,
)

EVENT = Kind("v1", "Event")
MANAGER = "meshkit-rotation"
TAKEN_UP_AFTER = dt.timedelta(minutes=5)
"""The time after which a new issuer is assumed to be in use if its Event has expired: kubelets update a
mounted Secret within about two minutes, and Kubernetes keeps Events for an hour.
"""


@dataclass(frozen=True)
class LinkerdIdentity:
    """The identity of a Linkerd installation, as read from its cluster."""

    snapshot: Snapshot
    namespace: str

    @cached_property
    def bundle(self) -> str:
        """The trust anchors, PEM."""
        return str((self._roots.get("data") or {}).get(BUNDLE_KEY, ""))

    @cached_property
    def anchors(self) -> Sequence[x509.Certificate]:
        """The trust anchors."""
        return x509.load_pem_x509_certificates(self.bundle.encode())

    @cached_property
    def issuer(self) -> x509.Certificate:
        """The issuer."""
        data = self._secret(ISSUER)
        return x509.load_pem_x509_certificate(_text(data.get("crt.pem") or data["tls.crt"]))

    @cached_property
    def newest(self) -> Pair | None:
        """The anchor whose private key is stored, which signs the next issuer."""
        data = self._secret(ANCHOR)
        if not {"tls.crt", "tls.key"} <= set(data):
            return None
        return Pair(_text(data["tls.crt"]).decode(), _text(data["tls.key"]).decode())

    @property
    def is_opaque(self) -> bool:
        """Whether the issuer's Secret has Linkerd's own format, not that of cert-manager."""
        return "crt.pem" in self._secret(ISSUER)

    @cached_property
    def proxies(self) -> Sequence[Object]:
        """The pods with a proxy."""
        return INJECTION_RULES.proxies(self.snapshot.of("Pod"))

    @property
    def phase(self) -> Phase:
        """The present phase of the rotation."""
        if len(self.anchors) == 1:
            return "retire" if self.untrusting else "settled"
        if self.joined is None or self.untrusting:
            return "trust"
        if not signed(self.issuer, self.joined):
            return "issue"
        return "renew" if self.unrenewed else "retire"

    @property
    def joined(self) -> x509.Certificate | None:
        """The new anchor, if the bundle has both the old and the new one."""
        if self.newest is None or len(self.anchors) < 2:
            return None
        newest = x509.load_pem_x509_certificate(self.newest.certificate.encode())
        return newest if newest in self.anchors else None

    @property
    def untrusting(self) -> list[Object]:
        """The proxies that were started with another bundle."""
        return [pod for pod in self.proxies if not trusts(pod, self._roots)]

    @property
    def unrenewed(self) -> list[Object]:
        """The proxies that may still have a certificate of the previous issuer."""
        since = self.taken_up or self._issuer_made + TAKEN_UP_AFTER
        return [
            pod
            for pod in self.proxies
            if dt.datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) <= since
        ]

    @property
    def taken_up(self) -> dt.datetime | None:
        """When Linkerd loaded the present issuer, by its Event, or None."""
        return min(self.times_taken_up, default=None)

    @property
    def times_taken_up(self) -> list[dt.datetime]:
        """When Linkerd loaded an issuer since the present one was stored, by its Events."""
        times = map(_event_time, self.snapshot.of("Event", self.namespace))
        return [at for at in times if at and at >= self._issuer_made]

    def require_rotatable(self) -> None:
        """Raise ``BadInput`` for an identity that is missing, or that another program owns."""
        require_rotatable(self)

    def steps(self, phase: Phase, anchor: Pair | None, issuer: Pair | None, at_once: int) -> list[Step]:
        """The steps of one phase, in order. Raises ``Conflict`` for an issuer that the anchor in the cluster
        has not signed.
        """
        match phase:
            case "settled":
                return []
            case "trust":
                return trust_steps(self, None if self.joined else anchor, at_once)
            case "issue":
                return issue_steps(self, self._require_signed(issuer))
            case "renew":
                return renew_steps(self, at_once)
            case "retire":
                return retire_steps(self, at_once)

    def _require_signed(self, issuer: Pair | None) -> Pair:
        """The issuer, if the anchor in the cluster is the one that signed it."""
        if issuer is not None and self.newest is not None:
            anchor = x509.load_pem_x509_certificate(self.newest.certificate.encode())
            if signed(x509.load_pem_x509_certificate(issuer.certificate.encode()), anchor):
                return issuer
        raise Conflict(
            f"The trust anchor in {self.namespace} is not the one that was planned with.",
            remedy="Plan again to go on.",
        )

    @property
    def _issuer_made(self) -> dt.datetime:
        """When the present issuer was written to its Secret, which may be after its creation."""
        secret = self.snapshot.find("Secret", ISSUER, self.namespace) or {"metadata": {}}
        made = self.issuer.not_valid_before_utc + CLOCK_SKEW
        return max([made, *written_at(secret, "crt.pem", "tls.crt")])

    @property
    def _roots(self) -> Object:
        return self.snapshot.find("ConfigMap", BUNDLE, self.namespace) or {"metadata": {}}

    def _secret(self, name: str) -> dict[str, str]:
        return dict((self.snapshot.find("Secret", name, self.namespace) or {}).get("data") or {})


def needs(namespace: str) -> tuple[Need, ...]:
    """The objects that a LinkerdIdentity reads."""
    inside = (Need(kind, namespace) for kind in (SECRET, CONFIG_MAP, EVENT))
    return (*workload_needs(None), *inside)


def require_rotatable(state: LinkerdIdentity) -> None:
    """Raise ``BadInput`` for a missing identity, or one that another program manages."""
    namespace = state.namespace
    found = state.snapshot.find("ConfigMap", BUNDLE, namespace)
    secret = state.snapshot.find("Secret", ISSUER, namespace)
    if found is None or secret is None:
        missing = f"ConfigMap {BUNDLE}" if found is None else f"Secret {ISSUER}"
        raise BadInput("identity", f"{namespace} has no {missing}.", remedy="Install Linkerd first.")
    if release_of(found):
        raise BadInput(
            "identity",
            f"the trust anchors in {title(found)} belong to a Helm release.",
            remedy="Take it out of the release: the plan of the control plane says how.",
        )
    if "cert-manager.io/certificate-name" in annotations_of(secret):
        raise BadInput(
            "identity",
            f"cert-manager renews {title(secret)}.",
            remedy="Rotate there: its Certificate names the anchor.",
        )


def trust_steps(state: LinkerdIdentity, anchor: Pair | None, at_once: int) -> list[Step]:
    """The steps for the new anchor's Secret, the bundle with both, and restarts of outdated proxies."""
    if anchor is None:
        return _restarts(state, state.untrusting, at_once)
    both = f"{state.bundle.strip()}\n{anchor.certificate.strip()}\n"
    secret = tls_secret(ANCHOR, state.namespace, anchor, anchor)
    return [
        Step(secret, manager=MANAGER, force=True),
        _bundle(state.namespace, both),
        *_restarts(state, state.proxies, at_once),
    ]


def issue_steps(state: LinkerdIdentity, issuer: Pair) -> list[Step]:
    """The step for the new issuer, in the format of the old one."""
    assert state.newest is not None
    if state.is_opaque:
        data = encoded({"crt.pem": issuer.certificate, "key.pem": issuer.key})
    else:
        data = tls_data(issuer, state.newest)
    return [Step(manifests.obj(SECRET, ISSUER, state.namespace, data=data), manager=MANAGER, force=True)]


def renew_steps(state: LinkerdIdentity, at_once: int) -> list[Step]:
    """The restarts of proxies with a certificate of the old issuer."""
    return _restarts(state, state.unrenewed, at_once)


def retire_steps(state: LinkerdIdentity, at_once: int) -> list[Step]:
    """The steps for the bundle without the old anchor, and restarts of proxies that still trust it."""
    if len(state.anchors) == 1:
        return _restarts(state, state.untrusting, at_once)
    assert state.newest is not None
    return [
        _bundle(state.namespace, state.newest.certificate),
        *_restarts(state, state.proxies, at_once),
    ]


def _restarts(state: LinkerdIdentity, pods: Sequence[Object], at_once: int) -> list[Step]:
    """Restarts of the workloads of these pods, in waves.

    Raises ``ManualActionRequired`` for pods without a workload that a restart replaces.
    """
    found, others = owners(pods, state.snapshot)
    if others:
        raise ManualActionRequired(
            f"{len(others)} pods must be replaced by hand: {', '.join(map(title, others[:5]))}.",
            remedy="Delete those whose owner makes them again, make the others again yourself, then go on.",
        )
    return restarts(found, at_once)


def _bundle(namespace: str, text: str) -> Step:
    part = manifests.obj(CONFIG_MAP, BUNDLE, namespace, data={BUNDLE_KEY: text})
    return Step(part, manager=MANAGER, partial=True, force=True)


def _event_time(event: Object) -> dt.datetime | None:
    if event.get("reason") != "IssuerUpdated":
        return None
    noted = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return dt.datetime.fromisoformat(str(noted))


def _text(encoded: str) -> bytes:
    return base64.b64decode(encoded)
