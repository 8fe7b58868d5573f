"""``mk.plan_rotation`` replaces the trust anchor and issuer of a running Linkerd without losing requests.

A rotation is four changes, each journaled and undone like any other; meshes/linkerd/rotation.py describes
them. The plan holds the new keys, so that the anchor that was shown is the one that becomes trusted; from the
plan they go straight into Secrets. Each later change is planned from the state of the cluster at that time.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput, Conflict, TimedOut
from meshkit.facts import ClusterRef
from meshkit.kube.steps import Step
from meshkit.meshes.linkerd import rotation
from meshkit.meshes.linkerd.control_plane import NAMESPACE
from meshkit.meshes.linkerd.pki import Pair, signed
from meshkit.meshes.linkerd.rotation import Phase, Standing
from meshkit.operations.change import plan_steps
from meshkit.operations.clock import Clock
from meshkit.operations.identity.create import made_anchor, made_issuer, require_lifetimes
from meshkit.operations.plan import Change, Changes, Plan, pending
from meshkit.operations.progress import ChangeStarted, OnEvent, WaitStarted, noop
from meshkit.operations.traffic_gate import TrafficGateOptions, apply_gated

NAME = "rotation"
_LOOK_S = 1.0
_TAKEN_UP_S = 300.0
"""Time limit for Linkerd to load an issuer: kubelets update a mounted Secret within two minutes."""
_WHAT: dict[Phase, str] = {
    "settled": "Identity: settled",
    "trust": "Identity 1/4: trust a new anchor beside the old",
    "issue": "Identity 2/4: install an issuer signed by the new anchor",
    "renew": "Identity 3/4: renew certificates with the new issuer",
    "retire": "Identity 4/4: stop trusting the old anchor",
}
_PHASES: tuple[Phase, ...] = tuple(phase for phase in get_args(Phase) if phase != "settled")


@dataclass(frozen=True)
class IdentityStatus:
    """The trusted anchors and the issuer, when they expire, and the phase of a rotation."""

    cluster: ClusterRef
    phase: Phase
    anchors: tuple[str, ...]
    issuer: str
    proxies: int
    untrusting: int
    """Proxies that were created with another trust bundle."""

    def __str__(self) -> str:
        lines = [f"linkerd on cluster {self.cluster}", *(f"anchor  {text}" for text in self.anchors)]
        lines += [
            f"issuer  {self.issuer}",
            f"{self.proxies} proxies, {self.untrusting} with another trust bundle.",
        ]
        begun = "A rotation is in progress: 'meshkit identity rotate' resumes it."
        return "\n".join([*lines, "No rotation is in progress." if self.phase == "settled" else begun])

    __repr__ = __str__


@dataclass(frozen=True)
class RotationOptions:
    """Options of a rotation: lifetimes in days, workloads restarted at once, and how calls are judged."""

    anchor_days: int = 3650
    issuer_days: int = 365
    trust_domain: str = "cluster.local"
    at_once: int = 1
    gate: TrafficGateOptions = field(default_factory=TrafficGateOptions)

    def __post_init__(self) -> None:
        require_lifetimes(self.anchor_days, self.issuer_days)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Use 1.")


@dataclass(frozen=True)
class RotationPlan:
    """A plan of ``mk.plan_rotation``: the next change, the changes after it, and the new keys."""

    namespace: str
    options: RotationOptions
    cluster: ClusterRef
    first: Plan
    """The next change, checked on the server."""
    later: tuple[Phase, ...]
    """The phases that follow it."""
    anchor: Pair | None
    """The new trust anchor; None where one is trusted already."""
    issuer: Pair | None
    """The new issuer, signed by the new anchor; None where it was issued already."""

    confirmation = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.first.empty

    def __str__(self) -> str:
        made = (("anchor", self.anchor), ("issuer", self.issuer))
        lines = [f"new {name}  {_described(pair)}" for name, pair in made if pair]
        return "\n".join([str(self.first), *lines, *(f"then {_WHAT[phase]}" for phase in self.later)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return pending(len(self.first.steps))

    def to_json(self) -> str:
        """The plan as a JSON text, without keys."""
        made = {"anchor": self.anchor, "issuer": self.issuer}
        certificates = {name: _described(pair) for name, pair in made.items() if pair}
        then = [_WHAT[phase] for phase in self.later]
        return json.dumps({**json.loads(self.first.to_json()), **certificates, "then": then}, indent=2)

    def run(self, cluster: Cluster, *, progress: OnEvent = noop, why: str = "") -> Changes:
        """Rotate the trust anchor and the issuer, starting with the plan's first change; ``mk.apply`` calls
        this.

        Every proxy restarts three times, and the mesh's calls are judged after each wave of restarts. A
        change that fails or makes calls worse is undone, and the error says so; plan again to continue.
        Raises what ``plan_rotation`` raises; ``ManualActionRequired`` before any change if no calls are seen
        (see ``TrafficGateOptions``); and ``TimedOut`` if Linkerd does not load the new issuer.
        """
        done: list[Change] = []
        plan, gate = self.first, self.options.gate
        while not plan.empty:
            progress(ChangeStarted(plan.what))
            reason = why or "rotation of the identity"
            done.append(apply_gated(plan, cluster, gate, progress=progress, why=reason))
            if plan.facts["phase"] == "issue":
                await_taken_up(cluster, self.namespace, gate.clock, progress)
            standing = _read(cluster, self.namespace)
            plan = _plan(standing, standing.phase, cluster, self.options, self.anchor, self.issuer)
        return Changes("Rotation of the identity", tuple(done))


def identity_status(cluster: Cluster, *, namespace: str = NAMESPACE) -> IdentityStatus:
    """Return the current state of Linkerd's identity, without reading keys; raise ``BadInput`` if there is
    none.
    """
    standing = _read(cluster, namespace)
    return IdentityStatus(
        cluster=cluster.ref,
        phase=standing.phase,
        anchors=tuple(map(_describe, standing.anchors)),
        issuer=_describe(standing.issuer),
        proxies=len(standing.proxies),
        untrusting=len(standing.untrusting),
    )


def plan_rotation(
    cluster: Cluster, *, namespace: str = NAMESPACE, options: RotationOptions | None = None
) -> RotationPlan:
    """Plan the rotation of Linkerd's trust anchor and issuer, or the rest of an interrupted rotation.

    Changes nothing. Raises ``BadInput`` for an identity that Helm or cert-manager owns, and
    ``ManualActionRequired`` for pods that no Deployment recreates.
    """
    options = options or RotationOptions()
    standing = _read(cluster, namespace)
    phase = "trust" if standing.phase == "settled" else standing.phase
    anchor = issuer = None
    if phase == "trust" and not standing.joined:
        anchor = made_anchor(options.trust_domain, options.anchor_days)
    if phase in ("trust", "issue"):
        above = anchor or standing.newest
        assert above is not None
        issuer = made_issuer(above, options.trust_domain, options.issuer_days)
    return RotationPlan(
        namespace=namespace,
        options=options,
        cluster=cluster.ref,
        first=_plan(standing, phase, cluster, options, anchor, issuer),
        later=_PHASES[_PHASES.index(phase) + 1 :],
        anchor=anchor,
        issuer=issuer,
    )


def _plan(
    standing: Standing,
    phase: Phase,
    cluster: Cluster,
    options: RotationOptions,
    anchor: Pair | None,
    issuer: Pair | None,
) -> Plan:
    """Plan the change of one phase."""
    operation = Operation(NAME, "linkerd", standing.namespace, {"phase": phase})
    steps = _steps(standing, phase, options.at_once, anchor, issuer)
    return plan_steps(steps, cluster, operation, what=_WHAT[phase])


def _steps(
    standing: Standing, phase: Phase, at_once: int, anchor: Pair | None, issuer: Pair | None
) -> list[Step]:
    match phase:
        case "settled":
            return []
        case "trust":
            return rotation.trust_steps(standing, None if standing.joined else anchor, at_once)
        case "issue":
            if issuer is None or not _signed_by_newest(standing, issuer):
                raise Conflict(
                    f"The trust anchor in {standing.namespace} is not the one in the plan.",
                    remedy="Plan again to continue.",
                )
            return rotation.issue_steps(standing, issuer)
        case "renew":
            return rotation.renew_steps(standing, at_once)
        case "retire":
            return rotation.retire_steps(standing, at_once)


def _signed_by_newest(standing: Standing, issuer: Pair) -> bool:
    """Whether the anchor in the cluster is the one that signed the planned issuer."""
    if standing.newest is None:
        return False
    anchor = x509.load_pem_x509_certificate(standing.newest.certificate.encode())
    return signed(x509.load_pem_x509_certificate(issuer.certificate.encode()), anchor)


def _read(cluster: Cluster, namespace: str) -> Standing:
    standing = Standing(snapshot.read(cluster, rotation.needs(namespace)), namespace)
    rotation.require_rotatable(standing)
    return standing


def await_taken_up(
    cluster: Cluster, namespace: str, clock: Clock, progress: OnEvent, *, since: dt.datetime | None = None
) -> None:
    """Wait for Linkerd's Event that it loaded an issuer, not before ``since``.

    A proxy that is created before this Event gets a certificate from the previous issuer.
    """
    progress(WaitStarted("Linkerd has loaded the new issuer (up to two minutes)"))
    until_s = clock.now() + _TAKEN_UP_S
    # Events have a resolution of one second.
    earliest = since.replace(microsecond=0) if since else dt.datetime.min.replace(tzinfo=dt.UTC)
    while not any(at >= earliest for at in _read(cluster, namespace).times_taken_up):
        if clock.now() >= until_s:
            raise TimedOut(
                "Linkerd has not loaded the new issuer: there is no Event IssuerUpdated.",
                remedy="See 'kubectl events -n linkerd', then resume with 'meshkit identity rotate'.",
                waited_s=_TAKEN_UP_S,
            )
        clock.sleep(_LOOK_S)
    # Timestamps have a resolution of one second: a pod of the same second would count as older.
    clock.sleep(1.0)


def _described(pair: Pair) -> str:
    return _describe(x509.load_pem_x509_certificate(pair.certificate.encode()))


def _describe(certificate: x509.Certificate) -> str:
    """Describe a certificate by its name, its end and the beginning of its SHA-256."""
    end: dt.datetime = certificate.not_valid_after_utc
    name: Any = certificate.subject.rfc4514_string()
    return f"{name}, until {end:%Y-%m-%d}, sha256 {certificate.fingerprint(hashes.SHA256()).hex()[:16]}"
