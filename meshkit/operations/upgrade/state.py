"""How far an upgrade of a mesh is, read from the cluster, and the steps of what comes next.

The control plane comes first: beside the old one where it has a revision of its own, else in its place. Then
each namespace, so that a fault meets few: its mark, then its workloads in waves, for a pod keeps the proxy it
was made with. At the end what stands for the whole mesh, and the old revision goes. Nothing is remembered but
in the cluster: whoever comes next goes on where it stands.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.kube import manifests
from meshkit.kube import workloads as kube_workloads
from meshkit.kube.helm import release_of
from meshkit.kube.kinds import MUTATING_WEBHOOK
from meshkit.kube.metadata import labels, managers, title
from meshkit.kube.quantities import amount
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S, restart, restarts, workload_needs
from meshkit.meshes import registry
from meshkit.meshes.base import Mesh
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.meshes.isolation import QUOTA

MANAGER = "meshkit-upgrade"
_ASKING = ("spec", "template", "metadata", "labels")


@dataclass(frozen=True)
class Installed:
    """One revision of the control plane, and the proxies that obey it."""

    revision: str
    version: str
    ready: int
    replicas: int
    proxies: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamespaceProgress:
    """A namespace with proxies, or one that asks for them, and how far its proxies have moved."""

    name: str
    asks: str
    """The revision or tag that it asks for; empty where its pods ask for themselves."""
    moved: int
    """Proxies of the new version."""
    behind: int
    settled: bool
    """Its next pod gets the new version, and every pod that a restart makes anew has it."""
    by_hand: tuple[str, ...] = ()
    """What only a person can bring to the new version."""


@dataclass(frozen=True)
class UpgradeState:
    """One mesh in a Snapshot, and the control plane that it shall have.

    With a revision everything moves to it; without one the control plane without a name is upgraded in its
    place, and the proxies of other revisions are left alone.
    """

    snapshot: Snapshot
    mesh: str
    to: ControlPlane

    @cached_property
    def row(self) -> Mesh:
        """What meshkit knows of the mesh."""
        return registry.mesh(self.mesh)

    @property
    def home(self) -> str:
        """The control plane's namespace."""
        return self.to.namespace or self.row.control_plane.home

    @property
    def revision(self) -> str:
        """The revision that shall be, by label."""
        return self.to.revision or DEFAULT_REVISION

    @property
    def version(self) -> str:
        """The version that shall be: what its images are tagged with."""
        facts = self.row.control_plane
        given: Any = self.to.values
        for key in facts.version_value:
            given = given.get(key) if isinstance(given, Mapping) else None
        return str(given or self.to.version or facts.default_version)

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """Tag -> the revision it names; empty for a mesh without revisions."""
        revisions = self.row.revisions
        return revisions.tags(self.snapshot) if revisions else {}

    @cached_property
    def _revisions(self) -> set[str]:
        revisions = self.row.revisions
        return revisions.installed(self.snapshot) if revisions else set()

    @property
    def label(self) -> str:
        """The label that asks for a revision; empty for a mesh without revisions."""
        return self.row.revisions.label if self.row.revisions else ""

    @cached_property
    def proxies(self) -> Sequence[Object]:
        """The pods with a proxy that the upgrade is about."""
        rules, facts = self.row.injection, self.row.control_plane
        return [
            pod
            for pod in rules.proxies(self.snapshot.of("Pod"))
            if not facts.is_component(pod)
            and (self.to.revision or rules.origin(pod).revision == DEFAULT_REVISION)
        ]

    @cached_property
    def installed(self) -> tuple[Installed, ...]:
        """The revisions of the control plane that are there."""
        obeying = Counter(self.row.injection.origin(pod).revision for pod in self.proxies)
        return tuple(
            self._installed(revision, parts, obeying[revision]) for revision, parts in self.parts.items()
        )

    @property
    def old(self) -> tuple[Installed, ...]:
        """The revisions that shall go."""
        return tuple(one for one in self.installed if self.to.revision and one.revision != self.revision)

    @cached_property
    def spaces(self) -> tuple[NamespaceProgress, ...]:
        """The namespaces that the upgrade is about, those with the fewest proxies first."""
        found = [self._progress(each) for each in self.snapshot.of("Namespace")]
        mine = [one for one in found if one.asks or one.moved or one.behind]
        return tuple(sorted(mine, key=lambda one: (one.moved + one.behind, one.name)))

    def behind(self, namespace: str) -> list[Object]:
        """The pods of a namespace with another proxy than the new control plane's."""
        inside = self._meshed.get(namespace, ())
        return [pod for pod in inside if not self._is_new(*self.row.injection.origin(pod))]

    @cached_property
    def _meshed(self) -> Mapping[str, Sequence[Object]]:
        found: dict[str, list[Object]] = defaultdict(list)
        for pod in self.proxies:
            found[pod["metadata"]["namespace"]].append(pod)
        return found

    @cached_property
    def _inside(self) -> Mapping[str, Sequence[Object]]:
        """Namespace -> what it holds: a Snapshot of all is looked through once."""
        found: dict[str, list[Object]] = defaultdict(list)
        for one in self.snapshot.objects:
            found[one["metadata"].get("namespace", "")].append(one)
        return found

    def rolling(self, namespace: str) -> tuple[list[Object], list[str]]:
        """The workloads whose restart brings a namespace's pods to the new version, and what is by hand."""
        inside = Snapshot(tuple(self._inside.get(namespace, ())))
        workloads, pods = kube_workloads.owners(self.behind(namespace), inside)
        by_hand, found = [title(pod) for pod in pods], []
        for each in workloads:
            reason = self._by_hand(each, namespace)
            if reason:
                by_hand.append(f"{title(each)} ({reason})")
            elif not self._is_gateway(each):
                found.append(each)
        return found, by_hand

    def _by_hand(self, workload: Object, namespace: str) -> str:
        """Why a restart of a workload would be in vain, or its template somebody else's; empty otherwise."""
        if self.row.injection.pinned(workload):
            return "its template names its proxy"
        if self.asked_in(namespace) or self.revision == DEFAULT_REVISION or self.asks_itself(workload):
            return ""
        # Its pods name the old revision themselves; what a chart wrote, its release must change.
        if release_of(workload) is not None and not self._is_gateway(workload):
            return "its Helm release"
        owners = set(managers(workload, *_ASKING, self.label)) - {MANAGER}
        return f"its label {self.label} belongs to {', '.join(sorted(owners))}" if owners else ""

    def _is_gateway(self, workload: Object) -> bool:
        """Whether it is the intent's own gateway, which the plan of the intent brings to a new revision."""
        gateway = self.to.gateway if self.to.revision else None
        return gateway is not None and release_of(workload) == (gateway.namespace, gateway.name)

    def serves(self, asked: str) -> bool:
        """Whether the new control plane is what a mark asks for."""
        plain = DEFAULT_REVISION in self._revisions
        named = asked if asked == DEFAULT_REVISION and plain else self.tags.get(asked, asked)
        return named == self.revision

    def is_wanted(self, version: str) -> bool:
        """Whether a version is the wanted one; an image may say more of itself: ``1.31.4-distroless``."""
        return version == self.version or version.startswith(f"{self.version}-")

    def _is_new(self, revision: str, version: str) -> bool:
        return revision == self.revision and self.is_wanted(version)

    def _progress(self, namespace: Object) -> NamespaceProgress:
        name = str(namespace["metadata"]["name"])
        asks, behind = self.asked_in(name), len(self.behind(name))
        rolling, by_hand = self.rolling(name)
        foreign = self._foreign_mark(namespace, asks) if asks and not self.serves(asks) else ""
        if foreign:
            by_hand = [foreign, *by_hand]
        whole = len(self._meshed.get(name, ()))
        settled = bool(foreign) or (not rolling and (not asks or self.serves(asks)))
        return NamespaceProgress(name, asks, whole - behind, behind, settled, tuple(by_hand))

    def _foreign_mark(self, namespace: Object, asks: str) -> str:
        """Whose the label or the tag is that would have to change, where it is not meshkit's."""
        revisions = self.row.revisions
        return revisions.foreign_mark(self.snapshot, namespace, asks) if revisions else ""

    def asked_in(self, name: str) -> str:
        """What a namespace asks for, as far as this upgrade is concerned."""
        namespace = self._namespaces.get(name)
        if namespace is None or name == self.home:
            return ""
        asked = self.row.injection.asked(namespace)
        return asked if self.to.revision or self.serves(asked) else ""

    @cached_property
    def _namespaces(self) -> Mapping[str, Object]:
        return {one["metadata"]["name"]: one for one in self.snapshot.of("Namespace")}

    @cached_property
    def parts(self) -> Mapping[str, list[Object]]:
        """Revision -> the Deployments of its control plane."""
        facts = self.row.control_plane
        found: dict[str, list[Object]] = {}
        for one in self.snapshot.of("Deployment", self.home):
            if facts.is_component(one):
                found.setdefault(facts.revision_of(one), []).append(one)
        return found

    def asks_itself(self, workload: Object) -> bool:
        """Whether a workload's own pods name the new revision."""
        return labels(workload["spec"].get("template") or {}).get(self.label) == self.revision

    def _installed(self, revision: str, parts: Sequence[Object], obeying: int) -> Installed:
        return Installed(
            revision=revision,
            version=min(map(self.row.control_plane.version_of, parts), key=_numbers),
            ready=min((one.get("status") or {}).get("availableReplicas", 0) for one in parts),
            replicas=min(one["spec"].get("replicas", 1) for one in parts),
            proxies=obeying,
            tags=tuple(sorted(tag for tag, of in self.tags.items() if of == revision)),
        )


def needs(home: str) -> tuple[Need, ...]:
    """What an UpgradeState must see."""
    return (*workload_needs(None), Need(MUTATING_WEBHOOK), Need(QUOTA, home))


def require_upgradable(state: UpgradeState) -> None:
    """Refuse a mesh that is not there, a step back, more minor versions than the mesh takes at once, and a
    quota that has no room for the new control plane beside the old.
    """
    if not state.installed:
        raise BadInput(
            "upgrade",
            f"{state.home} holds no control plane of {state.mesh}.",
            remedy="Install it: 'meshkit setup apply control-plane', or 'meshkit apply -f FILE'.",
        )
    here = next((one for one in state.installed if one.revision == state.revision), None)
    compared = [here] if here and not state.to.revision else state.installed
    newest = max((one.version for one in compared), key=_numbers)
    if _numbers(state.version) < _numbers(newest):
        raise BadInput(
            "control_plane.version",
            f"{state.version} is older than {newest}, which is installed.",
            remedy="'meshkit upgrade back' takes an upgrade back.",
        )
    if here is None:
        oldest = min((one.version for one in state.installed), key=_numbers)
        _require_minors(state, oldest, beside=True)
        _require_headroom(state)
    else:
        _require_minors(state, here.version, beside=False)


def _require_minors(state: UpgradeState, old: str, *, beside: bool) -> None:
    skew = state.row.control_plane.minor_skew
    if skew is None:
        return
    most, how = (skew.beside, "beside") if beside else (skew.in_place, "in place of")
    (major, minor), (was_major, was_minor) = _numbers(state.version)[:2], _numbers(old)[:2]
    if major != was_major or minor - was_minor > most:
        raise BadInput(
            "control_plane.version",
            f"{old} to {state.version} is more than {state.row.title} takes at once {how} the old"
            f" control plane: {most} minor versions.",
            remedy=f"Go by {was_major}.{was_minor + most} first.",
        )


def _require_headroom(state: UpgradeState) -> None:
    """A quota that refuses the new replicas would be noticed only when the change times out."""
    intent = state.to
    resources = intent.resources or state.row.control_plane.resources
    needed = {"cpu": resources.cpu, "memory": resources.memory, "pods": "1"}
    for quota in state.snapshot.of(QUOTA.kind, state.home):
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        for key in hard:
            name = key.removeprefix("requests.")
            if name not in needed:
                continue
            given = getattr(intent.quota, name) if intent.quota else hard[key]
            free = amount(str(given)) - amount(str(used.get(key, "0")))
            taken = intent.replicas * amount(needed[name])
            if free < taken:
                raise BadInput(
                    "control_plane.quota",
                    f"{title(quota)} has {float(free):g} of {key} left, and {intent.replicas} replicas"
                    f" beside the old ones take {float(taken):g}.",
                    remedy="Raise it for the time of the upgrade, or lower replicas.",
                )


def move_steps(state: UpgradeState, progress: NamespaceProgress, at_once: int) -> list[Step]:
    """A namespace's mark, where it asks for another revision, and the restarts of what has an old proxy."""
    workloads, _ = state.rolling(progress.name)
    if progress.asks and not state.serves(progress.asks):
        return [*_mark(state, progress), *restarts(workloads, at_once)]
    if progress.asks or state.revision == DEFAULT_REVISION:
        return restarts(workloads, at_once)
    return [
        restart(each, wave=number // at_once + 1)
        if state.asks_itself(each)
        else _asking_itself(each, state, wave=number // at_once + 1)
        for number, each in enumerate(workloads)
    ]


def _mark(state: UpgradeState, progress: NamespaceProgress) -> list[Step]:
    """The step that lets a namespace, or the tag that it names, ask for the new revision."""
    revisions = state.row.revisions
    if revisions is None:
        return []
    if progress.asks not in state.tags:
        return [revisions.mark(progress.name, state.revision)]
    failure = state.to.webhook_failure.capitalize()
    return [revisions.tag(progress.asks, state.revision, state.home, failure)]


def _asking_itself(workload: Object, state: UpgradeState, *, wave: int) -> Step:
    """The label on a workload's pods, which makes them anew at once."""
    meta, kind = workload["metadata"], Kind(workload["apiVersion"], workload["kind"])
    template = {"metadata": {"labels": {state.label: state.revision}}}
    part = manifests.obj(kind, meta["name"], meta["namespace"], spec={"template": template})
    wait = Wait("available", ROLLOUT_TIMEOUT_S)
    return Step(part, manager=MANAGER, partial=True, wait=wait, wave=wave)


def users(snapshot: Snapshot, mesh: Mesh, revision: str) -> list[str]:
    """The pods whose proxy came from a revision, and the namespaces that ask for it, as titles."""
    rules = mesh.injection
    pods = rules.proxies(snapshot.of("Pod"))
    found = [title(pod) for pod in pods if rules.origin(pod).revision == revision]
    return [*found, *(title(one) for one in snapshot.of("Namespace") if rules.asked(one) == revision)]


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: (1, 31, 4), or (26, 6, 3) of ``edge-26.6.3``."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))[:3] or (0, 0)
