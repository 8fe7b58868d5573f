"""Remove the old revisions of a control plane once no proxy and no namespace uses them.

The mesh defines what a revision consists of and in which order it is removed (``Revisions.retirement``). A
mesh without revisions has nothing to retire.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshkit.errors import ManualActionRequired
from meshkit.facts import Need, Object
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.operations.upgrade.state import UpgradeState


def needs(mesh: str, home: str) -> tuple[Need, ...]:
    """What ``retirement`` must read besides what an UpgradeState reads."""
    revisions = registry.mesh(mesh).revisions
    return revisions.retirement.needs(home) if revisions else ()


def require_unused(state: UpgradeState) -> None:
    """Raise ``ManualActionRequired`` naming the pods and namespaces that still use an old revision."""
    users = [
        *(f"{space.name} ({space.behind} proxies)" for space in state.spaces if space.behind),
        *(
            f"{space.name} (selects {space.asks})"
            for space in state.spaces
            if space.asks and not space.behind and not state.serves(space.asks)
        ),
    ]
    if users:
        by_hand = [what for space in state.spaces for what in space.by_hand]
        manual = f" By hand: {', '.join(by_hand[:5])}." if by_hand else ""
        raise ManualActionRequired(
            f"The old control plane is still needed in {', '.join(users)}.{manual} Nothing was changed.",
            remedy="Upgrade these with 'meshkit upgrade run', then continue.",
        )


def require_handed_over(state: UpgradeState) -> None:
    """Raise ``BadInput`` if the old control plane has a role that no new one takes over."""
    if revisions := state.row.revisions:
        revisions.retirement.require_handed_over(_gone(state), state.to.tags)


def require_ours(state: UpgradeState) -> None:
    """Raise ``ManualActionRequired`` for a revision that another program installed."""
    if revisions := state.row.revisions:
        revisions.retirement.require_ours(state.snapshot, _gone(state))


def retirement(state: UpgradeState) -> list[Step]:
    """The steps that remove the old revisions, in order."""
    revisions = state.row.revisions
    parts = {name: state.parts[name] for name in _gone(state)}
    return revisions.retirement.steps(state.snapshot, parts) if revisions else []


def left_over(state: UpgradeState) -> Iterator[Object]:
    """Yield objects with an old revision's label that neither meshkit nor Helm made; their owner must remove
    them.
    """
    if revisions := state.row.revisions:
        yield from revisions.retirement.left_over(state.snapshot, _gone(state))


def _gone(state: UpgradeState) -> list[str]:
    return [installed.revision for installed in state.old]
