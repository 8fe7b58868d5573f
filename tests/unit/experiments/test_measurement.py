"""Counters of proxies become samples by version and caller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from meshkit.observe.counters import CounterKey, Counters, Page, Target
from meshkit.operations.experiments.measurement import Meter

WEB = Target("shop", "web", 8080, ("v1", "v2"))


def page(**requests: int) -> Page:
    """The counters of a proxy: requests of each version, all answered within 50 ms."""
    found: dict[CounterKey, float] = {}
    for version, number in requests.items():
        if version == "lost":
            found[CounterKey("", "unreached", "a")] = number
            continue
        found[CounterKey(version, "requests", "a")] = number
        found[CounterKey(version, "latency", "a", 50.0)] = number
        found[CounterKey(version, "latency", "a", math.inf)] = number
    return found


class Scripted:
    """Readings in order, one a second."""

    def __init__(self, readings: Sequence[dict[str, Page | None]]) -> None:
        self.readings, self.at = readings, 0

    def counters(self, cluster: Any, target: Target) -> Counters:
        pages, self.at = self.readings[self.at], self.at + 1
        return Counters(100.0 + self.at, target.versions, pages)


class Pods:
    """A cluster with two callers."""

    def __init__(self) -> None:
        self.api = self
        self.asked = 0

    def list(self, kind: Any) -> list[dict[str, Any]]:
        self.asked += 1
        return [
            {"metadata": {"uid": uid, "name": name, "namespace": "shop"}}
            for uid, name in (("u1", "client"), ("u2", "batch"))
        ]


def read(*readings: dict[str, Page | None]) -> list[tuple[str, str, int, int]]:
    """(version, caller, requests, errors) of the last reading."""
    meter = Meter(Pods(), Scripted(readings), (WEB,))  # type: ignore[arg-type]
    found = [meter.read() for _ in readings]
    assert found[0] == []
    return [(each.version, each.caller, each.counts.requests, each.counts.errors) for each in found[-1]]


def test_each_caller_has_its_own_requests() -> None:
    before, after = (
        {"u1/0": page(v1=10, v2=1), "u2/0": page(v1=5)},
        {"u1/0": page(v1=30, v2=4), "u2/0": page(v1=6)},
    )
    assert read(before, after) == [
        ("v1", "shop/batch", 1, 0),
        ("v1", "shop/client", 20, 0),
        ("v2", "shop/client", 3, 0),
    ]


def test_a_failure_without_a_version_is_a_row_of_its_own() -> None:
    assert read({"u1/0": page(v1=1, lost=2)}, {"u1/0": page(v1=2, lost=5)}) == [
        ("v1", "shop/client", 1, 0),
        ("", "shop/client", 3, 3),
    ]


def test_a_page_that_could_not_be_read_is_no_caller_without_requests() -> None:
    assert read({"u1/0": page(v1=1)}, {"u1/0": None}) == []


def test_the_pods_are_listed_for_new_proxies_only() -> None:
    pods = Pods()
    readings: list[dict[str, Page | None]] = [{"u1/0": page(v1=number)} for number in range(4)]
    meter = Meter(pods, Scripted(readings), (WEB,))  # type: ignore[arg-type]
    for _ in range(4):
        meter.read()
    assert pods.asked == 1
