"""Taking the old revisions of a control plane away, once no proxy obeys them and no namespace asks for them.

What a revision is made of, and in which order it goes, the mesh says (``Revisions.retirement``); a mesh
without revisions has nothing to retire.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.errors import ManualActionRequired
from meshkit.facts import Need, Object
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.operations.upgrade.state import UpgradeState


def needs(mesh: str, home: str) -> tuple[Need, ...]:
    """What ``retirement`` must see beside what an UpgradeState sees."""
    revisions = registry.mesh(mesh).revisions
    return revisions.retirement.needs(home) if revisions else ()


def require_unused(state: UpgradeState) -> None:
    """Raise ``ManualActionRequired`` naming who still obeys or asks for an old revision."""
    users = [
        *(f"{one.name} ({one.behind} proxies)" for one in state.spaces if one.behind),
        *(
            f"{one.name} (asks for {one.asks})"
            for one in state.spaces
            if one.asks and not one.behind and not state.serves(one.asks)
        ),
    ]
    if users:
        by_hand = [what for one in state.spaces for what in one.by_hand]
        told = f" By hand: {', '.join(by_hand[:5])}." if by_hand else ""
        raise ManualActionRequired(
            f"The old control plane is still needed in {', '.join(users)}.{told} Nothing was changed.",
            remedy="Bring these to the new version ('meshkit upgrade run'), then go on.",
        )


def require_handed_over(state: UpgradeState) -> None:
    """Raise ``BadInput`` where the old control plane serves what the new one would leave to nobody."""
    if revisions := state.row.revisions:
        revisions.retirement.require_handed_over(_gone(state), state.to.tags)


def require_ours(state: UpgradeState) -> None:
    """Raise ``ManualActionRequired`` for a revision that another program installed."""
    if revisions := state.row.revisions:
        revisions.retirement.require_ours(state.snapshot, _gone(state))


def retirement(state: UpgradeState) -> list[Step]:
    """The steps that take the old revisions away, in order."""
    revisions = state.row.revisions
    parts = {name: state.parts[name] for name in _gone(state)}
    return revisions.retirement.steps(state.snapshot, parts) if revisions else []


def left_over(state: UpgradeState) -> Iterator[Object]:
    """What carries an old revision's label and neither meshkit nor Helm made: its maker must take it away."""
    if revisions := state.row.revisions:
        yield from revisions.retirement.left_over(state.snapshot, _gone(state))


def _gone(state: UpgradeState) -> list[str]:
    return [one.revision for one in state.old]
