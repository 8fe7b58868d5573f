"""Ready-made schedules of an experiment: what usually goes wrong, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshkit.errors import BadInput
from meshkit.intent.balancing import ConnectionLimits
from meshkit.intent.rules import Retries
from meshkit.kube.kinds import NODE, POD, ZONE
from meshkit.kube.pods import is_live, is_ready, workload
from meshkit.operations.experiments.settings import ExperimentSettings, WorkloadBehaviour

if TYPE_CHECKING:
    from meshkit.cluster.connect import Cluster
    from meshkit.intent.traffic import Route

Moment = tuple[float, ExperimentSettings | None]
"""Seconds from the start of a schedule, and the settings from then on (None: only wait until then)."""
DEPENDENCY = "stock"
"""The dependency of the demo shop."""
BUSY_RPS = 200.0


@dataclass(frozen=True)
class Surroundings:
    """What a preset may be about: the route, and the pods of its namespace."""

    route: Route
    workloads: frozenset[str]
    zones: Mapping[str, frozenset[str]]
    """Zone -> the workloads (``namespace/name``) with a ready pod there."""

    @classmethod
    def of(cls, route: Route, cluster: Cluster) -> Surroundings:
        """Read them from the cluster."""
        pods = [pod for pod in cluster.api.list(POD, route.namespace) if is_live(pod)]
        zone_of = {
            node["metadata"]["name"]: (node["metadata"].get("labels") or {}).get(ZONE, "")
            for node in cluster.api.list(NODE)
        }
        zones: dict[str, set[str]] = {}
        for pod in filter(is_ready, pods):
            if zone := zone_of.get(pod["spec"].get("nodeName", "")):
                zones.setdefault(zone, set()).add(workload(pod))
        names = frozenset(workload(pod).partition("/")[2] for pod in pods)
        return cls(route, names, {zone: frozenset(there) for zone, there in zones.items()})

    def workload_of(self, version: str) -> str:
        """The Deployment of a version."""
        return self.existing(f"{self.route.service}-{version}")

    def existing(self, name: str) -> str:
        """A Deployment of the namespace. Raises ``BadInput`` if it has none of that name."""
        if name not in self.workloads:
            problem = f"{self.route.namespace} has no Deployment {name}."
            raise BadInput("preset", problem, remedy="Presets are made for the demo shop: mk.deploy_shop.")
        return name

    @property
    def canary(self) -> str:
        """The second version."""
        if len(self.route.versions) < 2:
            raise BadInput("preset", "the route has one version.", remedy="Name two versions in the route.")
        return self.route.versions[1].name

    @property
    def shared(self) -> dict[str, float]:
        """A split in halves between the first two versions."""
        return {self.route.versions[0].name: 50.0, self.canary: 50.0}

    @property
    def zone_to_lose(self) -> str:
        """The zone with pods of the Service whose loss takes the fewest other workloads."""
        service = f"{self.route.namespace}/{self.route.service}-"
        found = {
            zone: there
            for zone, there in self.zones.items()
            if any(each.startswith(service) for each in there)
        }
        caller = f"{self.route.namespace}/client"
        usable = sorted(zone for zone, there in found.items() if caller not in there)
        if not usable:
            problem = "no zone has pods of the Service and not its caller."
            raise BadInput("preset", problem, remedy="Set lost_zone yourself.")
        return usable[0]


def slow_canary(around: Surroundings, step_s: float) -> list[Moment]:
    """Half of the requests go to the second version, which then becomes 300 ms slower."""
    shared = ExperimentSettings(split=around.shared)
    slow = shared.changed({"behaviours": {around.workload_of(around.canary): _slow(330)}})
    return _every(step_s, shared, slow)


def failing_dependency(around: Surroundings, step_s: float) -> list[Moment]:
    """The dependency fails for three of ten requests, then for all."""
    name = around.existing(DEPENDENCY)
    steps = [
        ExperimentSettings(behaviours={name: WorkloadBehaviour(error_percent=percent)})
        for percent in (30, 100)
    ]
    return _every(step_s, ExperimentSettings(), *steps)


def retry_storm(around: Surroundings, step_s: float) -> list[Moment]:
    """A version fails for half of its requests; then callers send each failed request up to five times."""
    failing = {around.workload_of(around.route.versions[0].name): WorkloadBehaviour(error_percent=50)}
    first = ExperimentSettings(behaviours=failing)
    return _every(step_s, first, first.changed({"retries": Retries(attempts=5, on="5xx")}))


def breaker_trips(around: Surroundings, step_s: float) -> list[Moment]:
    """The load doubles and the version slows down; then each caller may have two requests under way."""
    name = around.workload_of(around.route.versions[0].name)
    busy = ExperimentSettings(load_rps=BUSY_RPS, behaviours={name: _slow(100)})
    limits = ConnectionLimits(max_connections=2, max_pending_requests=1, max_requests=2)
    return _every(step_s, busy, busy.changed({"connection_limits": limits}))


def zone_loss(around: Surroundings, step_s: float) -> list[Moment]:
    """A zone without the caller loses its power, and gets it back."""
    lost = ExperimentSettings(lost_zone=around.zone_to_lose)
    return _every(step_s, lost, ExperimentSettings())


def slow_leak(around: Surroundings, step_s: float) -> list[Moment]:
    """Half of the requests go to the second version, whose latency grows from step to step."""
    name = around.workload_of(around.canary)
    shared = ExperimentSettings(split=around.shared)
    grown = [shared.changed({"behaviours": {name: _slow(ms)}}) for ms in (40, 60, 90, 135, 200)]
    return _every(step_s, shared, *grown)


PRESETS: Mapping[str, Callable[[Surroundings, float], list[Moment]]] = {
    "slow canary": slow_canary,
    "failing dependency": failing_dependency,
    "retry storm": retry_storm,
    "breaker trips": breaker_trips,
    "zone loss": zone_loss,
    "slow leak": slow_leak,
}


def _every(step_s: float, *settings: ExperimentSettings) -> list[Moment]:
    """These settings one after the other, and the time for the last of them."""
    moments: list[Moment] = [(number * step_s, each) for number, each in enumerate(settings)]
    return [*moments, (len(settings) * step_s, None)]


def _slow(latency_ms: float) -> WorkloadBehaviour:
    return WorkloadBehaviour(latency_ms=latency_ms)
