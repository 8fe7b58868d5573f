"""The protocol of a mesh: everything that the rest of meshkit asks of one.

A mesh is one folder below this package. Its ``mesh.py`` makes the one value of ``Mesh``, and ``registry.py``
lists it. Whoever needs a difference between meshes adds a field here and fills it in each folder; no other
code compares the name of a mesh or keeps a table by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from meshkit.errors import BadInput, UnsupportedByMesh
from meshkit.facts import Finding, Kind, Need, Object, Snapshot
from meshkit.intent.base import Intent, Part, kind
from meshkit.intent.release import Release
from meshkit.kube.steps import Step
from meshkit.meshes.checks import MeshChecks
from meshkit.meshes.control_plane import ControlPlaneFacts
from meshkit.meshes.identity import Identity
from meshkit.meshes.injection import Injection
from meshkit.meshes.metrics import MetricTable
from meshkit.meshes.model.meaning import Meaning


@dataclass(frozen=True)
class WeightedRoute:
    """Where a mesh keeps the weights of a release: the object, and the way to its weighted destinations.

    ``spec[rules]`` is a list of rules, ``rule[destinations]`` the list that holds a ``weight`` for each
    version, and ``version_at`` the path within a destination to what the mesh calls the version.
    """

    kind: Kind
    name: str
    namespace: str
    rules: str
    destinations: str
    version_at: tuple[str, ...]
    stable: str
    """What the mesh calls the stable version; ``canary`` likewise."""
    canary: str
    rule: str | None = None
    """The name of the rule that is moved, None where rules have no names."""
    weight: int = 0
    """The weight of a destination that says none."""

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


class MeshPlanner(Protocol):
    """Turns intents into steps for one mesh."""

    @property
    def mesh(self) -> str:
        """The name of the mesh: ``istio``."""

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        """What ``plan`` and the checks must see of the cluster for this intent."""

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        """The steps that make the intent true, in order. Raises ``BadInput`` for what the mesh cannot do."""

    def weighted_route(self, release: Release) -> WeightedRoute:
        """Where the weights stand that a release moves. ``plan`` of a Route writes them there."""


@dataclass(frozen=True)
class MeshKinds:
    """The kinds of objects in which a mesh keeps what the guided path asks for."""

    route: Kind
    access: Kind
    """Who may call a service."""
    mutual_tls: Kind | None = None
    """None where a mesh has no object for it."""

    @property
    def all(self) -> tuple[Kind, ...]:
        """Each of them."""
        return tuple(each for each in (self.route, self.access, self.mutual_tls) if each)


@dataclass(frozen=True)
class RemovalMarks:
    """How the parts of a mesh are found when it is uninstalled."""

    charts: tuple[str, ...]
    """Its charts, in the order in which their releases go."""
    group: str
    """How the groups of its definitions end."""
    written: tuple[tuple[str, str], ...]
    """Kind and name of what the control plane itself, or ``make_identity``, wrote into its namespace."""
    roots: str
    """The ConfigMap with the roots that its proxies trust, which its control plane writes where they run."""
    elsewhere: str
    """How to take away what neither meshkit nor Helm installed."""
    copied: tuple[str, ...] = ()
    """ConfigMaps that the control plane wrote into every namespace."""
    copied_label: str = ""
    """The label, with its value, of these."""
    anywhere: tuple[str, ...] = ()
    """The charts whose releases may stand in any namespace."""
    definitions: tuple[str, ...] = ()
    """The charts that take the definitions along: their releases go only when these are asked for."""


class Retirement(Protocol):
    """Taking old revisions of a control plane away, once nobody needs them. Implemented by a module."""

    def needs(self, home: str, /) -> tuple[Need, ...]:
        """What the others must see, beside what an upgrade reads anyway."""

    def steps(self, snapshot: Snapshot, parts: Mapping[str, Sequence[Object]], /) -> list[Step]:
        """The steps that take revisions away, in order. ``parts`` maps each to its Deployments."""

    def left_over(self, snapshot: Snapshot, gone: Collection[str], /) -> Iterator[Object]:
        """The objects of these revisions that neither meshkit nor Helm made."""

    def require_ours(self, snapshot: Snapshot, gone: Collection[str], /) -> None:
        """Raise ``ManualActionRequired`` for a revision that another program installed."""

    def require_handed_over(self, gone: Collection[str], tags: Collection[str], /) -> None:
        """Raise ``BadInput`` where a new control plane with these tags leaves something to nobody."""


@dataclass(frozen=True)
class Revisions:
    """Control planes of one mesh side by side, each under a name, and the tags that name them."""

    label: str
    """The label of a namespace or of pods that asks for a revision or tag."""
    tags: Callable[[Snapshot], Mapping[str, str]]
    """Tag -> the revision it names."""
    installed: Callable[[Snapshot], set[str]]
    """The revisions whose webhooks a cluster holds."""
    foreign_mark: Callable[[Snapshot, Object, str], str]
    """Whose the mark is by which a namespace asks for that revision or tag, where it is not meshkit's; empty
    otherwise.
    """
    mark: Callable[[str, str], Step]
    """The step by which a namespace asks for a revision."""
    tag: Callable[[str, str, str, str], Step]
    """The step that gives a tag to a revision: of tag, revision, the control plane's namespace, and the
    failure policy of webhooks.
    """
    retirement: Retirement


@dataclass(frozen=True)
class Analyzer:
    """A mesh's own command-line program that looks for faults."""

    program: str
    arguments: Callable[[bool], list[str]]
    """What it is called with; True: before the mesh is installed."""
    findings: Callable[[Any], Iterator[Finding]]
    """The findings in what it prints, parsed from JSON."""


class InstallRight(NamedTuple):
    """A right that installing a mesh takes, beside those that every mesh takes."""

    verb: str
    group: str
    resource: str
    at_home: bool = False
    """Only in the control plane's namespace."""


@dataclass(frozen=True)
class Mesh:
    """One mesh. The optional parts are what not every mesh has."""

    name: str
    title: str
    planner: MeshPlanner
    metrics: MetricTable
    checks: MeshChecks
    injection: Injection
    control_plane: ControlPlaneFacts
    kinds: MeshKinds
    removal: RemovalMarks
    mutual_tls: Callable[[Snapshot, str], str]
    """``strict``, ``permissive`` or ``disable``: what the servers of a namespace accept."""
    meaning: Meaning
    revisions: Revisions | None = None
    analyzer: Analyzer | None = None
    identity: Identity | None = None
    """None where the control plane makes its own trust anchor and issuer."""
    install_rights: tuple[InstallRight, ...] = ()
    aggregated_api: str = ""
    """The command that needs an API of the mesh's own behind the API server; empty where there is none."""


def not_plannable(intent: Intent) -> BadInput:
    """The answer to an intent that is not a change by itself."""
    return BadInput(
        kind(type(intent)),
        "it is not planned but run.",
        remedy="Run releases with mk.run_release or 'meshkit release run'.",
    )


def cannot(mesh: str, model: type[Part], field: str, instead: str) -> UnsupportedByMesh:
    """The answer to a field that a mesh cannot honour: never imitated, never dropped in silence."""
    return UnsupportedByMesh(f"{kind(model)}.{field}", f"{mesh} cannot do this.", remedy=instead)
