"""``mk.plan_rotation``: a new trust anchor and issuer for a running mesh, without a lost request.

Four changes, each journaled and undone like any other: ``IdentityState.phase`` says what they are. The
plan holds the new keys, so that the anchor which was shown is the one that is trusted; from there they go
straight into Secrets. Each later change is planned from what the cluster holds then.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput, TimedOut
from meshkit.facts import ClusterRef
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.identity import IdentityState, Pair, Phase
from meshkit.operations.change import plan_steps
from meshkit.operations.clock import Clock
from meshkit.operations.identity.create import identity_of, made_anchor, made_issuer, require_lifetimes
from meshkit.operations.plan import Change, Changes, Plan, pending
from meshkit.operations.progress import ChangeStarted, OnEvent, WaitStarted, noop
from meshkit.operations.traffic_gate import TrafficGateOptions, apply_gated
from meshkit.operations.which_mesh import mesh_of

NAME = "rotation"
_LOOK_S = 1.0
_TAKEN_UP_S = 300.0
"""How long a control plane may take to notice an issuer; kubelets take up to two minutes to bring a changed
Secret in.
"""
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
    mesh: str
    phase: Phase
    anchors: tuple[str, ...]
    issuer: str
    proxies: int
    untrusting: int
    """Proxies made with another bundle of anchors."""

    def __str__(self) -> str:
        lines = [f"{self.mesh} on cluster {self.cluster}", *(f"anchor  {text}" for text in self.anchors)]
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

    mesh: str
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
        call is seen (see ``TrafficGateOptions``), and ``TimedOut`` where the control plane does not use the
        new issuer.
        """
        done: list[Change] = []
        plan, gate = self.first, self.options.gate
        while not plan.empty:
            progress(ChangeStarted(plan.what))
            reason = why or "rotation of the identity"
            done.append(apply_gated(plan, cluster, gate, progress=progress, why=reason))
            if plan.facts["phase"] == "issue":
                await_taken_up(cluster, self.mesh, self.namespace, gate.clock, progress)
            plan = self._next(cluster)
        return Changes("Rotation of the identity", tuple(done))

    def _next(self, cluster: Cluster) -> Plan:
        """The next change, from what the cluster holds now."""
        state = _read(cluster, self.mesh, self.namespace)
        operation = Operation(NAME, self.mesh, self.namespace, {"phase": state.phase})
        steps = state.steps(state.phase, self.anchor, self.issuer, self.options.at_once)
        return _phase(cluster, operation, steps)


def identity_status(cluster: Cluster, *, mesh: str | None = None, namespace: str = "") -> IdentityStatus:
    """The trust anchors and the issuer of a mesh, and how far a rotation is; shows no key.

    ``namespace`` is the control plane's, by default the mesh's usual one. Raises ``BadInput`` where there is
    no identity, and ``UnsupportedByMesh`` for a mesh that makes its own.
    """
    mesh = mesh_of(cluster, mesh)
    state = _read(cluster, mesh, namespace or _home(mesh))
    return IdentityStatus(
        cluster=cluster.ref,
        mesh=mesh,
        phase=state.phase,
        anchors=tuple(map(_describe, state.anchors)),
        issuer=_describe(state.issuer),
        proxies=len(state.proxies),
        untrusting=len(state.untrusting),
    )


def plan_rotation(
    cluster: Cluster,
    *,
    mesh: str | None = None,
    namespace: str = "",
    options: RotationOptions | None = None,
) -> RotationPlan:
    """What rotates the trust anchor and the issuer of a mesh. Goes on with a rotation that is under way, and
    begins one otherwise. Changes nothing.

    ``namespace`` is the control plane's, by default the mesh's usual one. Raises ``UnsupportedByMesh`` for a
    mesh that makes its own identity, ``BadInput`` for an identity that Helm or cert-manager owns, and
    ``ManualActionRequired`` for pods that no Deployment makes anew.
    """
    options = options or RotationOptions()
    mesh = mesh_of(cluster, mesh)
    namespace, identity = namespace or _home(mesh), identity_of(mesh)
    state = _read(cluster, mesh, namespace)
    phase = "trust" if state.phase == "settled" else state.phase
    anchor = issuer = None
    if phase == "trust" and not state.joined:
        anchor = made_anchor(identity, options.trust_domain, options.anchor_days)
    if phase in ("trust", "issue"):
        above = anchor or state.newest
        assert above is not None
        issuer = made_issuer(identity, above, options.trust_domain, options.issuer_days)
    steps = state.steps(phase, anchor, issuer, options.at_once)
    return RotationPlan(
        mesh=mesh,
        namespace=namespace,
        options=options,
        cluster=cluster.ref,
        first=_phase(cluster, Operation(NAME, mesh, namespace, {"phase": phase}), steps),
        later=_PHASES[_PHASES.index(phase) + 1 :],
        anchor=anchor,
        issuer=issuer,
    )


def _phase(cluster: Cluster, operation: Operation, steps: Sequence[Step]) -> Plan:
    """The change of the phase that the operation names."""
    return plan_steps(steps, cluster, operation, what=_WHAT[cast(Phase, operation.facts["phase"])])


def _home(mesh: str) -> str:
    return registry.mesh(mesh).control_plane.home


def _read(cluster: Cluster, mesh: str, namespace: str) -> IdentityState:
    identity = identity_of(mesh)
    state = identity.state(snapshot.read(cluster, identity.needs(namespace)), namespace)
    state.require_rotatable()
    return state


def await_taken_up(
    cluster: Cluster,
    mesh: str,
    namespace: str,
    clock: Clock,
    progress: OnEvent,
    *,
    since: dt.datetime | None = None,
) -> None:
    """Wait until the control plane uses an issuer, not before ``since``: a proxy that is made earlier gets a
    certificate of the previous issuer.
    """
    title = registry.mesh(mesh).title
    progress(WaitStarted(f"{title} takes the new issuer up; a kubelet needs up to two minutes"))
    until_s = clock.now() + _TAKEN_UP_S
    # An Event's time is in whole seconds.
    earliest = since.replace(microsecond=0) if since else dt.datetime.min.replace(tzinfo=dt.UTC)
    while not any(at >= earliest for at in _read(cluster, mesh, namespace).times_taken_up):
        if clock.now() >= until_s:
            raise TimedOut(
                f"{title} has not taken the new issuer up: no Event in namespace {namespace} says so.",
                remedy=f"See 'kubectl events -n {namespace}'; then go on with 'meshkit identity rotate'.",
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
