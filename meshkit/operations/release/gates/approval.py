"""``mk.approve_gate``: a person opens a gate that a running release waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshkit.errors import BadInput, UnknownName
from meshkit.operations.release.commands import Mailbox
from meshkit.operations.release.evidence_bundle.secret_texts import SecretTexts
from meshkit.operations.release.gates.waiting import refusal
from meshkit.operations.release.runner import has_ended, release_state

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.operations.release.state.model import ReleaseState


def approve_gate(release_name: str, cluster: Cluster, *, gate: str | None = None, why: str = "") -> str:
    """Open a gate that a release waits for, and return its name; ``why`` is kept in the journal.

    Without ``gate`` it is the only one that a person's command opens now. The approval is stored in the
    cluster until the runner's next iteration. Raises ``UnknownName`` for a gate that the release does not
    have, and ``BadInput`` if it is not waited for, opens by other means, or the release has ended.
    """
    state = release_state(release_name, cluster)
    if state.ended:
        raise has_ended(state, "approve")
    name = gate or _only(state)
    known = [each.name for each in state.release.gates]
    if name not in known:
        raise UnknownName("gate", name, known)
    if problem := refusal(state.gates, name):
        remedy = f"'meshkit release status {release_name}' says what it waits for."
        raise BadInput("gate", problem, remedy=f"Nothing was changed. {remedy}")
    Mailbox(cluster, release_name).approve(name, SecretTexts(state.release, cluster).text(why))
    return name


def _only(state: ReleaseState) -> str:
    open_now = [each.gate.name for each in state.gates if not refusal(state.gates, each.gate.name)]
    if len(open_now) == 1:
        return open_now[0]
    found = f"it waits for {', '.join(open_now)}" if open_now else "no gate waits for a person's command"
    name = state.release.name
    remedy = "Name one." if open_now else f"'meshkit release status {name}' says what it waits for."
    raise BadInput("gate", f"none is named, and {found}.", remedy=remedy)
