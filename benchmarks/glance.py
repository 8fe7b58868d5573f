"""The time to draw a large mesh at a glance: 300 services and 1,500 calls, and one more reading of it."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from dataclasses import replace

from benchmarks.figure import Figure
from meshkit.operations.glance.model import Connection, Glance, Workload
from meshkit.views.charts.live_chart import changes
from meshkit.views.glance.graph_scene import graph_scene
from meshkit.views.glance.plotly_scene import figure

RUNS = 5
SERVICES, CALLS, NAMESPACES = 300, 1500, 20
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def measure() -> list[Figure]:
    first, later = _mesh(seed=1), _mesh(seed=2)
    drawn, sent = [], []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        shown = figure(graph_scene(first))
        drawn.append(time.perf_counter() - began_s)
        message = changes(shown, figure(graph_scene(later)))
        sent.append(len(json.dumps(message)) / 1e6)
    name = f"mesh at a glance, {SERVICES} services, {CALLS:,} calls"
    return [
        Figure(f"{name}: a reading is drawn", "s", tuple(drawn), 1.0),
        Figure(f"{name}: sent to the browser", "MB", tuple(sent), 2.0),
    ]


def _mesh(seed: int) -> Glance:
    """The same services and calls, with the rates of one reading."""
    chance = random.Random(20)
    names = [f"team-{number % NAMESPACES}/service-{number}" for number in range(SERVICES)]
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < CALLS:
        caller, called = chance.sample(range(SERVICES), 2)
        pairs.add((min(caller, called), max(caller, called)))
    rates = random.Random(seed)
    calls = [
        Connection(names[a], names[b], "mutual TLS", rates.expovariate(0.1), 0.1, 5.0, 50.0)
        for a, b in sorted(pairs)
    ]
    calls[::50] = [replace(each, lock="plain text") for each in calls[::50]]
    workloads = tuple(Workload(name, requests_per_s=3.0, error_percent=0.1) for name in names)
    return Glance("Istio", None, NOW, 2.0, workloads, tuple(calls), sidecars=SERVICES)


if __name__ == "__main__":
    from benchmarks.figure import table

    print(table(measure()))
