"""The state of a mesh's upgrade, read from the cluster, and the steps of the next change.

The control plane comes first: beside the old one if it has its own revision, otherwise in place. Then the
namespaces follow one at a time, to limit the effect of a fault: first the label, then the workloads in waves
of restarts, because a pod keeps the proxy that it was created with. At the end come mesh-wide settings and
the removal of the old revision. All state is in the cluster, so that anyone can resume an upgrade.
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
    """One revision of the control plane, and the number of proxies that use it."""

    revision: str
    version: str
    ready: int
    replicas: int
    proxies: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamespaceProgress:
    """A namespace with proxies or with an injection label, and how many of its proxies have moved."""

    name: str
    asks: str
    """The revision or tag that its label selects; empty if its pods have their own labels."""
    moved: int
    """Proxies of the new version."""
    behind: int
    settled: bool
    """Whether new pods get the new version, and all pods that a restart recreates have it."""
    by_hand: tuple[str, ...] = ()
    """What must be upgraded by hand."""


@dataclass(frozen=True)
class UpgradeState:
    """One mesh in a Snapshot, and the control plane that is its target.

    With a revision, everything moves to it. Without one, the control plane without a name is upgraded in
    place, and the proxies of other revisions are not touched.
    """

    snapshot: Snapshot
    mesh: str
    to: ControlPlane

    @cached_property
    def row(self) -> Mesh:
        """The registry's entry of the mesh."""
        return registry.mesh(self.mesh)

    @property
    def home(self) -> str:
        """The control plane's namespace."""
        return self.to.namespace or self.row.control_plane.home

    @property
    def revision(self) -> str:
        """The target revision, as in labels."""
        return self.to.revision or DEFAULT_REVISION

    @property
    def version(self) -> str:
        """The target version, as in image tags."""
        facts = self.row.control_plane
        given: Any = self.to.values
        for key in facts.version_value:
            given = given.get(key) if isinstance(given, Mapping) else None
        return str(given or self.to.version or facts.default_version)

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """Tag -> its revision; empty for a mesh without revisions."""
        revisions = self.row.revisions
        return revisions.tags(self.snapshot) if revisions else {}

    @cached_property
    def _revisions(self) -> set[str]:
        revisions = self.row.revisions
        return revisions.installed(self.snapshot) if revisions else set()

    @property
    def label(self) -> str:
        """The label that selects a revision; empty for a mesh without revisions."""
        return self.row.revisions.label if self.row.revisions else ""

    @cached_property
    def proxies(self) -> Sequence[Object]:
        """The pods with a proxy that the upgrade affects."""
        rules, facts = self.row.injection, self.row.control_plane
        return [
            pod
            for pod in rules.proxies(self.snapshot.of("Pod"))
            if not facts.is_component(pod)
            and (self.to.revision or rules.origin(pod).revision == DEFAULT_REVISION)
        ]

    @cached_property
    def installed(self) -> tuple[Installed, ...]:
        """The installed revisions of the control plane."""
        obeying = Counter(self.row.injection.origin(pod).revision for pod in self.proxies)
        return tuple(
            self._installed(revision, parts, obeying[revision]) for revision, parts in self.parts.items()
        )

    @property
    def old(self) -> tuple[Installed, ...]:
        """The revisions to remove."""
        return tuple(
            installed
            for installed in self.installed
            if self.to.revision and installed.revision != self.revision
        )

    @cached_property
    def spaces(self) -> tuple[NamespaceProgress, ...]:
        """The namespaces that the upgrade affects, those with the fewest proxies first."""
        progress = [self._progress(namespace) for namespace in self.snapshot.of("Namespace")]
        mine = [space for space in progress if space.asks or space.moved or space.behind]
        return tuple(sorted(mine, key=lambda space: (space.moved + space.behind, space.name)))

    def behind(self, namespace: str) -> list[Object]:
        """The pods of a namespace whose proxy is not of the new control plane."""
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
        """Namespace -> its objects, in one pass over the whole Snapshot."""
        found: dict[str, list[Object]] = defaultdict(list)
        for one in self.snapshot.objects:
            found[one["metadata"].get("namespace", "")].append(one)
        return found

    def rolling(self, namespace: str) -> tuple[list[Object], list[str]]:
        """The workloads whose restart upgrades a namespace's proxies, and what must be done by hand."""
        inside = Snapshot(tuple(self._inside.get(namespace, ())))
        workloads, pods = kube_workloads.owners(self.behind(namespace), inside)
        by_hand, restartable = [title(pod) for pod in pods], []
        for workload in workloads:
            reason = self._by_hand(workload, namespace)
            if reason:
                by_hand.append(f"{title(workload)} ({reason})")
            elif not self._is_gateway(workload):
                restartable.append(workload)
        return restartable, by_hand

    def _by_hand(self, workload: Object, namespace: str) -> str:
        """Why meshkit cannot upgrade a workload by a restart or a label; empty if it can."""
        if self.row.injection.pinned(workload):
            return "its pod template contains the proxy"
        if self.asked_in(namespace) or self.revision == DEFAULT_REVISION or self.asks_itself(workload):
            return ""
        # The pod template selects the old revision; a label owned by a chart must be changed in its release.
        if release_of(workload) is not None and not self._is_gateway(workload):
            return "its Helm release"
        owners = set(managers(workload, *_ASKING, self.label)) - {MANAGER}
        return f"its label {self.label} belongs to {', '.join(sorted(owners))}" if owners else ""

    def _is_gateway(self, workload: Object) -> bool:
        """Whether it is the intent's own gateway, which the intent's plan moves to a new revision."""
        gateway = self.to.gateway if self.to.revision else None
        return gateway is not None and release_of(workload) == (gateway.namespace, gateway.name)

    def serves(self, asked: str) -> bool:
        """Whether a revision label selects the new control plane."""
        plain = DEFAULT_REVISION in self._revisions
        named = asked if asked == DEFAULT_REVISION and plain else self.tags.get(asked, asked)
        return named == self.revision

    def is_wanted(self, version: str) -> bool:
        """Whether a version is the target; an image tag may have a suffix: ``1.31.4-distroless``."""
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
        """Name the owner of the label or tag that must change, if it is not meshkit."""
        revisions = self.row.revisions
        return revisions.foreign_mark(self.snapshot, namespace, asks) if revisions else ""

    def asked_in(self, name: str) -> str:
        """The revision that a namespace selects, if this upgrade affects it."""
        namespace = self._namespaces.get(name)
        if namespace is None or name == self.home:
            return ""
        asked = self.row.injection.asked(namespace)
        return asked if self.to.revision or self.serves(asked) else ""

    @cached_property
    def _namespaces(self) -> Mapping[str, Object]:
        return {namespace["metadata"]["name"]: namespace for namespace in self.snapshot.of("Namespace")}

    @cached_property
    def parts(self) -> Mapping[str, list[Object]]:
        """Revision -> its control plane's Deployments."""
        facts = self.row.control_plane
        found: dict[str, list[Object]] = {}
        for deployment in self.snapshot.of("Deployment", self.home):
            if facts.is_component(deployment):
                found.setdefault(facts.revision_of(deployment), []).append(deployment)
        return found

    def asks_itself(self, workload: Object) -> bool:
        """Whether a workload's pod template selects the new revision."""
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
    """What an UpgradeState must read."""
    return (*workload_needs(None), Need(MUTATING_WEBHOOK), Need(QUOTA, home))


def require_upgradable(state: UpgradeState) -> None:
    """Reject a mesh that is not installed, a downgrade, too large a version skew, or a too small quota."""
    if not state.installed:
        raise BadInput(
            "upgrade",
            f"the namespace {state.home} has no control plane of {state.mesh}.",
            remedy="Install it: 'meshkit setup apply control-plane', or 'meshkit apply -f FILE'.",
        )
    here = next((one for one in state.installed if one.revision == state.revision), None)
    compared = [here] if here and not state.to.revision else state.installed
    newest = max((one.version for one in compared), key=_numbers)
    if _numbers(state.version) < _numbers(newest):
        raise BadInput(
            "control_plane.version",
            f"{state.version} is older than {newest}, which is installed.",
            remedy="Run 'meshkit upgrade back' to roll back an upgrade.",
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
    """Reject a quota that would block the new replicas, which otherwise shows only as a timeout."""
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
                    remedy="Raise the quota for the duration of the upgrade, or use fewer replicas.",
                )


def move_steps(state: UpgradeState, progress: NamespaceProgress, at_once: int) -> list[Step]:
    """The steps that move a namespace: its label, if it must change, and the restarts of old proxies."""
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
    """The step that makes a namespace, or the tag that it uses, select the new revision."""
    revisions = state.row.revisions
    if revisions is None:
        return []
    if progress.asks not in state.tags:
        return [revisions.mark(progress.name, state.revision)]
    failure = state.to.webhook_failure.capitalize()
    return [revisions.tag(progress.asks, state.revision, state.home, failure)]


def _asking_itself(workload: Object, state: UpgradeState, *, wave: int) -> Step:
    """The step that sets the label in a workload's pod template, which restarts its pods."""
    meta, kind = workload["metadata"], Kind(workload["apiVersion"], workload["kind"])
    template = {"metadata": {"labels": {state.label: state.revision}}}
    part = manifests.obj(kind, meta["name"], meta["namespace"], spec={"template": template})
    wait = Wait("available", ROLLOUT_TIMEOUT_S)
    return Step(part, manager=MANAGER, partial=True, wait=wait, wave=wave)


def users(snapshot: Snapshot, mesh: Mesh, revision: str) -> list[str]:
    """The titles of pods whose proxy comes from a revision, and of namespaces that select it."""
    rules = mesh.injection
    pods = rules.proxies(snapshot.of("Pod"))
    titles = [title(pod) for pod in pods if rules.origin(pod).revision == revision]
    return [
        *titles,
        *(title(namespace) for namespace in snapshot.of("Namespace") if rules.asked(namespace) == revision),
    ]


def _numbers(version: str) -> tuple[int, ...]:
    """Parse the numbers of a version: (1, 31, 4), or (26, 6, 3) for ``edge-26.6.3``."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))[:3] or (0, 0)
