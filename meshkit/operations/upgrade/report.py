"""The status of an upgrade for people: control planes, namespaces with their proxies, next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshkit.facts import ClusterRef
from meshkit.kube.metadata import title
from meshkit.kube.pods import image_tag
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.operations.upgrade.state import Installed, NamespaceProgress, UpgradeState


@dataclass(frozen=True)
class UpgradeStatus:
    """The installed control planes, the namespaces with their proxies, and the next step."""

    cluster: ClusterRef
    mesh: str
    version: str
    revision: str
    installed: tuple[Installed, ...]
    spaces: tuple[NamespaceProgress, ...]
    next: str
    old_node_proxies: tuple[str, ...] = ()
    """The proxies on nodes that must be upgraded by hand."""

    def __str__(self) -> str:
        lines = [self.heading]
        lines += (f"  {self.control_plane(entry)}" for entry in self.installed)
        lines += (
            f"  {_bar(self.share_moved(entry))}  {entry.name}: {self.counted(entry)}" for entry in self.spaces
        )
        lines += (f"  by hand: {what}" for what in self.by_hand)
        return "\n".join([*lines, self.next])

    __repr__ = __str__

    @property
    def by_hand(self) -> tuple[str, ...]:
        """What must be upgraded by hand."""
        return (*(what for entry in self.spaces for what in entry.by_hand), *self.old_node_proxies)

    def share_moved(self, one: NamespaceProgress) -> float:
        """The share of a namespace's proxies that have moved, from 0 to 1."""
        whole = one.moved + one.behind
        return one.moved / whole if whole else float(one.settled)

    def counted(self, one: NamespaceProgress) -> str:
        """The number of a namespace's proxies that have moved, as text."""
        return f"{one.moved} of {one.moved + one.behind} proxies moved"

    @property
    def heading(self) -> str:
        """The mesh, its cluster and the target version."""
        revision = f", revision {self.revision}" if self._named else ""
        return f"{self.mesh} on cluster {self.cluster} to {self.version}{revision}"

    @property
    def _named(self) -> bool:
        return self.revision != DEFAULT_REVISION

    def control_plane(self, one: Installed) -> str:
        """A control plane in one line."""
        name = "" if one.revision == DEFAULT_REVISION and not self._named else f"{one.revision} "
        tags = f", tags {', '.join(one.tags)}" if one.tags else ""
        ready = f"{one.ready} of {one.replicas} replicas"
        return f"control plane {name}{one.version}: {ready}, {one.proxies} proxies{tags}"


def old_node_proxies(state: UpgradeState) -> tuple[str, ...]:
    """The DaemonSets of another version that carry the connections of pods without a sidecar."""
    name = state.row.control_plane.node_proxy
    found = []
    for daemon_set in state.snapshot.of("DaemonSet") if name else ():
        for container in daemon_set["spec"]["template"]["spec"].get("containers") or ():
            image = str(container.get("image", ""))
            if name in image and not state.is_wanted(image_tag(image)):
                found.append(f"{title(daemon_set)} ({image_tag(image)}), by its own release")
    return tuple(found)


def next_of(state: UpgradeState, spaces: Sequence[NamespaceProgress]) -> str:
    """The next step as a sentence."""
    if not state.installed:
        return f"{state.row.title} is not installed: 'meshkit setup apply control-plane' installs it."
    here = next((entry for entry in state.installed if entry.revision == state.revision), None)
    if here is None or not state.is_wanted(here.version) or here.ready < here.replicas:
        return f"Next: control plane {state.version}."
    waiting = [entry.name for entry in spaces if not entry.settled]
    if waiting:
        return f"Next: namespace {waiting[0]}, {len(waiting)} to go."
    if any(entry.by_hand for entry in spaces) or old_node_proxies(state):
        return "Next: the workloads that must be upgraded by hand."
    wanted = [tag for tag in state.to.tags if tag != DEFAULT_REVISION]
    if any(entry.behind for entry in spaces) or any(not state.serves(tag) for tag in wanted):
        return "Next: mesh-wide settings."
    if state.old:
        return f"Next: retire {', '.join(entry.revision for entry in state.old)}."
    return "Nothing is left to do."


def _bar(share: float) -> str:
    full = round(10 * share)
    return "█" * full + "░" * (10 - full)
