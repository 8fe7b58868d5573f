"""``mk.rotate_identity``: a new trust anchor and issuer for a running Linkerd, without a lost request.

Four changes, each planned from what the cluster holds, journaled and undone like any other: see
planners/rotation.py for what they are. Keys are made here and go straight into Secrets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from meshkit.cluster import snapshot
from meshkit.cluster.connect import Cluster
from meshkit.cluster.executor import Progress
from meshkit.errors import BadInput, TimedOut
from meshkit.facts import ClusterRef
from meshkit.kube.steps import Step
from meshkit.meshes.linkerd import rotation
from meshkit.meshes.linkerd.control_plane import NAMESPACE
from meshkit.meshes.linkerd.rotation import Phase, Standing
from meshkit.operations.change import plan_steps, silent
from meshkit.operations.clock import Clock
from meshkit.operations.identity.create import made_anchor, made_issuer, require_lifetimes
from meshkit.operations.plan import Change, Plan
from meshkit.operations.traffic_gate import Judging, judged

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
class Rotating:
    """How an identity is rotated: lifetimes in days, workloads restarted at once, how calls are judged."""

    anchor_days: int = 3650
    issuer_days: int = 365
    trust_domain: str = "cluster.local"
    at_once: int = 1
    judging: Judging = field(default_factory=Judging)

    def __post_init__(self) -> None:
        require_lifetimes(self.anchor_days, self.issuer_days)
        if not 1 <= self.at_once <= 20:
            raise BadInput("at_once", f"{self.at_once} is not between 1 and 20.", remedy="Take 1.")


def identity_status(cluster: Cluster, *, namespace: str = NAMESPACE) -> IdentityStatus:
    """Linkerd's identity as it stands; no key is read out. Raises ``BadInput`` where there is none."""
    standing = _read(cluster, namespace)
    return IdentityStatus(
        cluster=cluster.ref,
        phase=standing.phase,
        anchors=tuple(map(_told, standing.anchors)),
        issuer=_told(standing.issuer),
        proxies=len(standing.proxies),
        untrusting=len(standing.untrusting),
    )


def plan_rotation(
    cluster: Cluster, *, namespace: str = NAMESPACE, how: Rotating | None = None, begin: bool = True
) -> Plan:
    """The next change of a rotation. ``begin``: where none is under way, one begins; else nothing is to do.

    Raises ``BadInput`` for an identity that Helm or cert-manager owns, ``NeedsPerson`` for pods that no
    Deployment makes anew.
    """
    how = how or Rotating()
    standing = _read(cluster, namespace)
    phase = standing.phase
    if phase == "settled" and begin:
        phase = "trust"
    return plan_steps(_steps(standing, phase, how), cluster, what=_WHAT[phase], mesh="linkerd")


def rotate_identity(
    cluster: Cluster,
    *,
    namespace: str = NAMESPACE,
    how: Rotating | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = silent,
) -> list[Change]:
    """Rotate the trust anchor and the issuer, from wherever a rotation stands to its end.

    Every proxy is restarted three times, and the mesh's calls are judged after each wave of restarts. A
    change that fails, or makes calls worse, is taken back, and the error says so; run it again to go on.
    Raises what ``plan_rotation`` raises, ``NeedsPerson`` before anything is changed where no call is seen
    (see ``Judging``), and ``TimedOut`` where Linkerd does not take the new issuer up.
    """
    how = how or Rotating()
    done: list[Change] = []
    while True:
        plan = plan_rotation(cluster, namespace=namespace, how=how, begin=not done)
        if plan.empty:
            return done
        say(f"{plan.what}.")
        why = "rotation of the identity"
        done.append(judged(plan, cluster, how.judging, progress=progress, say=say, why=why))
        if plan.what == _WHAT["issue"]:
            say("Waiting until Linkerd takes the new issuer up; a kubelet needs up to two minutes.")
            _await_taken_up(cluster, namespace, how.judging.clock)


def _steps(standing: Standing, phase: Phase, how: Rotating) -> list[Step]:
    match phase:
        case "settled":
            return []
        case "trust":
            anchor = None if standing.joined else made_anchor(how.trust_domain, how.anchor_days)
            return rotation.trust_steps(standing, anchor, how.at_once)
        case "issue":
            assert standing.newest is not None
            issuer = made_issuer(standing.newest, how.trust_domain, how.issuer_days)
            return rotation.issue_steps(standing, issuer)
        case "renew":
            return rotation.renew_steps(standing, how.at_once)
        case "retire":
            return rotation.retire_steps(standing, how.at_once)


def _read(cluster: Cluster, namespace: str) -> Standing:
    standing = Standing(snapshot.read(cluster, rotation.needs(namespace)), namespace)
    rotation.require_rotatable(standing)
    return standing


def _await_taken_up(cluster: Cluster, namespace: str, clock: Clock) -> None:
    """Wait for Linkerd's own word: a proxy that is made before it gets a certificate of the old issuer."""
    until_s = clock.now() + _TAKEN_UP_S
    while _read(cluster, namespace).taken_up is None:
        if clock.now() >= until_s:
            raise TimedOut(
                "Linkerd has not taken the new issuer up: there is no Event IssuerUpdated.",
                remedy="See 'kubectl events -n linkerd'; then go on with 'meshkit identity rotate'.",
                waited_s=_TAKEN_UP_S,
            )
        clock.sleep(_LOOK_S)
    # Events and pods know whole seconds: a pod of the same second would count as made before.
    clock.sleep(1.0)


def _told(certificate: x509.Certificate) -> str:
    """A certificate for people: name, end, the beginning of its SHA-256."""
    end: dt.datetime = certificate.not_valid_after_utc
    name: Any = certificate.subject.rfc4514_string()
    return f"{name}, until {end:%Y-%m-%d}, sha256 {certificate.fingerprint(hashes.SHA256()).hex()[:16]}"
