"""A scripted release whose requests follow the rules of its route as well, and are counted by pods, too."""

from __future__ import annotations

import math
import random
from typing import Any

from meshkit.observe.counters import CounterKey
from meshkit.testing import Behaviour, ScriptedObserver
from tests.unit.release.stage import GOOD, Stage

CHOSEN = 0.2
"""The part of the requests that has the header of a cohort or of testers."""
COHORT = {"headers": {"x-group": "b"}}


class RoutedStage(Stage):
    """A release by rules: its canary gets requests by what the release has added to the route."""

    def __init__(self, *, canary_behaviour: Behaviour = GOOD, ready: int = 2, **fields: Any) -> None:
        super().__init__(canary_behaviour=canary_behaviour, **fields)
        self.fake.api.objects["Service", "shop", "web"]["spec"]["selector"] = {"app": "web"}
        self.behaviour = canary_behaviour
        self.observer: RoutedObserver = RoutedObserver(self)
        for version, pods in (("v1", 2), ("v2", ready)):
            for number in range(pods):
                self.set_pod(version, number)

    def set_pod(self, version: str, number: int) -> None:
        """Create a ready pod of a version."""
        name = f"web-{version}-{number}"
        self.fake.api.objects["Pod", "shop", name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web", "version": version}},
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }

    def rules(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.fake.object()["spec"][self.fake.route.rules]
        return found

    @property
    def added(self) -> set[str]:
        """What the release has in the route now: ``rule`` and ``mirror``."""
        rule = {"rule"} if len(self.rules()) > 2 else set()
        return rule | ({"mirror"} if self.rules()[-1].get("mirrors") else set())


class RoutedObserver(ScriptedObserver):
    """Requests that follow added rules; each is counted by its caller and by the pod that answered."""

    def __init__(self, stage: RoutedStage) -> None:
        behaviours = {"v1": GOOD, "v2": stage.behaviour}
        super().__init__(stage.clock, behaviours, rps=300, split=stage.fake.split, seed=7)
        self._stage, self._chance = stage, random.Random(3)
        self.callers_of_canary = 0

    def counters(self, cluster: Any, target: Any) -> Any:
        self._added = self._stage.added
        self._share = self._share_mirrored()
        return super().counters(cluster, target)

    def _share_mirrored(self) -> float:
        entries = self._stage.rules()[-1].get("mirrors") or [{"percentage": {"value": 0}}]
        return float(entries[0]["percentage"]["value"]) / 100

    def _answer(self, version: str) -> None:
        if "rule" in self._added and self._chance.random() < CHOSEN:
            version = "v2"
        self.callers_of_canary += version == "v2"
        self._answered(version, ("", f"web-{version}-0"))
        if self._chance.random() < self._share:
            self._answered("v2", ("web-v2-0",))

    def _answered(self, version: str, counted_by: tuple[str, ...]) -> None:
        behaviour = self.behaviours[version]
        failed = self._random.random() < behaviour.error_share
        latency_ms = behaviour.added_ms + self._random.lognormvariate(
            math.log(behaviour.latency_ms), behaviour.sigma
        )
        for pod in counted_by:
            self._count(CounterKey(version, "requests", "", pod=pod))
            if failed:
                self._count(CounterKey(version, "errors", "", pod=pod))
                continue
            for edge in self._edges_ms:
                self._count(CounterKey(version, "latency", "", edge, pod), 1 if latency_ms <= edge else 0)
