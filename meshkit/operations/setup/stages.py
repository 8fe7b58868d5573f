"""The stages of the guided setup, in their order: the purpose of each, its prerequisites, and its status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meshkit.errors import UnknownName
from meshkit.intent.base import Intent
from meshkit.intent.injection import Injection
from meshkit.intent.mesh import ControlPlane
from meshkit.intent.security import Access, MutualTLS
from meshkit.intent.traffic import Route
from meshkit.operations.access.enforcement import enforces
from meshkit.operations.plan import Plan
from meshkit.operations.setup import status as stage_status
from meshkit.operations.setup.proposals import propose_access, propose_control_plane, propose_route
from meshkit.operations.setup.status import ClusterObservation, StageStatus


@dataclass(frozen=True)
class Stage:
    """One stage: its key, its title, its purpose, and the stages that must be done before it."""

    name: str
    title: str
    why: str
    after: tuple[str, ...]
    status: Callable[[ClusterObservation], StageStatus]
    propose: Callable[[ClusterObservation], Intent | None] = lambda _: None
    """Proposes the stage's intent; None if a person must provide it, or if the stage changes nothing."""
    intent: type[Intent] | None = None
    """The type of intent that its form edits; None for a stage that changes nothing."""
    watched: bool = False
    """Whether its change is watched, and undone automatically if calls are refused."""

    def __repr__(self) -> str:
        return f"Stage({self.name!r})"


STAGES: tuple[Stage, ...] = (
    Stage(
        "preflight",
        "Preflight",
        "Checks whether this cluster can run the mesh: nodes in several zones, the rights that the next "
        "stages need, no second mesh in the way. Nothing is changed.",
        (),
        stage_status.preflight,
    ),
    Stage(
        "control-plane",
        "Control plane",
        "Installs the control plane: it hands certificates and routes to the sidecars and injects them into "
        "new pods. Its replicas run in different zones, so that one zone can be lost. Running workloads "
        "are not touched.",
        ("preflight",),
        stage_status.control_plane,
        propose_control_plane,
        ControlPlane,
    ),
    Stage(
        "injection",
        "Sidecar injection",
        "From now on every new pod of {namespace} gets a sidecar, which encrypts, measures and routes its "
        "calls. Running pods are replaced in waves: a Deployment keeps its replicas while it "
        "restarts, and the next wave waits until the last is available.",
        ("control-plane",),
        stage_status.injection,
        lambda observed: Injection(namespace=observed.namespace),
        Injection,
    ),
    Stage(
        "mutual-tls",
        "Mutual TLS",
        "Servers in {namespace} prove who they are and ask callers for the same. Permissive still takes "
        "plain text and shows who sends it; strict refuses it. Strict mode is watched and undone "
        "automatically if calls are refused.",
        ("injection",),
        stage_status.mutual_tls,
        lambda observed: MutualTLS(namespace=observed.namespace, mode=next_mode(observed)),
        MutualTLS,
        watched=True,
    ),
    Stage(
        "access",
        "Access rules",
        "Defines which accounts may call a service; other callers get status 403. The proposal contains the "
        "callers that the sidecars have seen: add those that call rarely, such as nightly jobs. It is on "
        "trial first: the sidecars count whom it would refuse. Enforced rules are watched and undone "
        "automatically if a caller is denied.",
        ("mutual-tls",),
        stage_status.access,
        propose_access,
        Access,
        watched=True,
    ),
    Stage(
        "routes",
        "Routes and limits",
        "Defines how requests to a service are split among its versions, how often they are retried, "
        "and when a failing pod is ejected. A canary release later changes the weights of this "
        "route.",
        ("injection",),
        stage_status.routes,
        propose_route,
        Route,
    ),
    Stage(
        "verify",
        "Verify",
        "Verifies the whole setup under the current traffic: every pod has its sidecar, every "
        "call over mutual TLS, none refused, none lost. Nothing is changed.",
        ("mutual-tls",),
        stage_status.verified,
    ),
)


def stage(name: str) -> Stage:
    """Return the stage with a name; raise ``UnknownName``, which lists the known names."""
    by_name = {stage_.name: stage_ for stage_ in STAGES}
    if name not in by_name:
        raise UnknownName("stage", name, by_name)
    return by_name[name]


def is_watched(name: str, plan: Plan) -> bool:
    """Whether the change of a stage's plan is watched: a plan of access rules only if it enforces one."""
    wanted = stage(name)
    return wanted.watched and (wanted.intent is not Access or enforces(plan))


def stage_statuses(observed: ClusterObservation) -> tuple[StageStatus, ...]:
    """The status of each stage, "blocked" if a stage before it is not done."""
    found: dict[str, StageStatus] = {}
    for one in STAGES:
        missing = [_in_a_sentence(stage(name)) for name in one.after if blocks_later(found[name])]
        own = one.status(observed)
        if missing and own.state != "done":
            own = StageStatus("blocked", f"after {' and '.join(missing)}")
        found[one.name] = own
    return tuple(found.values())


def blocks_later(status: StageStatus) -> bool:
    """Whether a stage blocks later ones; a stage that was started and has a warning does not."""
    errors = any(finding.severity == "error" for finding in status.findings)
    return status.state in ("ready", "blocked") or (status.state == "attention" and errors)


def all_before(one: Stage) -> set[str]:
    """Every stage that must be done before this one."""
    direct = [stage(name) for name in one.after]
    return set(one.after).union(*(all_before(each) for each in direct))


def _in_a_sentence(one: Stage) -> str:
    return one.title[0].lower() + one.title[1:]


def next_mode(observed: ClusterObservation) -> Any:
    """Strict if no plaintext caller was seen, else permissive."""
    ready = all(finding.severity == "info" for finding in stage_status.readiness(observed))
    return "strict" if ready or stage_status.tls_mode(observed) == "strict" else "permissive"
