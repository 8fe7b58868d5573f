"""The readings of a watch: one that cannot be true is reported and left out, and the next ones count."""

from __future__ import annotations

import math
from dataclasses import replace

from meshkit.cluster.connect import Cluster
from meshkit.observe.counters import Counters, Target
from meshkit.operations.release.watch import Watch
from tests.unit.release.stage import Stage


class BadAtFirst:
    """Delivers counters that are no numbers in its first reading."""

    def __init__(self, stage: Stage) -> None:
        self._observer, self._readings = stage.observer, 0

    def counters(self, cluster: Cluster, target: Target) -> Counters:
        self._readings += 1
        found = self._observer.counters(cluster, target)
        if self._readings > 1:
            return found
        return replace(found, pages={"scripted/0": dict.fromkeys(found.pages["scripted/0"] or (), math.nan)})


def test_a_first_reading_that_cannot_be_true_is_left_out() -> None:
    stage = Stage()
    stage.clock.sleep(1)
    watch = Watch(stage.release, stage.cluster, mesh="istio", clock=stage.clock)
    watch._observer = BadAtFirst(stage)
    problems = []
    for _ in range(3):
        found = watch.look()
        problems.append(found.problem)
        stage.clock.sleep(1)
    assert "reports nan" in problems[0]
    assert problems[1:] == ["", ""]
    assert len(found.looks) == 1
