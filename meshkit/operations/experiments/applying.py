"""Make the settings of an experiment true, each with its prior state in the journal first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput
from meshkit.kube.kinds import NODE, ZONE
from meshkit.kube.nodes import POWERED_OFF
from meshkit.kube.steps import Step
from meshkit.operations import shop
from meshkit.operations.change import apply, plan, plan_steps, undo_steps
from meshkit.operations.chaos import Chaos
from meshkit.operations.experiments.settings import ExperimentSettings
from meshkit.operations.experiments.taking_back import CHANGE, put_back

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.cluster.journal import Journal
    from meshkit.intent.traffic import Route
    from meshkit.operations.plan import Plan

MANAGER = "meshkit-experiment"
"""The field manager of the annotation that switches a node off."""


@dataclass(frozen=True)
class Planned:
    """A change of settings that can be carried out: the plans of its objects, None where none changes."""

    before: ExperimentSettings
    after: ExperimentSettings
    route: Plan | None
    zone: Plan | None


class Applier:
    """Applies the settings of one run; the caller holds the lock of its changes."""

    def __init__(self, id: str, route: Route, cluster: Cluster, mesh: str, journal: Journal) -> None:
        self._id, self._route, self._cluster, self._mesh = id, route, cluster, mesh
        self._journal = journal
        self._target = f"{route.namespace}/{route.service}"
        self._outside: dict[str, dict[str, Any]] = {}
        self._zone_change = ""

    def prepare(self, before: ExperimentSettings, after: ExperimentSettings) -> Planned:
        """Plan what makes ``after`` true where it differs from ``before``. Changes nothing.

        Raises ``BadInput`` for what the mesh or the cluster cannot do, and what ``mk.plan`` raises.
        """
        route, zone = after.route(self._route), None
        routed = plan([route], self._cluster, mesh=self._mesh) if route != before.route(self._route) else None
        if after.lost_zone != before.lost_zone:
            zone = self._zone_plan(after.lost_zone)
        self._read_outside(after)
        return Planned(before, after, routed, zone)

    def carry_out(self, planned: Planned) -> str:
        """Do what was planned; return the id of the change of objects, empty if none was changed."""
        before, after, change = planned.before, planned.after, ""
        if planned.route is not None:
            change = apply(self._marked(planned.route), self._cluster).id
        self._behave(before, after)
        if after.load_rps != before.load_rps:
            self._load(after.load_rps)
        if after.lost_zone != before.lost_zone and self._zone_change:
            undo_steps(self._zone_change, self._cluster)
            self._zone_change = ""
        if planned.zone is not None:
            self._zone_change = apply(self._marked(planned.zone), self._cluster).id
            change = change or self._zone_change
        return change

    def _marked(self, plan: Plan) -> Plan:
        """The plan as a change of this run, by which it is found in the journal."""
        return replace(plan, operation=CHANGE, target=self._target, facts={**plan.facts, "run": self._id})

    def _zone_plan(self, zone: str | None) -> Plan | None:
        if zone is None:
            return None
        Chaos(self._cluster)
        zones = {
            str(node["metadata"]["name"]): node["metadata"]["labels"].get(ZONE, "")
            for node in self._cluster.api.list(NODE)
        }
        names = sorted(name for name, here in zones.items() if here == zone)
        if not names:
            known = ", ".join(sorted(set(zones.values())))
            raise BadInput("lost_zone", f"{zone!r} does not exist.", remedy=f"Existing zones: {known}.")
        operation = Operation(CHANGE, self._mesh, self._target)
        return plan_steps(switching_off(names), self._cluster, operation, what=f"Loss of {zone}")

    def _read_outside(self, settings: ExperimentSettings) -> None:
        """Read how each workload answers before it is changed for the first time, and the load."""
        namespace = self._route.namespace
        for workload in settings.behaviours or ():
            name = f"behaviour of {namespace}/{workload}"
            if name not in self._outside:
                before = Chaos(self._cluster).behaviour(namespace, workload)
                where = {"namespace": namespace, "workload": workload}
                self._outside[name] = {"event": "outside", "name": name, **where, "before": before}
        if settings.load_rps is not None and "load_rps" not in self._outside:
            rps = shop.read_load(self._cluster)
            self._outside["load_rps"] = {"event": "outside", "name": "load_rps", "before": rps}

    def _behave(self, before: ExperimentSettings, after: ExperimentSettings) -> None:
        were, are = before.behaviours or {}, after.behaviours or {}
        for workload in dict.fromkeys((*were, *are)):
            if were.get(workload) == are.get(workload):
                continue
            record = self._recorded(f"behaviour of {self._route.namespace}/{workload}")
            asked = are[workload].model_dump(exclude_none=True) if workload in are else {}
            values = {**record["before"], **asked}
            Chaos(self._cluster).behave(self._route.namespace, workload, values)

    def _load(self, rps: float | None) -> None:
        record = self._recorded("load_rps")
        if rps is None:
            put_back(self._cluster, record)
        else:
            shop.set_load(self._cluster, rps)

    def _recorded(self, name: str) -> dict[str, Any]:
        """The prior value, which is in the journal before the value is changed for the first time."""
        record = self._outside[name]
        if not record.get("kept"):
            self._journal.append(self._id, record)
            record["kept"] = True
        return record


def switching_off(nodes: list[str]) -> list[Step]:
    """The steps that switch nodes off."""
    return [
        Step(
            {
                "apiVersion": NODE.api_version,
                "kind": NODE.kind,
                "metadata": {"name": name, "annotations": {POWERED_OFF: "true"}},
            },
            manager=MANAGER,
            partial=True,
        )
        for name in nodes
    ]
