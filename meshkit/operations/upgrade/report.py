"""The progress of an upgrade for people: control planes, each namespace with its proxies, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshkit.facts import ClusterRef
from meshkit.meshes.injection import DEFAULT_REVISION
from meshkit.operations.upgrade.state import Installed, NamespaceProgress, UpgradeState


@dataclass(frozen=True)
class UpgradeStatus:
    """The control planes that are there, the namespaces with their proxies, and what comes next."""

    cluster: ClusterRef
    mesh: str
    version: str
    revision: str
    installed: tuple[Installed, ...]
    spaces: tuple[NamespaceProgress, ...]
    next: str

    def __str__(self) -> str:
        lines = [self.heading]
        lines += (f"  {self.control_plane(one)}" for one in self.installed)
        lines += (f"  {_bar(self.share_moved(one))}  {one.name}: {self.counted(one)}" for one in self.spaces)
        lines += (f"  by hand: {what}" for one in self.spaces for what in one.by_hand)
        return "\n".join([*lines, self.next])

    __repr__ = __str__

    def share_moved(self, one: NamespaceProgress) -> float:
        """How much of a namespace has moved, from 0 to 1."""
        whole = one.moved + one.behind
        return one.moved / whole if whole else float(one.settled)

    def counted(self, one: NamespaceProgress) -> str:
        """How many proxies of a namespace have moved, in words."""
        return f"{one.moved} of {one.moved + one.behind} proxies moved"

    @property
    def heading(self) -> str:
        """The mesh, its cluster, and where it goes."""
        revision = f", revision {self.revision}" if self._named else ""
        return f"{self.mesh} on cluster {self.cluster} to {self.version}{revision}"

    @property
    def _named(self) -> bool:
        return self.revision != DEFAULT_REVISION

    def control_plane(self, one: Installed) -> str:
        """A control plane in a line."""
        name = "" if one.revision == DEFAULT_REVISION and not self._named else f"{one.revision} "
        tags = f", tags {', '.join(one.tags)}" if one.tags else ""
        ready = f"{one.ready} of {one.replicas} replicas"
        return f"control plane {name}{one.version}: {ready}, {one.proxies} proxies{tags}"


def next_of(state: UpgradeState, spaces: Sequence[NamespaceProgress]) -> str:
    """What comes next, as a sentence."""
    here = next((one for one in state.installed if one.revision == state.revision), None)
    if here is None or not state.is_wanted(here.version) or here.ready < here.replicas:
        return f"Next: control plane {state.version}."
    waiting = [one.name for one in spaces if not one.settled]
    if waiting:
        return f"Next: namespace {waiting[0]}, {len(waiting)} to go."
    if any(one.by_hand for one in spaces):
        return "Next: what is left by hand."
    wanted = [tag for tag in state.to.tags if tag != DEFAULT_REVISION]
    if any(one.behind for one in spaces) or any(not state.serves(tag) for tag in wanted):
        return "Next: what stands for the whole mesh."
    if state.old:
        return f"Next: retire {', '.join(one.revision for one in state.old)}."
    return "Nothing is left to do."


def _bar(share: float) -> str:
    full = round(10 * share)
    return "█" * full + "░" * (10 - full)
