"""Plans of steps for tests of changes."""

from __future__ import annotations

from collections.abc import Sequence

from meshkit.cluster.connect import Cluster
from meshkit.cluster.steps import dry_run
from meshkit.kube.steps import Step
from meshkit.operations.plan import Plan


def planned(cluster: Cluster, steps: Sequence[Step]) -> Plan:
    """A plan of arbitrary steps, as mk.plan makes it of a planner's."""
    checked = dry_run.check(cluster, steps)
    pending = tuple(one for one in checked if one.action != "keep")
    return Plan("Test", "none", cluster.context, cluster.server, pending, len(checked) - len(pending))
