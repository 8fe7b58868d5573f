"""``mk.plan_rotation``: a new trust anchor and issuer for a running Linkerd, without a lost request.

Four changes, each journaled and undone like any other: see meshes/linkerd/rotation.py for what they are. The
plan holds the new keys, so that the anchor which was shown is the one that is trusted; from there they go
straight into Secrets. Each later change is planned from what the cluster holds then.
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
"""How long Linkerd may take to notice an issuer: kubelets bring a changed Secret in within two minutes."""
_WHAT: dict[Phase, str] = {
    "settled": "Identity: settled",
    "trust": "Identity 1/4: a new anchor is trusted beside the old",
    "issue": "Identity 2/4: an issuer of the new anchor",
    "renew": "Identity 3/4: certificates of the new issuer",
    "retire": "Identity 4/4: the old anchor is trusted no more",
}
_PHASES: tuple[Phase, ...] = tuple(phase for phase in get_args(Phase) if phase != "settled")


@dataclass(frozen=True)
class IdentityStatus:
    """Who is trusted and who issues, until when, and what a rotation is in the middle of."""

    cluster: ClusterRef
    phase: Phase
    anchors: tuple[str, ...]
    issuer: str
    proxies: int
    untrusting: int
    """Proxies made with another bundle of anchors."""

    def __str__(self) -> str:
        lines = [f"linkerd on cluster {self.cluster}", *(f"anchor  {text}" for text in self.anchors)]
        lines += [f"issuer  {self.issuer}", f"{self.proxies} proxies, {self.untrusting} with other anchors."]
        begun = "A rotation is under way: 'meshkit identity rotate' goes on."
        return "\n".join([*lines, "No rotation is under way." if self.phase == "settled" else begun])

    __repr__ = __str__


@dataclass(frozen=True)
class RotationOptions:
    """How an identity is rotated: lifetimes in days, workloads restarted at once, how calls are judged."""

    anchor_days: int = 3650
    issuer_days: int = 365
    trust_domain: str = "cluster.local"
    at_once: int = 1
    gate: TrafficGateOptions = field(default_factory=TrafficGateOptions)

    def __post_init__(self) -> None:
        require_lifetimes(self.anchor_days, self.issuer_days)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Take 1.")


@dataclass(frozen=True)
class RotationPlan:
    """A rotation as ``mk.apply`` runs it: the next change, the ones after it, and the new keys. Made by
    ``mk.plan_rotation``.
    """

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
        """Rotate the trust anchor and the issuer, from the plan's first change to the end. ``mk.apply`` calls
        this.

        Every proxy is restarted three times, and the mesh's calls are judged after each wave of restarts. A
        change that fails, or makes calls worse, is taken back, and the error says so; plan again to go on.
        Raises what ``plan_rotation`` raises, ``ManualActionRequired`` before anything is changed where no
        call is seen (see ``TrafficGateOptions``), and ``TimedOut`` where Linkerd does not take the new issuer
        up.
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
    """Linkerd's identity as it stands; no key is read out. Raises ``BadInput`` where there is none."""
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
    """What rotates the trust anchor and the issuer of a Linkerd, from wherever a rotation stands; where none
    is under way, one begins. Changes nothing.

    Raises ``BadInput`` for an identity that Helm or cert-manager owns, ``ManualActionRequired`` for pods that
    no Deployment makes anew.
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
    """The change of one phase."""
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
                    f"The trust anchor in {standing.namespace} is not the one that was planned with.",
                    remedy="Plan again to go on.",
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
    """Wait for Linkerd's own Event that it took an issuer up, not before ``since``: a proxy that is made
    before it gets a certificate of the issuer before.
    """
    progress(WaitStarted("Linkerd takes the new issuer up; a kubelet needs up to two minutes"))
    until_s = clock.now() + _TAKEN_UP_S
    # An Event's time is in whole seconds.
    earliest = since.replace(microsecond=0) if since else dt.datetime.min.replace(tzinfo=dt.UTC)
    while not any(at >= earliest for at in _read(cluster, namespace).times_taken_up):
        if clock.now() >= until_s:
            raise TimedOut(
                "Linkerd has not taken the new issuer up: there is no Event IssuerUpdated.",
                remedy="See 'kubectl events -n linkerd'; then go on with 'meshkit identity rotate'.",
                waited_s=_TAKEN_UP_S,
            )
        clock.sleep(_LOOK_S)
    # Events and pods know whole seconds: a pod of the same second would count as made before.
    clock.sleep(1.0)


def _described(pair: Pair) -> str:
    return _describe(x509.load_pem_x509_certificate(pair.certificate.encode()))


def _describe(certificate: x509.Certificate) -> str:
    """A certificate for people: name, end, the beginning of its SHA-256."""
    end: dt.datetime = certificate.not_valid_after_utc
    name: Any = certificate.subject.rfc4514_string()
    return f"{name}, until {end:%Y-%m-%d}, sha256 {certificate.fingerprint(hashes.SHA256()).hex()[:16]}"
