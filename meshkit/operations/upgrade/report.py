"""How an upgrade stands, as it reads: control planes, each namespace with its proxies, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshkit.meshes.istio.revisions import DEFAULT
from meshkit.operations.upgrade.state import Installed, Space, Standing


@dataclass(frozen=True)
class UpgradeStatus:
    """The control planes that are there, the namespaces with their proxies, and what comes next."""

    mesh: str
    version: str
    revision: str
    installed: tuple[Installed, ...]
    spaces: tuple[Space, ...]
    next: str

    def __str__(self) -> str:
        lines = [f"{self.mesh} to {self.version}" + (f", revision {self.revision}" if self._named else "")]
        lines += (f"  {self.control_plane(one)}" for one in self.installed)
        lines += (f"  {_bar(self.share_moved(one))}  {one.name}: {self.counted(one)}" for one in self.spaces)
        lines += (f"  by hand: {what}" for one in self.spaces for what in one.by_hand)
        return "\n".join([*lines, self.next])

    __repr__ = __str__

    def share_moved(self, one: Space) -> float:
        """How much of a namespace has moved, from 0 to 1."""
        whole = one.moved + one.behind
        return one.moved / whole if whole else float(one.settled)

    def counted(self, one: Space) -> str:
        """How many proxies of a namespace have moved, in words."""
        return f"{one.moved} of {one.moved + one.behind} proxies moved"

    @property
    def _named(self) -> bool:
        return self.revision != DEFAULT

    def control_plane(self, one: Installed) -> str:
        """A control plane in a line."""
        name = "" if one.revision == DEFAULT and not self._named else f"{one.revision} "
        tags = f", tags {', '.join(one.tags)}" if one.tags else ""
        ready = f"{one.ready} of {one.replicas} replicas"
        return f"control plane {name}{one.version}: {ready}, {one.proxies} proxies{tags}"


def next_of(standing: Standing, spaces: Sequence[Space]) -> str:
    """What comes next, as a sentence."""
    here = next((one for one in standing.installed if one.revision == standing.revision), None)
    if here is None or not standing.is_wanted(here.version) or here.ready < here.replicas:
        return f"Next: control plane {standing.version}."
    waiting = [one.name for one in spaces if not one.settled]
    if waiting:
        return f"Next: namespace {waiting[0]}, {len(waiting)} to go."
    if any(one.by_hand for one in spaces):
        return "Next: what is left by hand."
    wanted = [tag for tag in standing.to.tags if tag != DEFAULT]
    if any(one.behind for one in spaces) or any(not standing.serves(tag) for tag in wanted):
        return "Next: what stands for the whole mesh."
    if standing.old:
        return f"Next: retire {', '.join(one.revision for one in standing.old)}."
    return "Nothing is left to do."


def _bar(share: float) -> str:
    full = round(10 * share)
    return "█" * full + "░" * (10 - full)
