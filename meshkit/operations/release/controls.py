"""Controls of a service under release: shift requests by hand, start, hold, roll back, slow a version.

Each method equals a command of the command line. A release runs in its own process and receives commands
through the cluster, so several panels, shells and people can use these controls at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.operations import shop
from meshkit.operations.change import apply, plan
from meshkit.operations.release.restoring.rollback import plan_rollback
from meshkit.operations.release.runner import send_command
from meshkit.operations.release.unattended.detached import run_detached

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.release import Release
    from meshkit.intent.traffic import Route
    from meshkit.operations.release.commands import Verb


@dataclass(frozen=True)
class Controls:
    """The controls of one release.

    ``route`` is the user's own route, or None if requests are not shifted by hand.
    """

    release: Release
    cluster: Cluster
    mesh: str
    route: Route | None = None

    def start(self) -> None:
        """Run the release in a separate process, or resume one whose process has died."""
        run_detached(self.release, self.cluster, mesh=self.mesh)

    def send(self, verb: Verb) -> None:
        """Send ``hold``, ``resume``, ``promote`` or ``rollback`` to the running release."""
        send_command(self.release.name, verb, self.cluster)

    def give_back(self) -> None:
        """Restore the weights from before the release after it has ended, as a change in the journal."""
        apply(plan_rollback(self.release.name, self.cluster), self.cluster)

    def shift(self, canary_percent: float) -> None:
        """Apply the route with this share for the canary, as a change in the journal."""
        if self.route is None:
            return
        split = {self.release.stable: 100.0 - canary_percent, self.release.canary: canary_percent}
        route = self.route.model_copy(update={"split": split})
        apply(plan([route], self.cluster, mesh=self.mesh), self.cluster)

    def slow_down(self, extra_ms: float) -> None:
        """Set the latency of the demo shop's canary to ``extra_ms`` above that of a good version."""
        slowed = shop.Behaviour(latency_ms=shop.GOOD.latency_ms + extra_ms)
        shop.set_behaviour(self.cluster, self.release.canary, slowed)
