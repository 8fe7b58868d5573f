"""``mk.plan_rotation`` replaces the trust anchor and issuer of a running mesh without losing requests.

A rotation is four changes, each journaled and undone like any other; ``IdentityState.phase`` names them. The
plan holds the new keys, so that the anchor that was shown is the one that becomes trusted; from the plan they
go straight into Secrets. Each later change is planned from the state of the cluster at that time.
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
"""Time limit for a control plane to load an issuer: kubelets update a mounted Secret within two minutes."""
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
    mesh: str
    phase: Phase
    anchors: tuple[str, ...]
    issuer: str
    proxies: int
    untrusting: int
    """Proxies that were created with another trust bundle."""

    def __str__(self) -> str:
        lines = [f"{self.mesh} on cluster {self.cluster}", *(f"anchor  {text}" for text in self.anchors)]
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
        """Rotate the trust anchor and the issuer, starting with the plan's first change; ``mk.apply`` calls
        this.

        Every proxy restarts three times, and the mesh's calls are judged after each wave of restarts. A
        change that fails or makes calls worse is undone, and the error says so; plan again to continue.
        Raises what ``plan_rotation`` raises; ``ManualActionRequired`` before any change if no calls are seen
        (see ``TrafficGateOptions``); and ``TimedOut`` if the control plane does not load the new issuer.
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
    """Return the trust anchors and the issuer of a mesh and the state of a rotation, without reading keys.

    ``namespace`` is the control plane's, by default the mesh's standard one. Raises ``BadInput`` if there is
    no identity, and ``UnsupportedByMesh`` for a mesh that creates its own.
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
    """Plan the rotation of a mesh's trust anchor and issuer, or the rest of an interrupted rotation.

    Changes nothing. ``namespace`` is the control plane's, by default the mesh's standard one. Raises
    ``UnsupportedByMesh`` for a mesh that creates its own identity, ``BadInput`` for an identity that Helm or
    cert-manager owns, and ``ManualActionRequired`` for pods that no Deployment recreates.
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
    # Events have a resolution of one second.
    earliest = since.replace(microsecond=0) if since else dt.datetime.min.replace(tzinfo=dt.UTC)
    while not any(at >= earliest for at in _read(cluster, mesh, namespace).times_taken_up):
        if clock.now() >= until_s:
            raise TimedOut(
                f"{title} has not taken the new issuer up: no Event in namespace {namespace} says so.",
                remedy=f"See 'kubectl events -n {namespace}'; then go on with 'meshkit identity rotate'.",
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
