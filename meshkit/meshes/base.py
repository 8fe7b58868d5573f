"""The interface between a mesh and the rest of meshkit.

A mesh is one folder in this package. Its ``mesh.py`` defines one value of ``Mesh``, which ``registry.py``
lists. A difference between meshes is a field here that each folder sets; no other code compares the name of a
mesh or uses it as a key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from meshkit.errors import BadInput, UnsupportedByMesh
from meshkit.facts import Finding, Kind, Need, Object, Snapshot
from meshkit.intent.base import Intent, Part, kind
from meshkit.intent.cohort import Cohort
from meshkit.intent.release import MirrorFirst, Release
from meshkit.kube.steps import Step
from meshkit.meshes.access import Shadow
from meshkit.meshes.checks import MeshChecks
from meshkit.meshes.control_plane import ControlPlaneFacts
from meshkit.meshes.identity import Identity
from meshkit.meshes.injection import Injection
from meshkit.meshes.metrics import MetricTable
from meshkit.meshes.model.meaning import Meaning
from meshkit.meshes.routing.written import WrittenRoutes
from meshkit.meshes.view import View


@dataclass(frozen=True)
class WeightedRoute:
    """The location of a release's weights: the object, and the path to its weighted destinations.

    ``spec[rules]`` is a list of rules and ``rule[destinations]`` a list with the ``weight`` of each version.
    ``version_at`` is the path, within a destination, to the mesh's name of the version.
    """

    kind: Kind
    name: str
    namespace: str
    rules: str
    destinations: str
    version_at: tuple[str, ...]
    stable: str
    """The mesh's name of the stable version; ``canary`` likewise."""
    canary: str
    rule: str | None = None
    """The name of the rule whose weights change; None if it has no name."""
    conditions: Sequence[Mapping[str, Any]] | None = None
    """The matches of a rule without a name, by which it is found again; None: any rule with both versions."""
    port: int | None = None
    """Rules whose ``match`` entries all name other ports are left out; None where rules have no ports."""
    weight: int = 0
    """The weight of a destination that does not state one."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Version -> its Service, where each version has one of its own."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Version -> the ``version`` label of its pods, where that is not the name of the version.

    Empty where the pods of the version have no common label ``version``, so that metrics do not name them.
    """

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"

    def may_be(self, rule: Mapping[str, Any]) -> bool:
        """Whether a rule has the name, or else the conditions, of this one, and can hold for its port."""
        matches = rule.get("match") or rule.get("matches") or []
        if self.rule is not None:
            same = rule.get("name") == self.rule
        else:
            same = self.conditions is None or list(matches) == list(self.conditions)
        ports = [match.get("port") for match in matches] or [None]
        return same and (self.port is None or any(port in (None, self.port) for port in ports))

    def pod_labels(self, version: str, service: Mapping[str, Any] | None) -> dict[str, str]:
        """The labels of a version's pods, by its ``service_of``; empty if they are not known."""
        labels = dict(((service or {}).get("spec") or {}).get("selector") or {})
        if version not in self.services:
            labels["version"] = self.labels.get(version, version)
        return labels

    def service_of(self, version: str, asked: str) -> str:
        """The Service of a version: one of its own, or the one that is asked."""
        return self.services.get(version, asked)

    def version_of(self, destination: Mapping[str, Any]) -> str:
        """The mesh's name of the version that a weighted destination leads to."""
        found: Any = destination
        for part in self.version_at:
            found = found.get(part) if isinstance(found, Mapping) else None
        return str(found)


@dataclass(frozen=True)
class Edge:
    """The rules at gateways that a release moves, and a sentence for each that it leaves as it is."""

    rules: tuple[WeightedRoute, ...] = ()
    unmoved: tuple[str, ...] = ()


class MeshPlanner(Protocol):
    """Turns intents into steps for one mesh."""

    @property
    def mesh(self) -> str:
        """The name of the mesh: ``istio``."""

    @property
    def limits(self) -> Mapping[str, Mapping[str, str]]:
        """Kind that can carry a Route -> the fields that it cannot, by place, with what it can do instead."""

    @property
    def policy_limits(self) -> Mapping[str, str]:
        """The fields of a DestinationPolicy that ``plan`` refuses, likewise."""

    @property
    def egress_limits(self) -> Mapping[str, str]:
        """The fields of an Egress that ``plan`` refuses, likewise."""

    @property
    def exposure_limits(self) -> Mapping[str, str]:
        """The fields of an Exposure that ``plan`` refuses, likewise."""

    def needs(self, intent: Intent) -> tuple[Need, ...]:
        """The objects that ``plan`` and the checks read for this intent."""

    def plan(self, intent: Intent, snapshot: Snapshot) -> tuple[Step, ...]:
        """The steps that apply the intent, in order.

        Raises ``BadInput`` for what the mesh does not support.
        """

    def weighted_route(self, release: Release) -> WeightedRoute:
        """The location of a release's weights if ``plan`` of a Route wrote them."""

    def require_followed(self, release: Release, snapshot: Snapshot) -> None:
        """Raise ``BadInput`` for a Service port where proxies follow no route."""

    def splits(self, release: Release, obj: Object, snapshot: Snapshot) -> Iterator[WeightedRoute]:
        """The rules of a route object, whoever wrote it, that split requests between both versions.

        ``snapshot`` has the objects that say which pods a destination leads to.
        """

    def edge(self, release: Release, snapshot: Snapshot) -> Edge:
        """The rules, whoever wrote them, by which requests from outside reach the Service of a release."""

    def cohort_rule(self, cohort: Cohort, rule: Object, route: WeightedRoute) -> Object:
        """The rule that sends the requests of a cohort, of all that ``rule`` holds for, to the canary alone.

        It goes in front of ``rule``, and else does with a request what ``rule`` does. Raises ``ValueError``
        with the reason if there can be none.
        """

    def mirror_entry(
        self, mirror: MirrorFirst, rule: Object, route: WeightedRoute, port: int
    ) -> tuple[str, Object]:
        """What sends copies of the requests of ``rule`` to the canary: a list of the rule, and its new entry.

        Raises ``UnsupportedByMesh`` if the mesh copies no requests, and ``ValueError`` with the reason if
        this rule cannot.
        """


@dataclass(frozen=True)
class MeshKinds:
    """The kinds of objects that a mesh uses for the guided setup."""

    route: Kind
    access: Kind
    """The kind of access policies."""
    mutual_tls: Kind | None = None
    """The kind that sets the mutual TLS mode; None if the mesh has none."""
    other_routes: tuple[Kind, ...] = ()
    """The kinds, besides ``route``, that carry a Route."""

    @property
    def routes(self) -> tuple[Kind, ...]:
        """The kinds of which one carries a Route."""
        return (self.route, *self.other_routes)

    @property
    def all(self) -> tuple[Kind, ...]:
        """All of these kinds."""
        return tuple(kind for kind in (*self.routes, self.access, self.mutual_tls) if kind)


@dataclass(frozen=True)
class RemovalMarks:
    """How an uninstall finds the objects of a mesh."""

    charts: tuple[str, ...]
    """The mesh's charts, in the order in which their releases are removed."""
    group: str
    """The suffix of the API groups of the mesh's CRDs."""
    written: tuple[tuple[str, str], ...]
    """Kind and name of the objects that the control plane or ``plan_identity`` writes to its namespace."""
    roots: str
    """The ConfigMap with the trusted roots, which the control plane writes to the namespaces of proxies."""
    elsewhere: str
    """How to remove an installation that neither meshkit nor Helm made."""
    copied: tuple[str, ...] = ()
    """ConfigMaps that the control plane writes to every namespace."""
    copied_label: str = ""
    """The label and value of these ConfigMaps."""
    anywhere: tuple[str, ...] = ()
    """The charts whose releases may be in any namespace."""
    definitions: tuple[str, ...] = ()
    """The charts that contain CRDs; their releases are removed only together with the CRDs."""


class IntentChecks(Protocol):
    """The checks of intents that only this mesh has. A module implements it."""

    def needs(self, intent: Intent, /) -> Iterable[Need]:
        """The objects that ``check`` reads, in addition to those that the planner reads."""

    def check(self, intent: Intent, snapshot: Snapshot, /) -> Iterator[Finding]:
        """The findings about an intent; an error stops the plan or the release."""


class Sidecarless(Protocol):
    """The checks of a move from sidecars to a mesh without them. A module implements it."""

    @property
    def KINDS(self) -> Sequence[Kind]:
        """What the checks read of the whole cluster, in addition to ``view.NEEDED``."""

    def movable(self, view: View, /) -> Sequence[str]:
        """The namespaces that can be moved: they have sidecars, or ask for them."""

    def check(self, view: View, namespaces: Collection[str], /) -> Iterator[Finding]:
        """Find what stands in the way of moving these namespaces."""


class Conversion(Protocol):
    """Moves a route of the mesh's own API to Gateway API. A module implements it."""

    def needs(self, namespace: str, /) -> Sequence[Need]:
        """The objects that ``conversion`` reads."""

    def conversion(self, name: str, namespace: str, snapshot: Snapshot, /) -> Sequence[Step]:
        """The steps that replace a route, whose last one removes it.

        Raises ``BadInput`` for a part that has no equivalent.
        """


class Retirement(Protocol):
    """Removes old revisions of a control plane that are no longer in use. A module implements it."""

    def needs(self, home: str, /) -> tuple[Need, ...]:
        """The objects that the other functions read, in addition to those that an upgrade reads."""

    def steps(self, snapshot: Snapshot, parts: Mapping[str, Sequence[Object]], /) -> list[Step]:
        """The steps that remove revisions, in order. ``parts`` maps each revision to its Deployments."""

    def left_over(self, snapshot: Snapshot, gone: Collection[str], /) -> Iterator[Object]:
        """The objects of these revisions that neither meshkit nor Helm made."""

    def require_ours(self, snapshot: Snapshot, gone: Collection[str], /) -> None:
        """Raise ``ManualActionRequired`` for a revision that another program installed."""

    def require_handed_over(self, gone: Collection[str], tags: Collection[str], /) -> None:
        """Raise ``BadInput`` if a new control plane with these tags does not replace the old one fully."""


@dataclass(frozen=True)
class Revisions:
    """The revisions of a mesh's control plane that run side by side, and the tags that refer to them."""

    label: str
    """The label of a namespace or pod that selects a revision or tag."""
    tags: Callable[[Snapshot], Mapping[str, str]]
    """Tag -> the revision it refers to."""
    installed: Callable[[Snapshot], set[str]]
    """The revisions that have webhooks in the cluster."""
    foreign_mark: Callable[[Snapshot, Object, str], str]
    """The owner, other than meshkit, of the label by which a namespace selects a revision; else empty."""
    mark: Callable[[str, str], Step]
    """The step that sets the revision of a namespace."""
    tag: Callable[[str, str, str, str], Step]
    """The step that points a tag to a revision, from tag, revision, home namespace and failure policy."""
    retirement: Retirement


@dataclass(frozen=True)
class Analyzer:
    """A mesh's own command-line program that analyzes an installation."""

    program: str
    arguments: Callable[[bool], list[str]]
    """The arguments of the program; True: before the mesh is installed."""
    findings: Callable[[Any], Iterator[Finding]]
    """Converts the program's JSON output to findings."""


class InstallRight(NamedTuple):
    """A permission to install this mesh, in addition to those that every mesh needs."""

    verb: str
    group: str
    resource: str
    at_home: bool = False
    """Only in the control plane's namespace."""


@dataclass(frozen=True)
class Mesh:
    """The implementation of one mesh. Fields are None for features that the mesh does not have."""

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
    """The mutual TLS mode of a namespace's servers: ``strict``, ``permissive`` or ``disable``."""
    meaning: Meaning
    """Computes the effective configuration of callers and servers from the mesh's objects."""
    crds: Callable[[], Sequence[Object]] = tuple
    """The definitions of the mesh's kinds and of the Gateway API, as meshkit knows them."""
    not_evaluated: tuple[Kind, ...] = ()
    """The kinds that change requests and that ``meaning`` does not read."""
    revisions: Revisions | None = None
    analyzer: Analyzer | None = None
    identity: Identity | None = None
    """The identity that meshkit creates and rotates; None if the control plane creates its own."""
    install_rights: tuple[InstallRight, ...] = ()
    intent_checks: IntentChecks | None = None
    conversion: Conversion | None = None
    """Moves routes to Gateway API; None for a mesh that has no other API."""
    written_routes: WrittenRoutes | None = None
    """Reads Routes back from what ``planner`` wrote; None for a mesh that cannot."""
    to_ambient: Sidecarless | None = None
    """The checks of a move to the mesh's mode without sidecars; None for a mesh without one."""
    written: tuple[Kind, ...] = ()
    """The kinds of the objects that ``planner`` writes whole for intents other than ControlPlane."""
    patched: tuple[Kind, ...] = ()
    """The kinds of the objects of others in which it writes some fields."""
    agent_probes: Callable[[Object], bool] = lambda pod: False
    """Whether a pod's sidecar answers the kubelet's probes on a port of its own, past the access rules."""
    shadow: Shadow | None = None
    """How access rules are tried without refusing anyone; None for a mesh that cannot."""
    aggregated_api: str = ""
    """The command that needs an aggregated API of the mesh; empty if there is none."""

    @property
    def own_kinds(self) -> tuple[Kind, ...]:
        """The namespaced kinds of the mesh and of the Gateway API, in the versions that meshkit reads."""
        definitions = {
            (each["spec"]["group"], each["spec"]["names"]["kind"]): Kind(
                f"{each['spec']['group']}/{_stored_version(each)}", each["spec"]["names"]["kind"]
            )
            for each in self.crds()
            if each["spec"]["scope"] == "Namespaced"
        }
        read = (*self.kinds.all, *self.meaning.KINDS.values(), *self.checks.kinds, *self.not_evaluated)
        known = {(kind.group, kind.kind): kind for kind in reversed(read)}
        named = {place: known.get(place, kind) for place, kind in definitions.items()}
        others = {place: kind for place, kind in known.items() if place[0].endswith(self.removal.group)}
        return tuple(sorted({**others, **named}.values()))


def _stored_version(definition: Object) -> str:
    return next(str(each["name"]) for each in definition["spec"]["versions"] if each.get("storage"))


def not_plannable(intent: Intent) -> BadInput:
    """The error for an intent that has a plan of its own."""
    return BadInput(
        kind(type(intent)),
        "it has a plan of its own.",
        remedy="Plan it with mk.plan_release, or mk.plan_train, or 'meshkit release plan'.",
    )


def cannot(mesh: str, model: type[Part], field: str, instead: str) -> UnsupportedByMesh:
    """The error for a field that a mesh does not support; meshkit neither emulates nor ignores it."""
    return UnsupportedByMesh(f"{kind(model)}.{field}", f"{mesh} cannot do this.", remedy=instead)
