"""Where an upgrade of a mesh stands, read from the cluster, and the steps of what comes next.

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

from meshkit.errors import BadInput
from meshkit.facts import Kind, Need, Object, Snapshot
from meshkit.intent.mesh import ControlPlane
from meshkit.kube import manifests
from meshkit.kube import workloads as kube_workloads
from meshkit.kube.helm import release_of
from meshkit.kube.metadata import managers, notes, title
from meshkit.kube.quantities import amount
from meshkit.kube.steps import Step, Wait
from meshkit.kube.workloads import ROLLOUT_TIMEOUT_S, restart, restarts, workload_needs
from meshkit.meshes.injection import (
    CONTROL_PLANE,
    LINKERD_INJECT,
    LINKERD_INJECTS,
    made_by,
    pinned,
    proxies,
    revision_of,
    version_of,
)
from meshkit.meshes.isolation import QUOTA
from meshkit.meshes.istio import control_plane as istio_control_plane
from meshkit.meshes.istio import revisions as istio_revisions
from meshkit.meshes.istio.revisions import DEFAULT, INJECTION, MARKED_BY, REVISION, WEBHOOK, Revision
from meshkit.meshes.linkerd import control_plane as linkerd_control_plane
from meshkit.meshes.removal import is_ours

MANAGER = "meshkit-upgrade"
_ASKING = ("spec", "template", "metadata", "labels")
DEFAULT_VERSION = {
    "istio": istio_control_plane.DEFAULT_VERSION,
    "linkerd": linkerd_control_plane.DEFAULT_VERSION,
}
MOST_MINORS_BESIDE, MOST_MINORS_IN_PLACE = 2, 1
"""How many minor versions Istio may rise at once (its guides to canary and to in-place upgrades)."""


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
class Space:
    """A namespace with proxies, or one that asks for them."""

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
class Standing:
    """One mesh in a Snapshot, and the control plane that it shall have.

    With a revision everything moves to it; without one the control plane without a name is upgraded in its
    place, and the proxies of other revisions are left alone.
    """

    snapshot: Snapshot
    mesh: str
    to: ControlPlane

    @property
    def home(self) -> str:
        """The control plane's namespace."""
        return self.to.namespace or CONTROL_PLANE[self.mesh].home

    @property
    def revision(self) -> str:
        """The revision that shall be, by label."""
        return self.to.revision or DEFAULT

    @property
    def version(self) -> str:
        """The version that shall be: what its images are tagged with."""
        values = self.to.values
        given = values.get("linkerdVersion") or (values.get("global") or {}).get("tag")
        return str(given or self.to.version or DEFAULT_VERSION[self.mesh])

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """Tag -> the revision it names. Linkerd has none."""
        return istio_revisions.tags(self.snapshot) if self.mesh == "istio" else {}

    @cached_property
    def _revisions(self) -> set[str]:
        return istio_revisions.revisions(self.snapshot)

    @cached_property
    def proxies(self) -> Sequence[Object]:
        """The pods with a proxy that the upgrade is about."""
        found = proxies(self.snapshot.of("Pod"), self.mesh)
        _, label, values = CONTROL_PLANE[self.mesh]
        return [
            pod
            for pod in found
            if (pod["metadata"].get("labels") or {}).get(label) not in values
            and (self.to.revision or made_by(pod, self.mesh)[0] == DEFAULT)
        ]

    @cached_property
    def installed(self) -> tuple[Installed, ...]:
        """The revisions of the control plane that are there."""
        obeying = Counter(made_by(pod, self.mesh)[0] for pod in self.proxies)
        return tuple(
            _installed(revision, parts, obeying[revision], self.tags)
            for revision, parts in self.parts.items()
        )

    @property
    def old(self) -> tuple[Installed, ...]:
        """The revisions that shall go."""
        return tuple(one for one in self.installed if self.to.revision and one.revision != self.revision)

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The namespaces that the upgrade is about, those with the fewest proxies first."""
        found = [self._space(each) for each in self.snapshot.of("Namespace")]
        mine = [one for one in found if one.asks or one.moved or one.behind]
        return tuple(sorted(mine, key=lambda one: (one.moved + one.behind, one.name)))

    def behind(self, namespace: str) -> list[Object]:
        """The pods of a namespace with another proxy than the new control plane's."""
        inside = self._meshed.get(namespace, ())
        return [pod for pod in inside if not self._is_new(*made_by(pod, self.mesh))]

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
        if pinned(workload, self.mesh):
            return "its template names its proxy"
        if self.asked_in(namespace) or self.revision == DEFAULT or asks_itself(workload) == self.revision:
            return ""
        # Its pods name the old revision themselves; what a chart wrote, its release must change.
        if release_of(workload) is not None and not self._is_gateway(workload):
            return "its Helm release"
        owners = set(managers(workload, *_ASKING, REVISION)) - {MANAGER}
        return f"its label {REVISION} belongs to {', '.join(sorted(owners))}" if owners else ""

    def _is_gateway(self, workload: Object) -> bool:
        """Whether it is the intent's own gateway, which the plan of the intent brings to a new revision."""
        gateway = self.to.gateway if self.to.revision else None
        return gateway is not None and release_of(workload) == (gateway.namespace, gateway.name)

    def serves(self, asked: str) -> bool:
        """Whether the new control plane is what a mark asks for."""
        plain = DEFAULT in self._revisions
        named = asked if asked == DEFAULT and plain else self.tags.get(asked, asked)
        return named == self.revision

    def is_wanted(self, version: str) -> bool:
        """Whether a version is the wanted one; an image may say more of itself: ``1.31.4-distroless``."""
        return version == self.version or version.startswith(f"{self.version}-")

    def _is_new(self, revision: str, version: str) -> bool:
        return revision == self.revision and self.is_wanted(version)

    def _space(self, namespace: Object) -> Space:
        name = str(namespace["metadata"]["name"])
        asks, behind = self.asked_in(name), len(self.behind(name))
        rolling, by_hand = self.rolling(name)
        foreign = self._foreign_mark(namespace, asks) if asks and not self.serves(asks) else ""
        if foreign:
            by_hand = [foreign, *by_hand]
        whole = len(self._meshed.get(name, ()))
        settled = bool(foreign) or (not rolling and (not asks or self.serves(asks)))
        return Space(name, asks, whole - behind, behind, settled, tuple(by_hand))

    def _foreign_mark(self, namespace: Object, asks: str) -> str:
        """Whose the label or the tag is that would have to change, where it is not meshkit's: a revision
        beside a label ``istio-injection`` of others would be written in vain, and others write theirs back.
        """
        if asks in self.tags:
            hook = self.snapshot.find(WEBHOOK.kind, f"istio-revision-tag-{asks}")
            return "" if hook is None or is_ours(hook) else f"the tag {asks}, which another program made"
        labels = namespace["metadata"].get("labels") or {}
        key = INJECTION if INJECTION in labels else REVISION
        owners = set(managers(namespace, "metadata", "labels", key)) - {MARKED_BY}
        name = namespace["metadata"]["name"]
        return f"{key} on Namespace {name}, which belongs to {', '.join(sorted(owners))}" if owners else ""

    def asked_in(self, name: str) -> str:
        """What a namespace asks for, as far as this upgrade is concerned."""
        namespace = self._namespaces.get(name)
        if namespace is None or name == self.home:
            return ""
        if self.mesh == "linkerd":
            return DEFAULT if notes(namespace).get(LINKERD_INJECT) in LINKERD_INJECTS else ""
        asked = istio_revisions.asked(namespace)
        return asked if self.to.revision or self.serves(asked) else ""

    @cached_property
    def _namespaces(self) -> Mapping[str, Object]:
        return {one["metadata"]["name"]: one for one in self.snapshot.of("Namespace")}

    @cached_property
    def parts(self) -> Mapping[str, list[Object]]:
        """Revision -> the Deployments of its control plane."""
        _, label, values = CONTROL_PLANE[self.mesh]
        found: dict[str, list[Object]] = {}
        for one in self.snapshot.of("Deployment", self.home):
            if (one["metadata"].get("labels") or {}).get(label) in values:
                found.setdefault(revision_of(one, self.mesh), []).append(one)
        return found


def needs(home: str) -> tuple[Need, ...]:
    """What a Standing must see."""
    return (*workload_needs(None), Need(WEBHOOK), Need(QUOTA, home))


def require_upgradable(standing: Standing) -> None:
    """Refuse a mesh that is not there, a step back, more minor versions than the mesh takes at once, and a
    quota that has no room for the new control plane beside the old.
    """
    if not standing.installed:
        raise BadInput(
            "upgrade",
            f"{standing.home} holds no control plane of {standing.mesh}.",
            remedy="Install it: 'meshkit setup apply control-plane', or 'meshkit apply -f FILE'.",
        )
    here = next((one for one in standing.installed if one.revision == standing.revision), None)
    compared = [here] if here and not standing.to.revision else standing.installed
    newest = max((one.version for one in compared), key=_numbers)
    if _numbers(standing.version) < _numbers(newest):
        raise BadInput(
            "control_plane.version",
            f"{standing.version} is older than {newest}, which is installed.",
            remedy="'meshkit upgrade back' takes an upgrade back.",
        )
    if here is None:
        oldest = min((one.version for one in standing.installed), key=_numbers)
        _require_minors(standing, oldest, MOST_MINORS_BESIDE, "beside the old control plane")
        _require_headroom(standing)
    else:
        _require_minors(standing, here.version, MOST_MINORS_IN_PLACE, "in place of the old control plane")


def _require_minors(standing: Standing, old: str, most: int, how: str) -> None:
    (major, minor), (was_major, was_minor) = _numbers(standing.version)[:2], _numbers(old)[:2]
    if standing.mesh == "istio" and (major != was_major or minor - was_minor > most):
        raise BadInput(
            "control_plane.version",
            f"{old} to {standing.version} is more than Istio takes at once {how}: {most} minor versions.",
            remedy=f"Go by {was_major}.{was_minor + most} first.",
        )


def _require_headroom(standing: Standing) -> None:
    """A quota that refuses the new replicas would be noticed only when the change times out."""
    intent = standing.to
    resources = intent.resources or istio_control_plane.RESOURCES
    needed = {"cpu": resources.cpu, "memory": resources.memory, "pods": "1"}
    for quota in standing.snapshot.of(QUOTA.kind, standing.home):
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


def move_steps(standing: Standing, space: Space, at_once: int) -> list[Step]:
    """A namespace's mark, where it asks for another revision, and the restarts of what has an old proxy."""
    workloads, _ = standing.rolling(space.name)
    if space.asks and not standing.serves(space.asks):
        return [_mark(standing, space), *restarts(workloads, at_once)]
    if space.asks or standing.revision == DEFAULT:
        return restarts(workloads, at_once)
    return [
        _asking_itself(each, standing.revision, wave=number // at_once + 1)
        if asks_itself(each) != standing.revision
        else restart(each, wave=number // at_once + 1)
        for number, each in enumerate(workloads)
    ]


def asks_itself(workload: Object) -> str:
    """The revision that a workload's own pods name; empty where they name none."""
    template = (workload["spec"].get("template") or {}).get("metadata") or {}
    return str((template.get("labels") or {}).get(REVISION, ""))


def _mark(standing: Standing, space: Space) -> Step:
    if space.asks not in standing.tags:
        return istio_revisions.injection_mark(space.name, standing.revision)
    failure = standing.to.webhook_failure.capitalize()
    revision = Revision(standing.to.revision or "")
    hook = istio_revisions.tag_webhook(space.asks, revision, standing.home, failure)
    return Step(hook, wait=Wait("trusted", 60))


def _asking_itself(workload: Object, revision: str, *, wave: int) -> Step:
    """The label on a workload's pods, which makes them anew at once."""
    meta, kind = workload["metadata"], Kind(workload["apiVersion"], workload["kind"])
    template = {"metadata": {"labels": {REVISION: revision}}}
    part = manifests.obj(kind, meta["name"], meta["namespace"], spec={"template": template})
    wait = Wait("available", ROLLOUT_TIMEOUT_S)
    return Step(part, manager=MANAGER, partial=True, wait=wait, wave=wave)


def _installed(revision: str, parts: Sequence[Object], obeying: int, tags: Mapping[str, str]) -> Installed:
    return Installed(
        revision=revision,
        version=min(map(version_of, parts), key=_numbers),
        ready=min((one.get("status") or {}).get("availableReplicas", 0) for one in parts),
        replicas=min(one["spec"].get("replicas", 1) for one in parts),
        proxies=obeying,
        tags=tuple(sorted(tag for tag, of in tags.items() if of == revision)),
    )


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: (1, 31, 4), or (26, 6, 3) of ``edge-26.6.3``."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))[:3] or (0, 0)
